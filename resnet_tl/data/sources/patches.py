"""A patch set made by `python -m resnet_tl.patches`: its manifest says what each patch is, and is held against it."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import decode_file
from resnet_tl.data.finder import everything_below, is_ignored
from resnet_tl.data.patches.manifest import CONTACT, MANIFEST, REQUEST, differences, read_manifest
from resnet_tl.data.source import Listing, Source, folder_of, root_of, rules_of
from resnet_tl.errors import DataError, shown

_COLOUR_TYPE = 25
"""Byte of a PNG file that says whether it is grey (0)."""


class Patches:
    """`data.source: patches`."""

    names = ("patches",)
    libraries = ("pillow",)
    options = frozenset({"bits", "max_pixels", "shifted", "skip_flagged"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder."""
        return everything_below(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Reads the manifest, and compares every patch with it."""
        root = folder_of(config)
        rows = read_manifest(root)
        if wrong := differences(root, rows, may_lie=_may_lie):
            raise DataError(*wrong, "Make the set anew with `python -m resnet_tl.patches`, or put things right.")
        said = []
        whole = Counter(row.label for row in rows)
        if config.skip_flagged:
            num_flagged = sum(row.flag for row in rows)
            rows = [row for row in rows if not row.flag]
            said.append(
                f"{num_flagged} of {whole.total()} patches are flagged (no region was found in their images) and are "
                "left out (data.skip_flagged=true)."
                if num_flagged
                else "data.skip_flagged has no effect: no patch is flagged."
            )
            if gone := sorted(set(whole) - {row.label for row in rows}):
                said.append(f"No patch is left of {', '.join(gone)}, which is no class any more.")
        elif num_flagged := sum(row.flag for row in rows):
            said.append(
                f"{num_flagged} of {len(rows)} patches are flagged: no region was found in their images, so they are "
                "the centre, of the negative class; data.skip_flagged=true leaves them out."
            )
        classes = sorted({row.label for row in rows if row.split in (None, "train")})
        problems = []
        if only := sorted({row.label for row in rows} - set(classes)):
            problems.append(f"Every class must have patches in train, but these have none:\n{shown(only)}")
        if len(classes) < 2:
            problems.append(f"Patches of two classes at least must stand in {root}, but found {len(classes)}.")
        files = [root / row.path for row in rows]
        rules = rules_of(config, config.channels or (1 if all(map(_is_grey, files)) else 3))
        return Listing(
            names=[str(path) for path in files],
            labels=[classes.index(row.label) if row.label in classes else -1 for row in rows],
            given=[row.split for row in rows],
            classes=tuple(classes),
            channels=rules.channels,
            dtype="uint8",
            load=lambda index: decode_file(files[index], rules),
            groups=[row.group for row in rows] if rows and rows[0].group else None,
            problems=problems,
            said=said,
        )


def _may_lie(name: str) -> bool:
    return name in (MANIFEST, REQUEST) or bool(CONTACT.fullmatch(name)) or any(map(is_ignored, re.split("/", name)))


def _is_grey(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(_COLOUR_TYPE + 1)[_COLOUR_TYPE:] == b"\x00"


SOURCE: Source = Patches()
