"""What the user decides about a patch set."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from resnet_tl.config import MAX_PIXELS, MOST_SIDE, DataConfig, Options
from resnet_tl.data.finder import is_ignored
from resnet_tl.data.layout import split_of
from resnet_tl.option_text import CONTROL

LITERAL = ("images", "masks", "out", "group_key")
"""Options that are taken letter by letter: paths and patterns."""
_OF_SPLITS = ("val_fraction", "test_fraction", "split_seed")


class PatchOptions(Options):
    """Options of `python -m resnet_tl.patches`."""

    images: str
    """Folder of the images: PNG, JPEG, TIFF or what else Pillow reads, and DICOM; in one folder for each class, or with
    `labels` in any. Folders named train, val and test above these are kept as the splits."""
    masks: str
    """Folder of the region masks, each under the path of its image, with any suffix."""
    out: str
    """Folder for the patches. One that is not empty is replaced where this command made it with the same options and
    nothing in it was changed since; else it is refused."""
    size: int = Field(ge=8, le=MOST_SIDE)
    """Pixels of the side of a patch, in its image; no image may be smaller."""
    per_region: bool = False
    """One patch for each connected region (pixels that touch at a side or a corner) instead of one for each image."""
    labels: dict[str, str] | None = None
    """How file names tell the class, `{Benign: 0, Malignant: 1}`: a text that stands in the name, capital letters as
    they are, and the class. Without it the class is the folder."""
    negative: str | None = None
    """Class of images without a region; default: the first by name."""
    threshold: int | None = Field(None, ge=0)
    """Values of a mask above it are region. Without it a mask must hold 0 and one other value alone."""
    group_key: str | None = None
    """A regular expression searched in each image's path below its class folder, or below `images` with `labels`; the
    first of its groups that captures something names the patient or case, none of whom stands in two splits."""
    group_missing: Literal["refuse", "own"] = "refuse"
    """What becomes of images in whose path `group_key` is not found: an error, or a group of its own for each."""
    split: bool = True
    """Cut val and test here, into folders; else training cuts what the images' folders do not state."""
    val_fraction: float = Field(DataConfig.model_fields["val_fraction"].default, gt=0, lt=1)
    """Share of the patches cut off as val where the folders state none."""
    test_fraction: float = Field(DataConfig.model_fields["test_fraction"].default, gt=0, lt=1)
    """The same for test."""
    split_seed: int = Field(0, ge=0)
    """Decides the splits that are cut."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Images of more pixels, width times height, are taken for decompression bombs."""

    @field_validator("labels", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {_text(key): _text(label) for key, label in value.items()}

    @field_validator("negative", mode="before")
    @classmethod
    def _negative(cls, value: Any) -> Any:
        return value if value is None else _text(value)

    @field_validator("labels")
    @classmethod
    def _class_names(cls, value: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        if value is None:
            return None
        if len(set(value.values())) < 2:
            raise ValueError("must name two classes at least, such as {Benign: 0, Malignant: 1}")
        if "" in value or any("/" in key for key in value):
            raise ValueError("must hold texts that stand in file names, neither empty nor with a /")
        odd = [
            name
            for name in value.values()
            if not name.strip() or is_ignored(name) or split_of(name)[1] or "/" in name or CONTROL.search(name)
        ]
        if odd:
            raise ValueError(
                "must name classes that can be names of folders, and of no splits, which these cannot: "
                + ", ".join(map(repr, odd))
            )
        return value

    @model_validator(mode="after")
    def _agree(self) -> "PatchOptions":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "`val_fraction + test_fraction < 1` must hold, or nothing is left to train on, but got "
                f"{self.val_fraction} + {self.test_fraction}"
            )
        if self.group_missing != "refuse" and self.group_key is None:
            raise ValueError("`group_missing` needs `group_key`, without which there are no groups")
        idle = [name for name in _OF_SPLITS if name in self.model_fields_set]
        if idle and not self.split:
            raise ValueError(
                f"`{idle[0]}` has no effect with split=false, where training cuts the splits; leave it out"
            )
        return self


def _text(value: Any) -> Any:
    """A class or a piece of a name as it was written: YAML reads 0 as a number, and true as a truth."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value
