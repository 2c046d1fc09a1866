"""One parameter of a search space: choices, or a range with a distribution, in the vocabulary of W&B sweeps."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Any

from resnet_tl.errors import ConfigError
from resnet_tl.option_text import LARGEST, brief, nearest
from sweeps.study_trial import INTEGERS

LINEAR = ("uniform", "int_uniform", "q_uniform")
LOGARITHMIC = (
    "log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values",
    "log_uniform", "q_log_uniform", "inv_log_uniform",
)  # fmt: skip
"""The inverse ones are the same distributions: the logarithm of 1/x is uniform where that of x is."""
UNBOUNDED = {
    "normal": "uniform", "q_normal": "q_uniform", "log_normal": "log_uniform_values",
    "q_log_normal": "q_log_uniform_values", "beta": "uniform", "q_beta": "q_uniform",
}  # fmt: skip
"""Distributions of W&B that are not sampled here, with the one that takes their place."""
DISTRIBUTIONS = ("categorical", "constant", *LINEAR, *LOGARITHMIC)
KEYS = ("values", "value", "min", "max", "distribution", "q", "when", "set")
MOST_STEPS = 100_000
"""Values of a range with steps; with more, steps make no difference."""
MOST_HELD = 1000
"""Values of a range of integers that are held in memory."""
MOST_INTEGERS = 1_000_000
"""Of an integer drawn by its logarithm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """One alternative of one parameter."""

    name: str
    label: str
    """Unique within the space: Optuna's name for it."""
    choices: tuple[Any, ...] | None
    """The values, or None for a range."""
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    multiple: float | None = None
    """Of what is drawn by its logarithm: values are multiples of this."""
    integer: bool = False
    when: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    sets: tuple[tuple[Any, dict[str, Any]], ...] = ()
    """(value, other parameters that it sets)."""

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether the condition holds at a point; parameters that do not exist there satisfy none."""
        return all(name in params and _among(params[name], allowed) for name, allowed in self.when.items())

    def enumerate(self) -> Sequence[Any] | None:
        """All values in order, or None for a continuous range. Those of long ranges are not held in memory."""
        if self.choices is not None:
            return self.choices
        if self.integer or self.multiple == 1:
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            return whole if len(whole) > MOST_HELD else tuple(whole)
        if self.multiple:
            first = max(1, math.ceil(self.low / self.multiple - 1e-9))  # zero has no logarithm
            last = math.floor(self.high / self.multiple + 1e-9)
            return _steps(first * self.multiple, self.multiple, last - first + 1)
        if self.step:
            return _steps(self.low, self.step, math.floor((self.high - self.low) / self.step + 1e-9) + 1)
        return None

    def draw(self, random: Random) -> Any:
        """A value drawn from here."""
        listed = self.enumerate()
        if self.log:
            value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
            return value if listed is None else listed[min(bisect_left(listed, value), len(listed) - 1)]
        return random.uniform(self.low, self.high) if listed is None else listed[random.randrange(len(listed))]

    def contains(self, value: Any) -> bool:
        """Whether a value could have come from here."""
        if self.choices is not None:
            return _among(value, self.choices)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        listed = self.enumerate()
        if listed is None:
            return self.low <= value <= self.high
        place = bisect_left(listed, value)
        return place < len(listed) and bool(listed[place] == value)

    def closest(self, value: float) -> Any:
        """The value of a range that is next to a number; of two that are equally near the lower one."""
        listed = self.enumerate()
        if listed is None:
            return value
        place = bisect_left(listed, value)
        return min(listed[max(0, place - 1) : place + 1], key=lambda known: abs(known - value))


@lru_cache(maxsize=256)  # asked for with every proposal
def _steps(first: float, step: float, count: int) -> tuple[float, ...]:
    digits = max(12, 3 + math.ceil(-math.log10(step)))
    return tuple(round(first + index * step, digits) for index in range(count))


def same_value(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are one; 1 and True are two."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _among(value: Any, values: Sequence[Any]) -> bool:
    return any(same_value(value, other) for other in values)


def parse_dimension(name: str, label: str, written: Any, where: str) -> Dimension:
    """Reads what stands under a parameter.

    Args:
        label: its name within the space, where it is one of several alternatives.
        where: the option, as messages name it.

    Raises:
        ConfigError: every problem that can be seen at once.
    """
    if not isinstance(written, dict):
        raise ConfigError(f"{where} must be a mapping such as {{values: [1, 2]}}, but got {brief(written)}.")
    distribution = written.get("distribution")
    if distribution is not None and distribution not in (*DISTRIBUTIONS, *UNBOUNDED):
        raise ConfigError(
            f"{where}: unknown distribution {brief(distribution)}; {nearest(str(distribution), DISTRIBUTIONS)}"
        )
    if distribution in UNBOUNDED:
        raise ConfigError(f"{where}: the distribution {distribution} is not available; {_bounded(written)}.")
    problems = [_no_key(key, where) for key in written if key not in KEYS]
    given = {key for key in ("values", "value", "min", "max") if key in written}
    if given not in ({"values"}, {"value"}, {"min", "max"}):
        found = ", ".join(f"`{key}`" for key in written if key in given) or "none of them"
        problems.append(f"{where} must have `values`, `value`, or `min` and `max`, but got {found}.")
    when = written.get("when") or {}
    if not isinstance(when, dict):
        problems.append(f"{where}.when must map parameters to values, but got {brief(when)}.")
    sets = written.get("set") or {}
    if not isinstance(sets, dict) or not all(isinstance(others, dict) for others in sets.values()):
        problems.append(f"{where}.set must map values to the parameters they set, but got {brief(sets)}.")
    if problems:
        raise ConfigError(*problems)
    common: dict[str, Any] = {
        "name": name,
        "label": label,
        "when": {key: tuple(value) if isinstance(value, list) else (value,) for key, value in when.items()},
        "sets": tuple((value, dict(others)) for value, others in sets.items()),
    }
    if given == {"min", "max"}:
        dimension = _range(common, written, distribution, where)
    else:
        dimension = Dimension(choices=_choices(written, distribution, where), **common)
    for value, _ in common["sets"]:
        if not dimension.contains(value):
            raise ConfigError(f"{where}.set speaks of {brief(value)}, which is not one of its values.")
    return dimension


def _no_key(key: Any, where: str) -> str:
    if key == "probabilities":
        return f"{where}: `probabilities` is not available, since every value is as likely as the others; leave it out."
    if key == "parameters":
        return f"{where}: parameters within a parameter are not available; write each by itself, under its own name."
    return f"{where} has no option `{brief(key) if not isinstance(key, str) else key}`; {nearest(str(key), KEYS)}"


def _choices(written: Mapping[str, Any], distribution: str | None, where: str) -> tuple[Any, ...]:
    key = "values" if "values" in written else "value"
    if distribution not in (None, "categorical" if key == "values" else "constant"):
        raise ConfigError(f"{where}: distribution {distribution} needs `min` and `max`.")
    choices = written["values"] if key == "values" else [written["value"]]
    if not isinstance(choices, list) or not choices:
        raise ConfigError(f"{where}.values must be a list of at least one value, but got {brief(choices)}.")
    # a list of augmentations is no key of a set, and True would be one with 1
    if len({(isinstance(value, bool), value if _is_scalar(value) else repr(value)) for value in choices}) < len(
        choices
    ):
        raise ConfigError(f"{where}.values must be different, but got {brief(choices)}.")
    return tuple(choices)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _range(common: dict[str, Any], written: Mapping[str, Any], distribution: str | None, where: str) -> Dimension:
    low, high, q = written["min"], written["max"], written.get("q")
    if not _is_number(low) or not _is_number(high) or not low < high:
        raise ConfigError(
            f"{where}: `min < max` must hold for finite numbers, but got min={brief(low)}, max={brief(high)}."
        )
    if distribution is None:  # as W&B decides
        distribution = "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform"
    if distribution in ("categorical", "constant"):
        raise ConfigError(f"{where}: distribution {distribution} takes `values` or `value`, not `min` and `max`.")
    if distribution.startswith("q_"):
        q = 1 if q is None else q  # as in W&B
    elif q is not None:
        raise ConfigError(f"{where}: `q` belongs to q_uniform and q_log_uniform_values, but got {distribution}.")
    if distribution == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(f"{where}: `min` and `max` must be whole numbers for int_uniform, but got {low}, {high}.")
    whole = common["name"] in INTEGERS
    if distribution in LOGARITHMIC:
        low, high = _logarithmic(distribution, low, high, where)
        return _logarithmic_range(common, low, high, 1 if whole and q is None else q, whole, where)
    if whole or distribution == "int_uniform":
        low, high = math.ceil(low), math.floor(high)
        if abs(low) > LARGEST or abs(high) > LARGEST:
            raise ConfigError(f"{where}: `min` and `max` must be at most {LARGEST}, but got {low}, {high}.")
        if low > high:
            raise ConfigError(
                f"{where} must hold a whole number, but there is none from {written['min']} to {written['max']}."
            )
    if low == high:
        return Dimension(choices=(low,), **common)
    if q is None:
        integer = whole or distribution == "int_uniform"
        return Dimension(choices=None, low=low, high=high, integer=integer, **common)
    step = _step(q, high - low, whole, where)
    # Optuna wants a range that ends on a step
    listed = Dimension(choices=None, low=low, high=high, step=step, **common).enumerate()
    assert listed
    if len(listed) == 1:
        return Dimension(choices=tuple(listed), **common)
    return Dimension(choices=None, low=low, high=listed[-1], step=step, **common)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _step(q: Any, width: float, whole: bool, where: str) -> float:
    """`q`, checked.

    Args:
        width: of the range.
        whole: the parameter is a whole number.
    """
    if not _is_number(q) or not 0 < q <= width:
        raise ConfigError(f"{where}: `0 < q <= max - min` must hold, but got q={brief(q)}.")
    if whole and not float(q).is_integer():
        raise ConfigError(f"{where}: `q` must be a whole number, as the values are, but got {q}.")
    if width / q > MOST_STEPS:
        raise ConfigError(
            f"{where}: `q` must leave at most {MOST_STEPS:,} values, but q={q} leaves {width / q:.3g}; leave it out, "
            "with a distribution that does not begin with q_."
        )
    return int(q) if whole else float(q)


def _logarithmic(distribution: str, low: float, high: float, where: str) -> tuple[float, float]:
    """Least and largest value of a distribution whose logarithm is uniform."""
    if distribution.endswith("_values"):
        if low <= 0:
            raise ConfigError(f"{where}: `min` must be above 0 for {distribution}, but got {low}.")
        return low, high
    if not (low >= -700 and high <= 700):
        raise ConfigError(
            f"{where}: `min` and `max` of {distribution} are exponents of e, from -700 to 700, but got "
            f"{low:g} to {high:g}; {distribution}_values takes the values themselves."
        )
    least, largest = (-high, -low) if distribution.startswith("inv_") else (low, high)
    if low > 0 and high <= 1:
        raise ConfigError(
            f"{where}: `min` and `max` of {distribution} are exponents of e, so {low:g} to {high:g} means "
            f"{math.exp(least):.4g} to {math.exp(largest):.4g}; {distribution}_values takes the values themselves."
        )
    return math.exp(least), math.exp(largest)


def _logarithmic_range(
    common: dict[str, Any], low: float, high: float, multiple: float | None, whole: bool, where: str
) -> Dimension:
    if multiple is None:
        return Dimension(choices=None, low=low, high=high, log=True, **common)
    if whole and high > MOST_INTEGERS:
        raise ConfigError(f"{where}: `max` must be at most {MOST_INTEGERS:,}, but got {high:g}.")
    if whole and multiple == 1:
        low, high = max(1, math.ceil(low)), math.floor(high)
    else:
        multiple = _step(multiple, high, whole, where)
    found = Dimension(choices=None, low=low, high=high, log=True, multiple=multiple, **common)
    listed = found.enumerate()
    if not listed:
        raise ConfigError(f"{where} must hold a multiple of {multiple:g}, but there is none from {low:g} to {high:g}.")
    if len(listed) == 1:
        return Dimension(choices=tuple(listed), **common)
    # a multiple that stands on an end may lie beyond it by a rounding, and Optuna takes nothing that is outside
    return replace(found, low=min(low, listed[0]), high=max(high, listed[-1]))


def _bounded(written: Mapping[str, Any]) -> str:
    """What to write in place of a distribution without bounds: the one that covers about the same values."""
    kind = str(written["distribution"])
    other = UNBOUNDED[kind]
    low, high = _most_of(kind, written)
    q = ""
    if kind.startswith("q_"):
        reach = high if "log" in kind else high - low
        steps = [step for step in (written.get("q", 1), (high - low) / 10) if _is_number(step)]
        fitting = [step for step in steps if reach / MOST_STEPS < step <= high - low]
        # of a range that is narrow for where it lies, steps make no difference
        q, other = (f", q: {fitting[0]:g}", other) if fitting else ("", other.removeprefix("q_"))
    digits = 4 if f"{low:.4g}" != f"{high:.4g}" else 17
    covers = ", which holds 95% of its values" if "normal" in kind else ""
    return f"use {other}, such as {{distribution: {other}, min: {low:.{digits}g}, max: {high:.{digits}g}{q}}}{covers}"


def _most_of(kind: str, written: Mapping[str, Any]) -> tuple[float, float]:
    """Where most values of a distribution without bounds lie; of its standard form where what is written says none."""
    given = [float(written[key]) for key in ("min", "max") if _is_number(written.get(key))]
    if len(given) == 2 and given[0] < given[1] and (given[0] > 0 or "log" not in kind):
        return given[0], given[1]
    if "normal" not in kind:
        return 0.0, 1.0
    most = 300.0 if "log" in kind else float(LARGEST)
    mu, sigma = (written.get(key, default) for key, default in (("mu", 0.0), ("sigma", 1.0)))
    if not (_is_number(mu) and _is_number(sigma) and abs(mu) <= most and 0 < sigma <= most):
        mu, sigma = 0.0, 1.0
    low, high = mu - 2 * sigma, mu + 2 * sigma
    return (math.exp(max(low, -most)), math.exp(min(high, most))) if "log" in kind else (low, high)
