"""What a study expects, in a form that its results can answer.

hypotheses:
  - A sentence, which stands above the tables.
  - {compare: {head: [linear, mlp_relu]}, expect: no_difference, margin: 0.01}
  - {compare: {weights: [imagenet, none]}, expect: imagenet, says: Pretraining helps., where: {lr: 1e-3}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from resnet_tl.errors import ConfigError
from resnet_tl.metrics import METRICS
from resnet_tl.option_text import brief, few, nearest
from sweeps.definition.names import instead
from sweeps.study_trial import PARAMETERS

KEYS = ("says", "compare", "expect", "margin", "metric", "where")
NO_DIFFERENCE, DIFFERENCE = "no_difference", "difference"


def canonical(value: Any) -> Any:
    """A parameter's value as reports hold it: a list of augmentations is text, numbers are numbers."""
    if isinstance(value, list | tuple):
        return "+".join(str(item) for item in value) or "none"
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two written values mean the same."""
    a, b = canonical(a), canonical(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b) or (a in (None, "off") and b in (None, "off"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One expectation."""

    says: str | None
    """In words."""
    parameter: str | None = None
    """What is compared; None for a sentence, which nothing answers."""
    values: tuple[Any, ...] = ()
    expect: Any = None
    """`no_difference`, `difference`, or the value that is to win."""
    margin: float | None = None
    """Differences below it do not matter, in the unit of the metric (fractions)."""
    metric: str | None = None
    """What is compared; default: the study's metric, on test."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Only trials with these values."""

    def written(self) -> Any:
        """As it stands in a study file."""
        if self.parameter is None:
            return self.says
        content: dict[str, Any] = {"says": self.says} if self.says else {}
        content |= {"compare": {self.parameter: list(self.values)}, "expect": self.expect}
        content |= {name: getattr(self, name) for name in ("margin", "metric") if getattr(self, name) is not None}
        return content | ({"where": dict(self.where)} if self.where else {})


def parse_hypothesis(written: Any) -> Hypothesis:
    """Reads one entry of `study.hypotheses`.

    Raises:
        ConfigError: every problem of it at once.
    """
    where = "`study.hypotheses`"
    if isinstance(written, str):
        return Hypothesis(says=written)
    if not isinstance(written, dict):
        raise ConfigError(f"{where}: each must be a sentence or a mapping with `compare:`, but got {brief(written)}.")
    problems = [f"{where} has no option `{key}`; {nearest(str(key), KEYS)}" for key in written if key not in KEYS]
    compare = written.get("compare")
    if not isinstance(compare, dict) or len(compare) != 1:
        raise ConfigError(
            *problems,
            f"{where}: `compare` must map one parameter to its values, such as {{head: [linear, mlp_relu]}}, but got "
            f"{brief(compare)}.",
        )
    parameter, values = next(iter(cast(dict[str, Any], compare).items()))
    if parameter not in PARAMETERS:
        problems.append(f"{where}: compare speaks of `{parameter}`, no parameter; {instead(parameter)}")
    if not isinstance(values, list) or len(values) < 2:
        raise ConfigError(
            *problems, f"{where}: compare.{parameter} must list two values or more, but got {brief(values)}."
        )
    if any(same(a, b) for index, a in enumerate(values) for b in values[:index]):
        problems.append(f"{where}: compare.{parameter} must list different values, but got {values}.")
    expect = written.get("expect")
    if not (expect in (NO_DIFFERENCE, DIFFERENCE) or any(same(expect, value) for value in values)):
        problems.append(
            f"{where}: `expect` must be {NO_DIFFERENCE}, {DIFFERENCE} or the value that is to win "
            f"({few(canonical(value) for value in values)}), but got {brief(expect)}."
        )
    margin = written.get("margin")
    number = isinstance(margin, int | float) and not isinstance(margin, bool)
    if margin is not None and not (number and 0 < margin < float("inf")):
        problems.append(f"{where}: `margin` must be a number above 0, but got {brief(margin)}.")
    if expect == NO_DIFFERENCE and margin is None:
        problems.append(
            f"{where}: `expect: {NO_DIFFERENCE}` needs `margin`, the difference that would not matter (0.01 is one "
            "percentage point): that two means are equal to the last digit is never shown."
        )
    metric = written.get("metric")
    scores = [f"{split}/{name}" for split in ("val", "test") for name in METRICS]
    if metric is not None and metric not in scores:
        problems.append(f"{where}: `metric` must be a score, but got {brief(metric)}; {nearest(str(metric), scores)}")
    only = written.get("where") or {}
    if not isinstance(only, dict):
        problems.append(f"{where}: `where` must map parameters to values, but got {brief(only)}.")
    elif unknown := [name for name in only if name not in PARAMETERS]:
        problems += [f"{where}: `where` speaks of `{name}`, no parameter; {instead(name)}" for name in unknown]
    elif parameter in only:
        problems.append(f"{where}: `where` must leave {parameter} open, which is compared.")
    says = written.get("says")
    if says is not None and not isinstance(says, str):
        problems.append(f"{where}: `says` must be a sentence, but got {brief(says)}.")
    if problems:
        raise ConfigError(*problems)
    return Hypothesis(
        says=says,
        parameter=str(parameter),
        values=tuple(values),
        expect=expect,
        margin=float(cast(float, margin)) if margin is not None else None,
        metric=metric,
        where=only,
    )
