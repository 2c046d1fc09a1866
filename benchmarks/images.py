"""The images of all measurements: up to 250 drawings a class of Debian's package openclipart-png, nine classes."""

from pathlib import Path

SOURCE = Path("/usr/share/openclipart/png")
KINDS = (
    "animals", "food", "people", "transportation", "buildings", "plants", "recreation/games",
    "signs_and_symbols/flags", "tools",
)  # fmt: skip
MOST_BYTES = 200_000
"""Larger files take long to decode, and some claim to be decompression bombs."""


def lay_out(destination: Path, most: int = 250) -> int:
    """Links up to `most` drawings of each kind into a folder for each class; returns how many there are.

    Raises:
        SystemExit: the package is not installed.
    """
    if not SOURCE.exists():
        raise SystemExit(f"{SOURCE} must be there; install it with  apt-get install openclipart-png")
    count = 0
    for kind in KINDS:
        folder = destination / kind.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        paths = [p for p in sorted((SOURCE / kind).rglob("*.png")) if p.stat().st_size < MOST_BYTES]
        for path in paths[:most]:
            link = folder / ("_in_".join(reversed(path.relative_to(SOURCE / kind).with_suffix("").parts)) + ".png")
            if not link.exists():
                link.symlink_to(path.resolve())
            count += 1
    return count
