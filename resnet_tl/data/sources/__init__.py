"""The sources of images: each module of this folder is one, under the name `SOURCE`."""

import pkgutil
from importlib import import_module

from resnet_tl.config import DataConfig
from resnet_tl.data.source import Source
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.option_text import nearest

SOURCES: tuple[Source, ...] = tuple(
    import_module(f"{__name__}.{module.name}").SOURCE for module in pkgutil.iter_modules(__path__)
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
