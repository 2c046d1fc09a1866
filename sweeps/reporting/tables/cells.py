"""Words and numbers as cells show them."""

from typing import Any

MISSING = "/"
NAMES = {
    "lr": "Learning rate",
    "bn": "BatchNorm",
    "backbone_lr_factor": "Backbone lr factor",
    "epochs": "Epochs",
}
VALUES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
SHORT = {"accuracy": "acc", "auroc": "AUROC", "f1": "F1"}


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


def score(metric: str, value: float, *, percent_sign: bool = True) -> str:
    """A loss with 3 decimals; anything else in percent with 2."""
    if metric.endswith("loss"):
        return f"{value:.3f}"
    return f"{100 * value:.2f}" + ("%" if percent_sign else "")


def rounded(metric: str, value: float) -> float:
    """A score as far as it is shown."""
    return round(value, 3) if metric.endswith("loss") else round(100 * value, 2)


def gap(metric: str, value: float) -> str:
    """A difference of two scores with its sign: of losses, or in percentage points."""
    text = score(metric, value, percent_sign=False)
    return text if text.startswith("-") else f"+{text}"


def gap_interval(metric: str, mean: float, low: float | None, high: float | None) -> str:
    """A difference with its interval."""
    if low is None or high is None:
        return gap(metric, mean)
    return f"{gap(metric, mean)} [{gap(metric, low)}, {gap(metric, high)}]"


def unit(metric: str) -> str:
    """Of a difference, in words."""
    return "" if metric.endswith("loss") else " in percentage points"


def interval(metric: str, low: float, high: float) -> str:
    """A score's interval, without what no score can be; what is left covers as often."""
    sign = "" if metric.endswith("loss") else "%"
    most = high if metric.endswith("loss") else min(high, 1.0)
    return "–".join(score(metric, value, percent_sign=False) for value in (max(low, 0.0), most)) + sign


def p_value(p: float) -> str:
    """Three decimals."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def label(metric: str) -> str:
    """A score's column header."""
    split, _, name = metric.partition("/")
    return f"{split.capitalize()} {SHORT.get(name, name)}"


def number(value: float | None) -> str:
    """A count, or a mean of counts."""
    if value is None:
        return MISSING
    return f"{value:g}" if value == round(value) else f"{value:.1f}"
