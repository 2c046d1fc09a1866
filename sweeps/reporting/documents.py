"""The report of a study as a sequence of blocks: its question, what was done, answers, tables, pictures.

`markdown`, `latex` and `html` write blocks out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from resnet_tl.errors import ConfigError
from sweeps.definition.hypotheses import canonical
from sweeps.definition.tables import TableSpec
from sweeps.records import StudyRecord
from sweeps.reporting.results import Results
from sweeps.reporting.tables import make
from sweeps.reporting.tables.parts import Table

MADE_BY = "Made by `"
"""Stands before the command in the report of a study."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The title, or that of a section."""

    text: str
    level: int


@dataclass(frozen=True, kw_only=True)
class Text:
    """Lines of one paragraph, with `code`."""

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Points:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Where a figure stands."""

    kind: str


Block = Heading | Text | Points | Table | Picture


def tables_of(results: Results, specs: Sequence[TableSpec]) -> list[Table]:
    """The given tables.

    Raises:
        ConfigError: one of them cannot be made.
    """
    return [table for spec in specs for table in make(results, spec)]


def report(results: Results, specs: Sequence[TableSpec] | None = None, figures: Sequence[str] = ()) -> list[Block]:
    """The whole report.

    Args:
        specs: in place of the study's tables.
        figures: kinds of those that have been drawn.
    """
    blocks: list[Block] = [Heading(text=results.study, level=1)]
    if results.about:
        blocks += _about(results)
    asked = {spec.kind for spec in (specs if specs is not None else results.tables)}
    if specs is None and any(item.parameter for item in results.hypotheses) and "hypotheses" not in asked:
        blocks += [Heading(text="Answers", level=2), *make(results, TableSpec(kind="hypotheses"))]
    if specs is None and any(trial.fresh for trial in results.trials) and "confirmed" not in asked:
        blocks += [Heading(text="Confirmation", level=2), *make(results, TableSpec(kind="confirmed"))]
    if len(blocks) > 3 and any(isinstance(block, Table) for block in blocks):
        blocks.append(Heading(text="Results", level=2))
    blocks += own_tables(results) if specs is None else tables_of(results, specs)
    if figures:
        blocks.append(Heading(text="Pictures", level=2))
        blocks += [Picture(kind=kind) for kind in figures]
    if results.about:
        blocks.append(Text(lines=("---",)))
        blocks.append(Text(lines=tuple(footer(results))))
    return blocks


@lru_cache(maxsize=4)  # the report has them, and the terminal shows the first
def own_tables(results: Results) -> tuple[Table | Text, ...]:
    """The tables that the study names; one that cannot be made yet says why, since nobody typed its name just now."""
    blocks: list[Table | Text] = []
    for spec in results.tables or (TableSpec(kind="summary"),):
        try:
            blocks += make(results, spec)
        except ConfigError as error:
            blocks.append(Text(lines=(f"No table `{spec.kind}` yet: {error}",)))
    return tuple(blocks)


def _about(results: Results) -> list[Block]:
    assert results.about
    about = results.about
    data = about.data
    images = data.num_images
    blocks: list[Block] = [Text(lines=(about.question,))]
    prose = about.about.strip()
    blocks += [Text(lines=(" ".join(part.split("\n")),)) for part in prose.split("\n\n") if part]
    said = [item.says for item in results.hypotheses if item.says and item.parameter is None]
    if said:
        blocks.append(Points(items=tuple(f"Expected: {sentence}" for sentence in said)))
    facts = [
        f"Images: `{data.source}`, {images['train']} for training, {images['val']} for selection (val), "
        f"{images['test']} for the final score (test); {len(data.classes)} classes."
    ]
    facts.append(f"All trials: {_settings(about)}.")
    if data.skipped:
        facts.append(
            f"{len(data.skipped)} broken images were left out: "
            f"{', '.join(Path(name).name for name in sorted(data.skipped))}."
        )
    if data.num_leaked:
        facts.append(f"{data.num_leaked} images of val and test stand in train too, pixel by pixel.")
    if data.num_contradicting:
        facts.append(f"{data.num_contradicting} images stand in two classes, pixel by pixel.")
    planned = about.num_trials
    total = planned * len(about.seeds)
    done = sum(state in ("complete", "diverged") for trial in results.trials for state in trial.states)
    facts.append(
        f"{planned} trials ({about.method}) × {len(about.seeds)} seeds; {done} of {total} seed runs done. "
        f"Epochs, trials and networks are selected by mean {about.metric}; test is scored once per seed run."
    )
    facts.append(f"{MADE_BY}{about.command}`.")
    return [*blocks, Text(lines=tuple(facts))]


def _settings(about: StudyRecord) -> str:
    """What no trial varies, as far as the study says it; what is left at its default stands in the CSV."""
    told = [f"{name} {canonical(value)}" for name, value in about.base.items()]
    told += [f"{name} {about.data.options[name]}" for name in ("size", "crop") if about.data.options.get(name)]
    for name, stage in about.pretrain.items():
        inside = ", ".join(f"{key} {canonical(value)}" for key, value in stage.trial.items())
        told.append(f"`{name}` pretrained on {stage.data['source']} ({inside})")
    return ", ".join(told)


def footer(results: Results) -> list[str]:
    """Where the numbers come from: data, seeds, dates and commits of the runs, versions."""
    if not results.about:
        return [f"Study {results.study}, seeds {spans({s for trial in results.trials for s in trial.seeds})}."]
    about = results.about
    environment = about.environment
    lines = [f"Study {results.study}, images `{about.data.images_name}`, seeds {spans(about.seeds)}."]
    fresh = sorted({seed for trial in results.trials if trial.fresh for seed in trial.fresh.seeds})
    if fresh:
        lines.append(f"Fresh seeds {spans(fresh)}.")
    if results.origin.dates:
        dates = results.origin.dates
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        commits = ", ".join(results.origin.commits)
        lines.append(f"Runs of {span}" + (f", commit {commits}." if commits else "."))
    if results.origin.reused_from:
        lines.append(f"Some seed runs were taken over from: {', '.join(results.origin.reused_from)}.")
    lines.append(
        f"torch {environment.torch}, torchvision {environment.torchvision}, {environment.device}, "
        f"{environment.threads} thread{'s' if environment.threads > 1 else ''} per fit."
    )
    return lines


def spans(seeds: Iterable[int]) -> str:
    """`0, 3, 10 to 19`: sorted, with three or more in a row drawn together."""
    rows: list[list[int]] = []
    for seed in sorted(seeds):
        if rows and seed == rows[-1][-1] + 1:
            rows[-1].append(seed)
        else:
            rows.append([seed])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)
