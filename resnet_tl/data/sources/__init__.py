"""The sources of images: each module of this folder is one, under the name `SOURCE`; other distributions bring more."""

import pkgutil
from importlib import import_module
from typing import Any

from resnet_tl.config import DataConfig
from resnet_tl.data.source import Source
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.option_text import nearest
from resnet_tl.parts import load

_BUILT_IN: tuple[Source, ...] = tuple(
    import_module(f"{__name__}.{module.name}").SOURCE for module in pkgutil.iter_modules(__path__)
)


def _is_source(name: str, value: Any) -> bool:
    members = ("names", "libraries", "options", "files", "list")
    return all(hasattr(value, member) for member in members) and tuple(value.names) == (name,)


SOURCES: tuple[Source, ...] = (
    *_BUILT_IN,
    *load(
        "resnet_tl.sources",
        built_in={name.partition(".")[0] for source in _BUILT_IN for name in source.names},
        must="a `Source` whose only name is that of the entry point",
        fits=_is_source,
    ).values(),
)


def source_of(config: DataConfig) -> Source:
    """The source that `data.source` names.

    Raises:
        DataError: there is none of that name.
        ConfigError: an option is set that this source does not know.
    """
    source = next((source for source in SOURCES if any(_stands_for(n, config.source) for n in source.names)), None)
    if source is None:
        known = [name for each in SOURCES for name in each.names]
        raise DataError(f"`data.source` must name a source, but got {config.source!r}; {nearest(config.source, known)}")
    problems = []
    for option in sorted(frozenset[str]().union(*(each.options for each in SOURCES)) - source.options):
        if getattr(config, option) != DataConfig.model_fields[option].default:
            takers = ", ".join(name for each in SOURCES if option in each.options for name in each.names)
            problems.append(f"`data.{option}` works with data.source={takers} only, but got {config.source}.")
    if problems:
        raise ConfigError(*problems)
    return source


def _stands_for(pattern: str, name: str) -> bool:
    family, dot, any_word = pattern.partition(".NAME")
    return name.startswith(f"{family}.") if dot and not any_word else name == pattern
