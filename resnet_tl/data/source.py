"""What a source of images is: it lists what there is, checked, before any pixel is decoded.

The sources themselves are the modules of `resnet_tl.data.sources`; a new one is one more file there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import Decoded, Rules
from resnet_tl.errors import DataError
from resnet_tl.option_text import expand, in_quotes


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a source holds."""

    names: Sequence[str]
    """N names for messages and tables."""
    labels: Sequence[int]
    given: Sequence[str | None]
    """The split that the source states for each image, or None."""
    classes: tuple[str, ...]
    channels: int
    dtype: Literal["uint8", "float32"]
    load: Callable[[int], Decoded]
    """Decodes and resizes the image of a number; raises BadImage."""
    groups: Sequence[str] | None = None
    parallel: bool = True
    """Whether `load` may be called from several threads."""
    bad: dict[str, str] = field(default_factory=dict)
    """Names that cannot be images, with the reason, known without decoding."""
    problems: Sequence[str] = ()
    """What else is wrong, to be reported together with what decoding finds."""
    unlearnable: Sequence[str] = ()
    """What is wrong for learning alone: a set of one class can still be scored."""
    said: Sequence[str] = ()
    """What was decided about the layout, one sentence each, where the user might expect something else."""


class Source(Protocol):
    """One kind of place that images come from; a module of `resnet_tl.data.sources` has one as `SOURCE`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The values of `data.source` that it answers to; `x.NAME` stands for any word behind `x.`."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions whose versions decide what pixels come out."""

    @property
    def options(self) -> frozenset[str]:
        """Those options of `data.*` that only some sources know, and this one does."""

    def files(self, config: DataConfig) -> Sequence[Path]:
        """Every file and folder that the listing may depend on; they are looked at, not read."""

    def list(self, config: DataConfig) -> Listing:
        """Lists and checks the images.

        Where `data.bits` is no number, images that store more than 8 bits are decoded as if they used 16.

        Raises:
            DataError: the images or labels are not as they must be.
        """


def rules_of(config: DataConfig, channels: int) -> Rules:
    """How the images become pixels."""
    return Rules(
        channels=channels,
        size=config.size,
        resize=config.resize,
        bits=config.bits if isinstance(config.bits, int) else 16,
        max_pixels=config.max_pixels,
        truncated=config.truncated,
    )


def root_of(config: DataConfig) -> Path:
    """The folder that `data.root` names.

    Raises:
        DataError: it is not given.
    """
    assert config.url is None, "`remote.local` puts a folder in place of an address"
    if config.root is None:
        raise DataError(f"`data.root` must be given for data.source={config.source}: the folder that holds it.")
    return expand(config.root, "data.root")


def folder_of(config: DataConfig) -> Path:
    """The folder that `data.root` names, which must be there.

    Raises:
        DataError: it is not given, or no folder.
    """
    root = root_of(config)
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        told = "" if root.is_absolute() else f" ({root.absolute()}; it is looked for in the current folder)"
        raise DataError(f"`data.root` must be a folder, but {root} {kind}{told}.{in_quotes(str(config.root))}")
    return root
