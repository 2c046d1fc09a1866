"""Trials of studies that vary how images are shown: options of `data.*` that leave images and splits as they are."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from resnet_tl.config import MOST_SIDE, DataConfig, TrialConfig, float_options, integer_options
from resnet_tl.option_text import validate

SHOWN = ("balanced", "size", "crop", "synthetic")
"""Options of the data that may stand in `study.space`."""


class StudyTrial(TrialConfig):
    """One point of a space that varies how the images are shown."""

    balanced: Literal["off", "oversample", "class_weights"]
    """Of `data.balanced`: rare classes drawn more often, or weighing more in the loss."""
    size: int | None = Field(ge=8, le=MOST_SIDE)
    """Of `data.size`: pixels of the short side, then of the centre square cut from it."""
    crop: int | None = Field(ge=8, le=MOST_SIDE)
    """Of `data.crop`: pixels of the square fed to the network."""
    synthetic: float = Field(0.0, ge=0, lt=1)  # trials that were stored before there was one have none
    """Of `data.synthetic`: its `share`, or 0 for none; the generator's other options are those of `data.synthetic`."""


PARAMETERS = tuple(StudyTrial.model_fields)
"""Whatever may be searched."""
INTEGERS = (*integer_options(), "size", "crop")
FLOATS = (*float_options(), "synthetic")


def shown(data: DataConfig) -> dict[str, Any]:
    """How a study's own `data.*` shows the images, in the words of a trial."""
    share = data.synthetic.share if data.synthetic else 0.0
    return {"balanced": data.balanced or "off", "size": data.size, "crop": data.crop, "synthetic": share}


def data_of(trial: TrialConfig, data: DataConfig) -> DataConfig:
    """The images as a trial shows them.

    Raises:
        ConfigError: that cannot be: a crop larger than the image, generated images beside drawn ones.
    """
    if not isinstance(trial, StudyTrial):
        return data
    values = data.model_dump() | {"size": trial.size, "crop": trial.crop}
    values["balanced"] = False if trial.balanced == "off" else trial.balanced
    values["synthetic"] = (values["synthetic"] or {}) | {"share": trial.synthetic} if trial.synthetic else None
    return validate(DataConfig, values, "data")


def network_of(trial: TrialConfig) -> TrialConfig:
    """What a trial says of the network alone, without how it is shown the images."""
    if not isinstance(trial, StudyTrial):
        return trial
    return TrialConfig.model_validate({name: getattr(trial, name) for name in TrialConfig.model_fields})


def in_space(problems: Iterable[str]) -> list[str]:
    """Problems of a trial's options, with those of the data as they are written in a study."""
    names = "|".join(SHOWN)
    return [re.sub(rf"^`trial\.({names})`", r"`study.space.\1`", problem) for problem in problems]


def from_stored(values: Mapping[str, Any]) -> TrialConfig:
    """A configuration as it was stored."""
    return (StudyTrial if "balanced" in values else TrialConfig).model_validate(values)
