"""Which tables a study asks for. Shared by the definition, which checks them, and the reports, which draw them."""

from dataclasses import dataclass
from typing import Any, cast

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.options import nearest

OPTIONS: dict[str, tuple[str, ...]] = {
    "flat": ("by",),
    "lists": ("by",),
    "summary": ("by",),
    "pivot": ("rows", "columns", "by"),
    "best": ("group",),
    "imagenet": (),
    "ablation": (),
    "importances": (),
    "slices": (),
    "confirmed": (),
    "hypotheses": (),
}
"""The kinds of table, with the options each takes; the value of every option is a parameter's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableSpec:
    """One table of a report."""

    kind: str
    by: str | None = None
    """One table for each value of this parameter."""
    rows: str | None = None
    columns: str | None = None
    group: str | None = None
    """`best`: one row for each value of this parameter."""

    def written(self) -> Any:
        """As it stands in a study file."""
        options = {name: getattr(self, name) for name in OPTIONS[self.kind] if getattr(self, name)}
        return {self.kind: options} if options else self.kind


def parse_table(written: Any) -> TableSpec:
    """Reads `summary`, or `{pivot: {rows: lr, columns: batch_size}}`.

    Raises:
        ConfigError: an unknown kind or option.
    """
    kind, options = written, cast(dict[str, Any], {})
    if isinstance(written, dict) and len(written) == 1:
        kind, options = next(iter(written.items()))
    if not isinstance(kind, str) or kind not in OPTIONS:
        raise ConfigError(f"`study.tables` must name kinds of table, but got {kind!r}; {nearest(str(kind), OPTIONS)}")
    options = options or {}
    if not isinstance(options, dict):
        raise ConfigError(f"`study.tables`: the options of {kind} must be a mapping, but got {options!r}.")
    problems = [
        f"`study.tables`: {kind} has no option `{name}`; it takes {', '.join(OPTIONS[kind]) or 'none'}."
        for name in options
        if name not in OPTIONS[kind]
    ]
    problems += [
        f"`study.tables`: {kind}.{name} must be a parameter, but got {value!r}; "
        f"{nearest(str(value), TrialConfig.model_fields)}"
        for name, value in options.items()
        if value not in TrialConfig.model_fields and value != "study"
    ]
    if problems:
        raise ConfigError(*problems)
    return TableSpec(kind=kind, **options)


FIGURES = ("curves", "seeds", "heatmap", "importances", "cost", "confusion", "reliability")
"""The kinds of picture."""


def parse_figures(written: Any) -> tuple[str, ...]:
    """Reads `all`, `none`, or a list of kinds.

    Raises:
        ConfigError: an unknown kind.
    """
    items = [written] if isinstance(written, str) else written or []
    if items == ["all"]:
        return FIGURES
    if items == ["none"]:
        return ()
    unknown = [item for item in items if item not in FIGURES]
    if unknown:
        raise ConfigError(
            f"`study.figures` must name kinds of picture, but got {unknown[0]!r}; {nearest(str(unknown[0]), FIGURES)}"
        )
    return tuple(dict.fromkeys(items))
