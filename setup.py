"""The version, which git knows; everything else stands in pyproject.toml."""

import re
import subprocess
from pathlib import Path

from setuptools import setup

NEXT = "0.1.0"
"""The release that the code is on its way to while no tag names an earlier one."""

HERE = Path(__file__).resolve().parent


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def version() -> str:
    """`1.2.3` at the tag v1.2.3; `1.2.4.dev5+gHASH` five commits later; that of its PKG-INFO in an unpacked sdist."""
    told = HERE / "PKG-INFO"
    if told.exists():
        return re.findall(r"^Version: (\S+)$", told.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    if not _git("rev-parse", "HEAD") or Path(_git("rev-parse", "--show-toplevel")).resolve() != HERE:
        return f"{NEXT}.dev0"  # a copy of the tree, perhaps within a repository of something else
    described = re.fullmatch(
        r"v(\d+\.\d+\.)(\d+)-(\d+)-(g[0-9a-f]+)",
        _git("describe", "--tags", "--long", "--match", "v[0-9]*.[0-9]*.[0-9]*"),
    )
    if not described:
        return f"{NEXT}.dev{_git('rev-list', '--count', 'HEAD')}+g{_git('rev-parse', '--short', 'HEAD')}"
    series, last, ahead, commit = described.groups()
    return f"{series}{last}" if ahead == "0" else f"{series}{int(last) + 1}.dev{ahead}+{commit}"


setup(version=version())
