"""Words and numbers as cells show them."""

from dataclasses import dataclass
from typing import Any

from resnet_tl.metrics import metric_of
from sweeps.statistics.planned import Needed, Paired
from sweeps.statistics.stats import LEVEL, Summary

MISSING = "/"
NAMES = {
    "lr": "Learning rate",
    "bn": "BatchNorm",
    "backbone_lr_factor": "Backbone lr factor",
    "epochs": "Epochs",
}
LONG = 1e6
"""Scores from which on digits tell nothing: the loss of a network that came apart."""
VALUES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}

LESS_OR_MORE = {"min": "less is better", "max": "more is better"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """How values of a unit are written."""

    factor: float
    digits: int
    sign: str
    """Behind the number, and in brackets behind a column's name."""
    of_difference: str
    """In words, behind what is different."""
    digits_in_pictures: int


UNITS = {
    "fraction": Unit(factor=100, digits=2, sign="%", of_difference=" in percentage points", digits_in_pictures=1),
    "nats": Unit(factor=1, digits=3, sign="", of_difference="", digits_in_pictures=3),
    "squares": Unit(factor=1, digits=3, sign="", of_difference="", digits_in_pictures=3),
}
"""By the units of `resnet_tl.metrics`."""


def name_of(parameter: str) -> str:
    """A parameter's column header."""
    return NAMES.get(parameter, parameter.replace("_", " ").capitalize())


def show(parameter: str, value: Any) -> str:
    """A parameter's value as cells show it."""
    if value is None:
        return "off" if parameter == "patience" else MISSING
    if parameter in ("lr", "weight_decay") and isinstance(value, int | float):
        return scientific(value)
    return VALUES.get(str(value), str(value))


def show_range(parameter: str, value: Any) -> str:
    """A value, or the lowest and highest of a range of them."""
    if isinstance(value, tuple):
        return f"{show(parameter, value[0])} to {show(parameter, value[1])}"
    return show(parameter, value)


def scientific(value: float) -> str:
    """`1e-6`, `2.5e-4`; zero is `0`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def momentum(values: dict[str, Any]) -> str:
    """Momentum of SGD, or the betas of Adam."""
    if str(values.get("optimizer")) in ("adam", "adamw"):
        return "(0.9, 0.999)"
    return show("momentum", values.get("momentum"))


def unit_of(metric: str) -> Unit:
    """How a score is written."""
    return UNITS[metric_of(metric).unit]


def score(metric: str, value: float, *, sign: bool = True) -> str:
    """A score with its unit's digits, in percent or as it is."""
    own = unit_of(metric)
    if abs(value) >= LONG:
        return scientific(value)
    return f"{own.factor * value:.{own.digits}f}" + (own.sign if sign else "")


def rounded(metric: str, value: float) -> float:
    """A score as far as it is shown."""
    own = unit_of(metric)
    return round(own.factor * value, own.digits)


def gap(metric: str, value: float) -> str:
    """A difference of two scores with its sign: of losses, or in percentage points."""
    text = score(metric, value, sign=False)
    if text.startswith("-") and float(text) == 0:
        text = text[1:]  # what rounding has left
    return text if text.startswith("-") else f"+{text}"


def gap_interval(metric: str, told: Paired) -> str:
    """A difference with its interval, where there is one: of a single pair, or of equal ones, there is none."""
    if told.low is None or told.high is None:
        return f"{gap(metric, told.mean)} [{MISSING}]"
    return f"{gap(metric, told.mean)} [{gap(metric, told.low)}, {gap(metric, told.high)}]"


def unit(metric: str) -> str:
    """Of a difference, in words."""
    return unit_of(metric).of_difference


def interval(metric: str, told: Summary) -> str:
    """The interval of a mean, without what no score can be: what is left covers as often."""
    if told.low is None or told.high is None:
        return "one seed" if told.n == 1 else MISSING
    low, high = told.low, told.high
    least, most = metric_of(metric).bounds
    ends = (max(low, least), min(high, most))
    return "–".join(score(metric, value, sign=False) for value in ends) + unit_of(metric).sign


def p_value(p: float) -> str:
    """Three decimals, and one more where they would hide on which side of the level it lies."""
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}"
    return text if (float(text) <= LEVEL) == (p <= LEVEL) else f"{p:.4f}"


def label(metric: str) -> str:
    """A score's column header."""
    return f"{metric.partition('/')[0].capitalize()} {metric_of(metric).short}"


def title(metric: str) -> str:
    """The same with capitals, and its unit."""
    short, sign = metric_of(metric).short, unit_of(metric).sign
    return f"{metric.partition('/')[0].capitalize()} {short[0].upper()}{short[1:]}" + (f" ({sign})" if sign else "")


def seconds(value: float) -> str:
    """A time, in two digits or more."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def number(value: float | None) -> str:
    """A count, or a mean of counts."""
    if value is None:
        return MISSING
    return f"{value:g}" if value == round(value) else f"{value:.1f}"


def what_would_show(needed: Needed, metric: str) -> str | None:
    """More seeds or more images in words, where nobody has reason to know their number exactly; None for neither."""
    split = metric.partition("/")[0]
    seeds = None if needed.seeds is None else f"{_about(needed.seeds, most=100)} seeds"
    images = None if needed.images is None else f"{_about(needed.images, most=100_000)} {split} images"
    return " or ".join(word for word in (seeds, images) if word) or None


def _about(needed: int, *, most: int) -> str:
    return ("" if needed > most else "about ") + roughly(needed, most=most)


def roughly(needed: int, *, most: int = 100) -> str:
    """A number to two digits, up to which it is told."""
    if needed > most:
        return f"more than {most:,}"
    step = 10 ** max(len(str(needed)) - 2, 0)
    return f"{-(-needed // step) * step:,}"
