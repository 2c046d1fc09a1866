"""Lays out drawings of Debian's package openclipart-png as class folders, for docs/examples/drawings.yaml.

    apt-get install openclipart-png
    python docs/examples/drawings.py drawings

Links the files into drawings/study (animals, food, people, transportation) and drawings/pretrain (five other kinds).
"""

import sys
from pathlib import Path

SOURCE = Path("/usr/share/openclipart/png")
SETS = {
    "study": ["animals", "food", "people", "transportation"],
    "pretrain": ["buildings", "plants", "recreation/games", "signs_and_symbols/flags", "tools"],
}


def main(destination: Path) -> None:
    """Makes the folders."""
    for name, kinds in SETS.items():
        for kind in kinds:
            folder = destination / name / kind.replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted((SOURCE / kind).rglob("*.png")):
                link = folder / "_in_".join(reversed(path.relative_to(SOURCE / kind).with_suffix("").parts))
                link = link.with_name(link.name + ".png")
                if not link.exists():
                    link.symlink_to(path.resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
