"""Images without labels, each in four positions, whose turn is the class: what a network can learn before any label.

Source: Gidaris, Singh and Komodakis 2018, "Unsupervised Representation Learning by Predicting Image Rotations".
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import Decoded, Pixels, decode_file
from resnet_tl.data.finder import check_names, everything_below, files_below, is_image, told
from resnet_tl.data.source import Listing, Source, folder_of, root_of, rules_of
from resnet_tl.errors import DataError

TURNS = (0, 90, 180, 270)
"""Degrees, anticlockwise."""


class Rotations:
    """`data.source: rotations`: all images below a folder, whatever the folders in it are called."""

    names = ("rotations",)
    libraries = ("pillow",)
    options = frozenset({"bits", "max_pixels", "sha256", "truncated", "url"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder."""
        return everything_below(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Lists every image four times; the four stand in one split."""
        root = folder_of(config)
        if config.size is None:
            raise DataError("`data.size` must be given for data.source=rotations: only squares can be turned alike.")
        found = files_below(root)
        if not found.files:
            raise DataError(f"{root} holds no images.")
        check_names(Path(path) for path in found.files)
        rules = rules_of(config, config.channels or 3)

        def load(index: int) -> Decoded:
            number, turn = divmod(index, len(TURNS))
            decoded = decode_file(found.files[number], rules)
            turned = cast(Pixels, np.ascontiguousarray(np.rot90(decoded.pixels, turn, axes=(1, 2))))
            # as a copy in another position it would be taken for a near copy of another class
            content = decoded.content if turn == 0 else f"{decoded.content}/{TURNS[turn]}"
            return replace(decoded, pixels=turned, content=content, thumbnail=None)

        each = [path for path in found.files for _ in TURNS]
        return Listing(
            names=[f"{path} turned by {turn}" for path in found.files for turn in TURNS],
            labels=[label for _ in found.files for label in range(len(TURNS))],
            given=[None] * len(each),
            classes=tuple(f"turned by {turn}" for turn in TURNS),
            channels=rules.channels,
            dtype="uint8",
            load=load,
            groups=[str(path) for path in each],
            bad={
                f"{path} turned by {turn}": f"has no image suffix that Pillow knows here ({path.suffix or 'none'})"
                for path in found.files
                if not is_image(path)
                for turn in TURNS
            },
            said=[
                f"{len(found.files):,} images, each in four positions; the class is the turn, and no label is read.",
                *([told(found.passed_over)] if found.passed_over else []),
            ],
        )


SOURCE: Source = Rotations()
