"""The search space, in the vocabulary of W&B sweeps, enumerated by us or sampled by Optuna.

lr: {values: [1e-4, 1e-3], set: {1e-3: {epochs: 10}}}     choices; a choice may set other parameters
momentum: {values: [0.0, 0.9], when: {optimizer: sgd}}    exists only where the condition holds
lr:                                                       alternatives, told apart by their conditions
  - {values: [1e-6, 1e-5], when: {head: linear}}
  - {values: [1e-4], when: {head: mlp_relu}}
weight_decay: {distribution: log_uniform_values, min: 1e-6, max: 1e-2}
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import nearest

Params = dict[str, Any]
"""A point: parameter name to value, only those that exist under its conditions."""

DISTRIBUTIONS = ("categorical", "constant", "uniform", "log_uniform_values", "int_uniform", "q_uniform")
ELSEWHERE = {
    "log_uniform": "log_uniform_values (whose min and max are the values themselves)",
    "q_log_uniform": "log_uniform_values",
    "q_log_uniform_values": "log_uniform_values",
    "inv_log_uniform": "log_uniform_values",
    "inv_log_uniform_values": "log_uniform_values",
    "normal": "uniform",
    "q_normal": "q_uniform",
    "log_normal": "log_uniform_values",
    "q_log_normal": "log_uniform_values",
}
"""Distributions of W&B that are not sampled here, with the nearest one that is."""
SYNONYMS = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "num_epochs": "epochs",
    "model": "backbone",
    "bs": "batch_size",
}
KEYS = ("values", "value", "min", "max", "distribution", "q", "when", "set")
MOST_PROBES = 2000


def describe(params: Mapping[str, Any]) -> str:
    """A point in one line: `lr=0.001 head=linear`."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in params.items()}
    return " ".join(f"{name}={value}" for name, value in values.items()) or "(base)"


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
    integer: bool = False
    when: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    sets: tuple[tuple[Any, dict[str, Any]], ...] = ()
    """(value, other parameters that it sets)."""

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether the condition holds at a point; parameters that do not exist there satisfy none."""
        return all(name in params and _among(params[name], allowed) for name, allowed in self.when.items())

    def enumerate(self) -> tuple[Any, ...] | None:
        """All values in order, or None for a continuous range."""
        if self.choices is not None:
            return self.choices
        if self.integer:
            return tuple(range(int(self.low), int(self.high) + 1))
        if self.step:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            return tuple(round(self.low + index * self.step, 12) for index in range(count))
        return None

    def contains(self, value: Any) -> bool:
        """Whether a value could have come from here."""
        listed = self.enumerate()
        if listed is not None:
            return _among(value, listed)
        return isinstance(value, int | float) and self.low <= value <= self.high


def same_value(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are one; 1 and True are two."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(same_value(value, other) for other in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Dimensions in an order in which every condition speaks of earlier parameters or of the base."""

    dimensions: tuple[Dimension, ...]
    base: dict[str, Any]
    """Values of the `trial:` block, which conditions may speak of."""

    @classmethod
    def parse(cls, written: Any, base: dict[str, Any]) -> "Space":
        """Reads `study.space`.

        Raises:
            ConfigError: every problem at once.
        """
        if not isinstance(written, dict):
            raise ConfigError(f"`study.space` must map parameters to values, but got {written!r}.")
        problems: list[str] = []
        dimensions: list[Dimension] = []
        for name, content in written.items():
            where = f"`study.space.{name}`"
            if name not in TrialConfig.model_fields:
                known = (
                    f"did you mean `{SYNONYMS[name]}`?"
                    if name in SYNONYMS
                    else nearest(str(name), TrialConfig.model_fields)
                )
                problems.append(f"{where} is not a parameter; {known}")
                continue
            if name in base:
                problems.append(f"{where} and `trial.{name}` must not both be given.")
            alternatives = content if isinstance(content, list) else [content]
            for number, alternative in enumerate(alternatives):
                label = name if len(alternatives) == 1 else f"{name}#{number}"
                try:
                    dimensions.append(_dimension(name, label, alternative, where))
                except ConfigError as error:
                    problems += error.problems
        names = set(written) | set(TrialConfig.model_fields)
        for dimension in dimensions:
            problems += [
                f"`study.space.{dimension.name}.when` speaks of `{other}`, no parameter; {nearest(str(other), names)}"
                for other in dimension.when
                if other not in names
            ]
            for _, others in dimension.sets:
                problems += [
                    f"`study.space.{dimension.name}.set` sets `{other}`, which is itself searched."
                    for other in others
                    if other in written
                ]
                problems += [
                    f"`study.space.{dimension.name}.set` sets `{other}`, no parameter; {nearest(str(other), names)}"
                    for other in others
                    if other not in names
                ]
        if problems:
            raise ConfigError(*problems)
        return cls(dimensions=_in_order(dimensions), base=dict(base))

    def _known(self) -> dict[str, Any]:
        """What conditions may speak of before any parameter of the space is chosen."""
        defaults = {n: f.default for n, f in TrialConfig.model_fields.items() if not f.is_required()}
        searched = {dimension.name for dimension in self.dimensions}
        return {name: value for name, value in (defaults | self.base).items() if name not in searched}

    def active(self, params: Mapping[str, Any]) -> Iterator[tuple[Dimension, Any]]:
        """The dimensions that exist at a point, each with its value."""
        known = self._known()
        for dimension in self.dimensions:
            # of alternatives whose conditions overlap the first one holds, here as in `_walk`
            if dimension.name in params and dimension.name not in known and dimension.applies(known):
                known[dimension.name] = params[dimension.name]
                yield dimension, params[dimension.name]

    def require_finite(self) -> None:
        """Raises ConfigError when a dimension has no list of values."""
        endless = [f"`study.space.{d.name}`" for d in self.dimensions if d.enumerate() is None]
        if endless:
            raise ConfigError(f"A grid needs `values`, an int_uniform or a q_uniform for {', '.join(endless)}.")

    def require_unconditional(self) -> None:
        """Raises ConfigError when a parameter exists under conditions: it cannot be switched alone."""
        bound = dict.fromkeys(f"`study.space.{d.name}`" for d in self.dimensions if d.when)
        if bound:
            raise ConfigError(f"An ablation switches each parameter alone, so {', '.join(bound)} must have no `when`.")

    def grid(self) -> Iterator[Params]:
        """Every point, the last parameter varying fastest."""
        yield from self._walk(0, {}, self._known(), lambda dimension: dimension.enumerate() or ())

    def one_at_a_time(self) -> Iterator[Params]:
        """The first value of every parameter, which is the base, and then each other value alone."""
        listed = {dimension.label: dimension.enumerate() or () for dimension in self.dimensions}
        yield from self._walk(0, {}, self._known(), lambda d: listed[d.label][:1])
        for target in self.dimensions:
            for value in listed[target.label][1:]:
                pick = lambda d, t=target, v=value: (v,) if d is t else listed[d.label][:1]  # noqa: E731
                yield from self._walk(0, {}, self._known(), pick)

    def _walk(self, depth: int, params: Params, known: dict[str, Any], values: Any) -> Iterator[Params]:
        if depth == len(self.dimensions):
            yield dict(params)
            return
        dimension = self.dimensions[depth]
        if dimension.name in params or not dimension.applies(known):
            yield from self._walk(depth + 1, params, known, values)
            return
        for value in values(dimension):
            here = {dimension.name: value}
            yield from self._walk(depth + 1, params | here, known | here, values)

    def is_finite(self) -> bool:
        """Whether all points can be listed."""
        return all(dimension.enumerate() is not None for dimension in self.dimensions)

    def probes(self) -> list[Params]:
        """Points that show every value and both ends of every range; for small spaces, all points."""

        def values(dimension: Dimension) -> tuple[Any, ...]:
            listed = dimension.enumerate()
            return (dimension.low, dimension.high) if listed is None else listed

        points = self._walk(0, {}, self._known(), values)
        few = list(itertools.islice(points, MOST_PROBES + 1))
        if len(few) <= MOST_PROBES:
            return few
        # one value at a time, the others at their first
        first = next(self._walk(0, {}, self._known(), lambda d: values(d)[:1]))
        chosen = [first]
        for target in self.dimensions:
            for value in values(target):
                pick = lambda d, t=target, v=value: (v,) if d is t else values(d)[:1]  # noqa: E731
                chosen += list(self._walk(0, {}, self._known(), pick))
        return chosen

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether a stored point is one of this space."""
        known, wanted = self._known(), set()
        for dimension in self.dimensions:
            if dimension.name in wanted or not dimension.applies(known):
                continue
            if dimension.name not in params or not dimension.contains(params[dimension.name]):
                return False
            wanted.add(dimension.name)
            known[dimension.name] = params[dimension.name]
        return wanted == set(params)

    def apply(self, params: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
        """The `trial:` block at a point: base, then what values set, then the values."""
        values = dict(base)
        setters: dict[str, tuple[str, Any]] = {}
        for dimension, value in self.active(params):
            for chosen, others in dimension.sets:
                if not same_value(chosen, value):
                    continue
                for other, setting in others.items():
                    if other in setters and not same_value(setters[other][1], setting):
                        raise ConfigError(
                            f"`{other}` is set to {setters[other][1]} by `study.space.{setters[other][0]}` and to "
                            f"{setting} by `study.space.{dimension.name}` at {dict(params)}."
                        )
                    setters[other] = (dimension.name, setting)
                    values[other] = setting
        return values | dict(params)

    def choose(self, pick: Callable[[Dimension], Any]) -> Params:
        """A point whose values are picked one by one, in an order in which every condition is decided before."""
        params: Params = {}
        known = self._known()
        for dimension in self.dimensions:
            if dimension.name not in params and dimension.applies(known):
                params[dimension.name] = known[dimension.name] = pick(dimension)
        return params


def _dimension(name: str, label: str, written: Any, where: str) -> Dimension:
    if not isinstance(written, dict):
        raise ConfigError(f"{where} must be a mapping such as {{values: [1, 2]}}, but got {written!r}.")
    problems = [f"{where} has no option `{key}`; {nearest(str(key), KEYS)}" for key in written if key not in KEYS]
    given = {key for key in ("values", "value", "min", "max") if key in written}
    if given not in ({"values"}, {"value"}, {"min", "max"}):
        problems.append(f"{where} must have `values`, `value`, or `min` and `max`, but got {sorted(given) or 'none'}.")
    when = written.get("when") or {}
    if not isinstance(when, dict):
        problems.append(f"{where}.when must map parameters to values, but got {when!r}.")
    sets = written.get("set") or {}
    if not isinstance(sets, dict) or not all(isinstance(others, dict) for others in sets.values()):
        problems.append(f"{where}.set must map values to the parameters they set, but got {sets!r}.")
    if problems:
        raise ConfigError(*problems)
    common: dict[str, Any] = {
        "name": name,
        "label": label,
        "when": {key: tuple(value) if isinstance(value, list) else (value,) for key, value in when.items()},
        "sets": tuple((value, dict(others)) for value, others in sets.items()),
    }
    distribution = written.get("distribution")
    if distribution in ELSEWHERE:
        raise ConfigError(f"{where}: the distribution {distribution} is not available; use {ELSEWHERE[distribution]}.")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        raise ConfigError(
            f"{where}: unknown distribution {distribution!r}; {nearest(str(distribution), DISTRIBUTIONS)}"
        )
    if given == {"min", "max"}:
        dimension = _range(common, written, distribution, where)
    else:
        expected = "categorical" if given == {"values"} else "constant"
        if distribution not in (None, expected):
            raise ConfigError(f"{where}: distribution {distribution} needs `min` and `max`.")
        choices = written["values"] if given == {"values"} else [written["value"]]
        if not isinstance(choices, list) or not choices:
            raise ConfigError(f"{where}.values must be a list of at least one value, but got {choices!r}.")
        if any(_among(value, tuple(choices[:index])) for index, value in enumerate(choices)):
            raise ConfigError(f"{where}.values must be different, but got {choices}.")
        dimension = Dimension(choices=tuple(choices), **common)
    for value, _ in common["sets"]:
        if not dimension.contains(value):
            raise ConfigError(f"{where}.set speaks of {value!r}, which is not one of its values.")
    return dimension


def _range(common: dict[str, Any], written: dict[str, Any], distribution: str | None, where: str) -> Dimension:
    low, high, q = written["min"], written["max"], written.get("q")
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in (low, high))
    if not numbers or not low < high:
        raise ConfigError(f"{where}: `min < max` must hold for finite numbers, but got min={low}, max={high}.")
    if distribution is None:  # as W&B decides
        distribution = "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform"
    if distribution in ("categorical", "constant"):
        raise ConfigError(f"{where}: distribution {distribution} takes `values` or `value`, not `min` and `max`.")
    if (q is not None) != (distribution == "q_uniform"):
        raise ConfigError(f"{where}: `q` belongs to q_uniform, and q_uniform needs it.")
    if q is not None and not (isinstance(q, int | float) and 0 < q <= high - low):
        raise ConfigError(f"{where}: `0 < q <= max - min` must hold, but got q={q}.")
    if distribution == "log_uniform_values" and low <= 0:
        raise ConfigError(f"{where}: `min` must be above 0 for log_uniform_values, but got {low}.")
    if distribution == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(f"{where}: `min` and `max` must be whole numbers for int_uniform, but got {low}, {high}.")
    return Dimension(
        choices=None,
        low=low,
        high=high,
        step=q,
        log=distribution == "log_uniform_values",
        integer=distribution == "int_uniform",
        **common,
    )


def _in_order(dimensions: list[Dimension]) -> tuple[Dimension, ...]:
    """Conditions after what they speak of; otherwise as written."""
    searched = {dimension.name for dimension in dimensions}
    ordered: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        open_names = {dimension.name for dimension in waiting}
        ready = next((d for d in waiting if not (set(d.when) & searched & open_names)), None)
        if ready is None:
            names = ", ".join(sorted(open_names))
            raise ConfigError(f"`study.space`: the conditions of {names} speak of each other in a circle.")
        ordered.append(ready)
        waiting.remove(ready)
    return tuple(ordered)
