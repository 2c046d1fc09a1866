"""Which starting weights a proposal is made with, and why: never others than were asked for, and never silently."""

from dataclasses import dataclass

from resnet_tl.errors import ConfigError, WeightsError
from resnet_tl.model import weights
from resnet_tl.option_text import expand

STAGE = "own_images"
"""The pretrain stage that learns how the user's own images are turned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Starting weights."""

    weights: str
    """For `trial.weights`: a name, a file, or the stage."""
    why: str
    """One sentence for the person and for the file."""

    @property
    def is_stage(self) -> bool:
        """Whether the study makes them itself."""
        return self.weights == STAGE

    @property
    def is_nothing(self) -> bool:
        """Whether every network starts from random weights."""
        return self.weights == "none"


def choose(asked: str | None, backbone: str, *, can_turn: bool) -> Start:
    """Finds weights that can be had here.

    Args:
        asked: `imagenet`, `rotations`, `none`, or what `trial.weights` takes; None leaves it to us.
        can_turn: whether there are image files, which alone a stage can learn to turn.

    Raises:
        ConfigError: rotations were asked for where there are no files.
        WeightsError: those that were asked for cannot be had; says the one edit that makes it run.
    """
    if asked == "none":
        return Start(weights="none", why="weights=none was asked for: every network starts from random weights.")
    if asked == "rotations" and not can_turn:
        raise ConfigError("`weights=rotations` needs a folder of image files, but the images are arrays.")
    if asked == "rotations":
        return Start(weights=STAGE, why="weights=rotations was asked for: a stage learns from your own images.")
    try:
        said = weights.check(asked or "imagenet", backbone)
    except WeightsError as error:
        if asked is not None:
            raise WeightsError(
                *error.problems,
                "To go on here, give weights=rotations (the study learns from your own images first, without labels), "
                "weights=FILE (a state dict or a checkpoint), or weights=none.",
            ) from None
        if not can_turn:
            return Start(
                weights="none",
                why=f"{_reason(error)}. So every network starts from random weights: with a connection, or with their "
                "file in place, start anew with weights=imagenet.",
            )
        return Start(
            weights=STAGE,
            why=f"{_reason(error)}. So a stage learns from your own images first, without their labels. ImageNet's "
            "weights are mostly far better: with a connection, or with their file in place, start anew with "
            "weights=imagenet.",
        )
    if asked in (None, "imagenet"):
        told = said[0] if said else "ImageNet's weights are in torchvision's cache."
        return Start(weights="imagenet", why=told)
    path = expand(asked, "weights")
    found = str(path.absolute()) if path.exists() else asked  # the study is to run from any folder
    return Start(weights=found, why=" ".join([f"weights={asked} was asked for.", *said]))


def _reason(error: WeightsError) -> str:
    """Without what to do about it, which is said here in other words."""
    return error.problems[0].partition(". On a machine")[0].rstrip(".")
