"""Parts that other distributions bring: sources, heads, metrics, backbones and tables, found by their entry points.

Each registry takes its own with `load`, below those that are built in. What cannot be used is left out of it and noted:
`require_sound` says all of it, before a command does anything and before a configuration is read, so that no part is
passed over in silence.
"""

import hashlib
import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from resnet_tl.errors import ConfigError

GROUPS = {
    "resnet_tl.sources": "source",
    "resnet_tl.heads": "head",
    "resnet_tl.metrics": "metric",
    "resnet_tl.backbones": "backbone",
    "sweeps.tables": "table",
}
"""Of entry points, each with what its parts are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of another distribution."""

    name: str
    value: Any
    identity: str
    """Its distribution with its version, and a hash of its module: what changes with its code."""


_parts: dict[str, dict[str, Part]] = {}
_problems: list[str] = []


def load(group: str, *, built_in: Collection[str], must: str, fits: Callable[[str, Any], bool]) -> dict[str, Any]:
    """The parts of a group that can be used, by name.

    Args:
        group: of `GROUPS`.
        built_in: names that are taken.
        must: what a part must be, as the end of a sentence.
        fits: whether a part is that, given its name and itself.
    """
    found: dict[str, Part] = {}
    for point in _points(group):
        assert point.dist is not None  # it was found by way of one
        origin = f"{point.dist.name} {point.dist.version}"
        called = f"The {GROUPS[group]} {point.name!r} of the distribution {origin} ({point.value})"
        remedy = f"Repair it, or remove it: pip uninstall {point.dist.name}"
        if not (point.name.isidentifier() and point.name.isascii() and point.name.islower()):
            _problems.append(f"{called} must have a name of small letters, digits and `_`. {remedy}")
        elif point.name in built_in:
            _problems.append(f"{called} must have a name of its own, but that one is built in. {remedy}")
        elif point.name in found:
            other = found[point.name].identity
            _problems.append(f"{called} must have a name of its own, but {other} brings one, too. {remedy}")
        else:
            try:
                value = point.load()
                if not fits(point.name, value):
                    raise TypeError(f"it must be {must}, but is {type(value).__name__}")
            except Exception as error:  # whatever the code of others raises
                _problems.append(f"{called} cannot be used: {type(error).__name__}: {error}.{_hint(error)} {remedy}")
            else:
                identity = f"{origin}, code {_code_of(point.module)}"
                found[point.name] = Part(name=point.name, value=value, identity=identity)
    _parts[group] = found
    return {name: part.value for name, part in found.items()}


def require_sound() -> None:
    """Says what is wrong with installed parts.

    Raises:
        ConfigError: one of them cannot be used; all at once.
    """
    if _problems:
        raise ConfigError(*_problems)


def identity_of(group: str, name: str) -> str | None:
    """What names the code of a part; None for those that are built in."""
    part = _parts.get(group, {}).get(name)
    return part.identity if part else None


def part_of(group: str, name: str) -> Any:
    """A part that another distribution brought; None where it is built in."""
    part = _parts.get(group, {}).get(name)
    return part.value if part else None


def identities(group: str) -> dict[str, str]:
    """What names the code of each part of a group that other distributions brought."""
    return {name: part.identity for name, part in sorted(_parts.get(group, {}).items())}


def installed() -> dict[str, str]:
    """The same of all groups that decide numbers, as `head gelu`: what machines must agree on."""
    return {
        f"{what} {name}": identity
        for group, what in GROUPS.items()
        if group.startswith("resnet_tl.")
        for name, identity in identities(group).items()
    }


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    found = entry_points(group=group)
    return tuple(sorted(found, key=lambda point: (point.name, point.dist.name if point.dist else "")))


def _code_of(module: str) -> str:
    path = importlib.import_module(module).__file__
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:10] if path else "unknown"


def _hint(error: Exception) -> str:
    if isinstance(error, ImportError) and "partially initialized" in str(error):
        return (
            " The module of a head, metric or backbone must import no more of resnet_tl than head_spec, metrics and "
            "architecture, with which it is loaded; put other parts into a module of their own."
        )
    return ""
