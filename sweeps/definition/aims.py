"""What a study may aim at beside its metric: other scores on val, seconds, and sizes of the network.

All of it is told from the ledger: scores and seconds stand in its seed runs, and sizes follow from a trial's
configuration, without the network and without torch.
"""

from collections.abc import Mapping
from typing import Any, Literal

from resnet_tl.config import TrialConfig
from resnet_tl.freezing import num_parameters, num_trained
from resnet_tl.metrics import METRICS, metric_of
from resnet_tl.option_text import brief, nearest

SCORES = tuple(f"val/{metric}" for metric in METRICS)
SECONDS = "seconds"
SIZES = ("parameters", "trained_parameters")
OTHERS: Mapping[str, str] = {
    SECONDS: "wall time of a seed run, mean over seeds, which another machine or another load changes",
    "parameters": "all parameters of the network with its head (a whole checkpoint has 4 bytes of each)",
    "trained_parameters": "those that train, head included",
}
"""Aims that are no scores, with what they are; of each less is better."""


def better_of(aim: str) -> Literal["min", "max"]:
    """Whether a lower or a higher value is better."""
    return "min" if aim in OTHERS else metric_of(aim).better


def direction_of(aim: str) -> Literal["maximize", "minimize"]:
    """The same as samplers say it."""
    return "minimize" if better_of(aim) == "min" else "maximize"


def parse_aims(written: Any) -> tuple[str, ...]:
    """Reads a list of aims.

    Raises:
        ValueError: it is no list, or one of them is unknown or stands there twice; what must hold, and what was got.
    """
    if not isinstance(written, list | tuple):
        raise ValueError(f"must be a list of aims such as [val/accuracy, seconds], but got {brief(written)}")
    valid = (*SCORES, *OTHERS)
    for aim in written:
        if not isinstance(aim, str) or aim not in valid:
            name = str(aim)
            hint = "the test split never steers anything" if name.startswith("test/") else nearest(name, valid)
            raise ValueError(
                f"must list scores on val, {', '.join(OTHERS)}, but got {brief(aim)}; {hint.removesuffix('.')}"
            )
    twice = sorted({aim for aim in written if written.count(aim) > 1})
    if twice:
        raise ValueError(f"must list each aim once, but has {twice[0]} twice")
    return tuple(written)


def sizes_of(trial: TrialConfig, *, channels: int, num_classes: int) -> dict[str, int]:
    """The values of `SIZES`."""
    return {
        "parameters": num_parameters(trial, channels=channels, num_classes=num_classes),
        "trained_parameters": num_trained(trial, channels=channels, num_classes=num_classes),
    }
