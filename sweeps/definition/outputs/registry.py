"""The kinds of table and picture that there are, and how a request for one is read."""

import importlib
import pkgutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from pydantic import ValidationError

from resnet_tl.errors import ConfigError
from resnet_tl.option_text import brief, nearest
from resnet_tl.parts import GROUPS, load, part_of, require_sound
from sweeps.definition.outputs.options import FigureOptions, OutputOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One table or picture of a report."""

    kind: str
    options: OutputOptions

    def written(self) -> Any:
        """As it stands in a study file."""
        options = self.options.written()
        return {self.kind: options} if options else self.kind


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All kinds of one sort of output: the modules of a folder, each with its `Options`."""

    folder: str
    noun: str

    @cached_property
    def kinds(self) -> Mapping[str, type[OutputOptions]]:
        """By name."""
        package = importlib.import_module(f"sweeps.definition.outputs.{self.folder}")
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        built_in = {name: importlib.import_module(f"{package.__name__}.{name}").Options for name in names}
        return built_in | {name: part.Options for name, part in self._brought(built_in).items()}

    def brought(self, kind: str) -> Any:
        """The module of a kind that another distribution brings, `Options` and `draw` in one; None of built-in ones."""
        return part_of(f"sweeps.{self.folder}", kind) if kind in self.kinds else None

    def _brought(self, built_in: Collection[str]) -> Mapping[str, Any]:
        if f"sweeps.{self.folder}" not in GROUPS:
            return {}
        return load(
            f"sweeps.{self.folder}",
            built_in=built_in,
            must="a module with `Options`, an `OutputOptions`, and `draw`",
            fits=lambda _, value: issubclass(value.Options, OutputOptions) and callable(value.draw),
        )

    def spec(self, written: Any, where: str) -> Spec:
        """Reads `summary`, or `{pivot: {rows: lr, columns: batch_size}}`.

        Args:
            where: the option in which it stands.

        Raises:
            ConfigError: an unknown kind, or options that it does not take; all of them at once.
        """
        kind, options = written, cast(Any, {})
        known = self.kinds
        require_sound()
        if isinstance(written, dict) and len(written) == 1:
            kind, options = next(iter(written.items()))
        if not isinstance(kind, str) or kind not in known:
            raise ConfigError(
                f"`{where}` must name kinds of {self.noun}, but got {brief(kind)}; {nearest(str(kind), known)}"
            )
        options = options or {}
        if not isinstance(options, dict):
            raise ConfigError(f"`{where}`: the options of {kind} must be a mapping, but got {brief(options)}.")
        model = known[kind]
        try:
            return Spec(kind=kind, options=model.model_validate(options))
        except ValidationError as error:
            raise ConfigError(*(f"`{where}`: {_problem(kind, model, dict(one))}" for one in error.errors())) from None

    def help(self) -> str:
        """Each kind with what it shows and the options it takes, one a line."""
        lines = []
        for kind, model in self.kinds.items():
            lines.append(f"  {kind:<12} {(model.__doc__ or '').split(chr(10))[0]}")
            for name, field in model.model_fields.items():
                meaning = " ".join((field.description or "").replace("`", "").split())
                lines.append(f"  {'':<12}   {name}: {meaning}")
        return "\n".join(lines)


def _problem(kind: str, model: type[OutputOptions], error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{kind} has no option `{name}`; it takes {', '.join(model.model_fields) or 'none'}."
    if error["type"] == "value_error":
        return f"{kind}.{name} {error['msg'].removeprefix('Value error, ')}"
    message = error["msg"].removeprefix("Input ").replace("should be", "must be")
    return f"{kind}.{name} {message[0].lower()}{message[1:]}, but got {brief(error['input'])}."


TABLES = Registry(folder="tables", noun="table")
FIGURES = Registry(folder="figures", noun="picture")


def parse_tables(written: Any, where: str = "study.tables") -> tuple[Spec, ...]:
    """Reads a kind, or a list of kinds.

    Raises:
        ConfigError: one of them cannot be read.
    """
    items = written if isinstance(written, list | tuple) else [written]
    return tuple(item if isinstance(item, Spec) else TABLES.spec(item, where) for item in items)


def parse_figures(written: Any, where: str = "study.figures") -> tuple[Spec, ...]:
    """Reads `all`, `none`, a kind, or a list of kinds.

    Raises:
        ConfigError: one of them cannot be read, or a kind is given with two sets of options.
    """
    items = list(written or []) if isinstance(written, list | tuple) or not written else [written]
    if items == ["all"]:
        items = sorted(FIGURES.kinds, key=lambda kind: cast(type[FigureOptions], FIGURES.kinds[kind]).place)
    if items == ["none"]:
        return ()
    specs = dict.fromkeys(item if isinstance(item, Spec) else FIGURES.spec(item, where) for item in items)
    kinds = [spec.kind for spec in specs]
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise ConfigError(f"`{where}` must name each kind of picture once, but has {twice[0]} with several options.")
    return tuple(specs)
