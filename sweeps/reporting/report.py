"""The report of a study as a sequence of blocks: its question, what was done, answers, tables, pictures.

`markdown`, `latex` and `html` write blocks out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from resnet_tl.errors import ConfigError
from sweeps.definition.aims import better_of
from sweeps.definition.hypotheses import canonical, same
from sweeps.definition.outputs.registry import TABLES, Spec
from sweeps.definition.space import describe
from sweeps.records import StudyRecord, count, progress_told
from sweeps.reporting.blocks import Block, Contents, Heading, Paragraph, Picture, Points, Prose, Rule
from sweeps.reporting.cells import LESS_OR_MORE
from sweeps.reporting.cross_validation import cut_told
from sweeps.reporting.figures import caption
from sweeps.reporting.inline import Inline, code, joined
from sweeps.reporting.results import NONE_HERE, Results, Trial, distinct
from sweeps.reporting.table import Table
from sweeps.reporting.tables import make
from sweeps.reporting.tables.pretrain import starts_from_stage
from sweeps.reporting.verdict import verdict

MADE_BY = "Made by "
"""Stands before the command in the report of a study."""


WITH_CONTENTS = 4
"""Headings from which on a report has a list of contents."""
OWN = {kind: TABLES.spec(kind, "table") for kind in ("hypotheses", "confirmed", "shifted", "summary", "pretrain")}
"""Tables that a report has without being asked."""


def report(
    results: Results,
    specs: Sequence[Spec] | None = None,
    figures: Sequence[Spec] = (),
    more: Sequence[Block] = (),
) -> list[Block]:
    """The whole report.

    Args:
        specs: in place of the study's tables.
        figures: those that have been drawn.
        more: what stands behind the pictures.
    """
    blocks: list[Block] = [Heading(text=results.study, level=1)]
    said = verdict(results) if results.about else []
    if said and results.about:
        blocks += [Paragraph(lines=(results.about.question,)), Paragraph(lines=tuple(said))]
    pictures = [Picture(kind=spec.kind, caption=caption(results, spec)) for spec in figures]
    blocks += pictures[:1] if said else []
    parts: list[Block] = []
    asked = {spec.kind for spec in (specs if specs is not None else results.tables)}
    if specs is None and any(item.parameter for item in results.hypotheses) and "hypotheses" not in asked:
        parts += _titled(OWN["hypotheses"], make(results, OWN["hypotheses"]))
    if specs is None and any(trial.fresh for trial in results.trials) and "confirmed" not in asked:
        parts += _titled(OWN["confirmed"], make(results, OWN["confirmed"]))
    if specs is None:
        parts += [block for spec, tables in own_tables(results) for block in _titled(spec, tables)]
        if results.shifted and "shifted" not in asked:
            parts += _unasked(results, "shifted")
        if "pretrain" not in asked and starts_from_stage(results):
            parts += _titled(OWN["pretrain"], make(results, OWN["pretrain"]))
    else:
        parts += [block for spec in specs for block in _titled(spec, make(results, spec))]
    rest = pictures[1:] if said else pictures
    if rest:
        parts += [Heading(text="Pictures", level=2), *rest]
    parts += more
    about: list[Block] = []
    if results.about:
        about = (
            [Heading(text="What was done", level=2), *_about(results, asked=not said)]
            if said
            else _about(results, asked=True)
        )
    headings = [block for block in (*parts, *about) if isinstance(block, Heading)]
    if specs is None and len(headings) >= WITH_CONTENTS:
        blocks.append(Contents(entries=(Heading(text=results.study, level=1), *headings)))
    blocks += [*parts, *about] if said else [*about, *parts]
    if results.about:
        blocks += [Rule(), Paragraph(lines=tuple(footer(results)))]
    return blocks


def _unasked(results: Results, kind: str) -> list[Block]:
    """A table that nobody asked for by name; where it cannot be made, why."""
    try:
        return _titled(OWN[kind], make(results, OWN[kind]))
    except ConfigError as error:
        return [Paragraph(lines=(str(error),))]


def _titled(spec: Spec, tables: Sequence[Table | Paragraph]) -> list[Block]:
    """Tables under their heading; what says why there is none needs no heading."""
    if not any(isinstance(table, Table) for table in tables):
        return list(tables)
    title = spec.options.title
    return [
        Heading(text=title, level=2),
        *(replace(t, title=None) if isinstance(t, Table) and t.title == title else t for t in tables),
    ]


@lru_cache(maxsize=4)  # the report has them, and the terminal shows one
def own_tables(results: Results) -> tuple[tuple[Spec, tuple[Table | Paragraph, ...]], ...]:
    """The tables that the study names; one that cannot be made says why, since nobody typed its name just now."""
    found: list[tuple[Spec, tuple[Table | Paragraph, ...]]] = []
    for spec in results.tables or (OWN["summary"],):
        try:
            found.append((spec, tuple(make(results, spec))))
        except ConfigError as error:
            found.append((spec, (Paragraph(lines=(("No table ", code(spec.kind), f": {error}"),)),)))
    return tuple(found)


def _about(results: Results, *, asked: bool) -> list[Block]:
    assert results.about
    about = results.about
    data = about.data
    images = data.num_images
    blocks: list[Block] = [Paragraph(lines=(about.question,))] if asked else []
    prose = about.about.strip()
    blocks += [Prose(text=prose)] if prose else []
    said = [item.says for item in results.hypotheses if item.says and item.parameter is None]
    if said:
        blocks.append(Points(items=tuple(f"Expected: {sentence}" for sentence in said)))
    facts: list[Inline] = [
        ("Images: ", code(data.source), f", {images['train']} of {len(data.classes)} classes. {cut_told(about.folds)}")
        if about.folds
        else (
            "Images: ",
            code(data.source),
            f", {images['train']} for training, {images['val']} for selection (val), "
            f"{images['test']} for the final score (test); {len(data.classes)} classes.",
            *(f" {images[name]} of {name}, under other conditions, scored beside test." for name in data.shifted),
        )
    ]
    settings = _settings(results, about)
    if settings:
        facts.append(("All trials: ", joined(", ", settings), "."))
    facts += [data.cut] if data.cut else []
    facts += data.notes
    facts += [
        f"{describe(left_out)} means the same network as {describe(kept)}, and was run as that."
        for left_out, kept in about.coinciding
    ]
    if about.aims:
        told = ", ".join(f"{aim} ({LESS_OR_MORE[better_of(aim)]})" for aim in (about.metric, *about.aims))
        facts.append(f"Aims: {told}. Trials are ranked by the first.")
    if about.ended:
        facts.append(about.ended)
    if about.invalid:
        many = count(sum(about.invalid.values()), "proposed point")
        facts.append(f"{many} broke a rule between parameters and counted for nothing.")
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
    done = _num_done(results.trials)
    fresh_done = _num_done([trial.fresh for trial in results.trials if trial.fresh])
    total = planned * len(about.seeds) - results.num_left_out
    scored = sum(trial.state == "complete" for trial in results.trials)
    fresh = about.confirm.num_runs(planned=planned, scored=scored, has_ended=done >= total) if about.confirm else 0
    # trials that led before seeds were added have runs on fresh seeds too
    progress = progress_told(done, total, fresh_done=min(fresh_done, fresh), fresh=fresh)
    facts.append(
        f"{count(planned, 'trial')} ({about.method}) × {count(len(about.seeds), 'seed')}"
        f"{f' × {about.folds} folds' if about.folds else ''}; "
        f"{_stopped(results)}{progress} done. {_selection(results)}; test is scored once per seed run."
    )
    facts.append((MADE_BY, code(about.command), "."))
    return [*blocks, Paragraph(lines=tuple(facts))]


def _stopped(results: Results) -> str:
    told = []
    at_rungs = sum(trial.stop is not None and trial.stop.by == "rungs" for trial in results.stopped)
    if rule := results.rule("rungs"):
        on = count(rule["seeds"], "seed")
        told.append(f"rungs within a run, judged on {on}, stopped {count(at_rungs, 'trial')}")
    if rule := results.rule("race"):
        how = f"risk {rule['risk']:g}, regret {rule['regret']:g}{', simultaneous' * rule['simultaneous']}"
        told.append(f"a race on seeds ({how}) stopped {count(len(results.stopped) - at_rungs, 'trial')}")
    return "".join(f"{sentence}; " for sentence in told)


def _num_done(trials: Iterable[Trial]) -> int:
    return sum(state in ("complete", "diverged", "pruned") for trial in trials for state in trial.states)


_OF_IMAGES = ("size", "crop", "channels", "balanced", "synthetic")
"""What decides how images are seen, besides their number; at its default where it is not set."""


def _settings(results: Results, about: StudyRecord) -> list[Inline]:
    """What the study says of all trials and is true of each; what is left at its default stands in the CSV."""
    told: list[Inline] = []
    for name, given in about.base.items():
        values = distinct(trial.value(name) for trial in results.trials) or [given]
        if len(values) == 1 and values[0] != NONE_HERE:
            told.append(f"{name} {canonical(given if same(given, values[0]) else values[0])}")
    for name in _OF_IMAGES:
        if any(name in trial.values for trial in results.trials):  # searched: true of all trials where it is one value
            seen = distinct(trial.values.get(name) for trial in results.trials)
            told += [f"{name} {seen[0]}"] if len(seen) == 1 and seen[0] not in (None, 0) else []
        elif given := about.data.options.get(name):
            told.append(f"{name} {given['share'] if isinstance(given, Mapping) else given}")
    used = {trial.values.get("weights") for trial in results.trials}
    for name, stage in about.pretrain.items():
        if name not in used:
            continue
        inside = ", ".join(f"{key} {canonical(value)}" for key, value in stage.trial.items())
        images = "" if stage.num_train is None else f"{stage.num_train} training images; "
        scores = ", ".join(
            f"{stage.monitor} {score:.4f}{f' ({backbone})' if len(stage.scores) > 1 else ''}"
            for backbone, score in stage.scores.items()
        )
        told.append(
            (code(name), f" pretrained on {stage.data['source']} ({images}{inside}{f'; {scores}' if scores else ''})")
        )
    return told


def _selection(results: Results) -> str:
    """By what epochs and trials are chosen."""
    monitors = distinct(trial.values.get("monitor", results.metric) for trial in results.trials)
    # of the fits of folds no network is kept
    chosen = "trials" if results.folds else "trials and networks"
    if all(monitor == results.metric for monitor in monitors):
        return f"Epochs are selected by {results.metric} of each run, {chosen} by its mean over seeds"
    return f"Epochs are selected by {' or '.join(monitors)} of each run, {chosen} by mean {results.metric}"


def footer(results: Results) -> list[Inline]:
    """Where the numbers come from: data, seeds, dates and commits of the runs, versions."""
    if not results.about:
        return [f"Study {results.study}, seeds {spans({s for trial in results.trials for s in trial.seeds})}."]
    about = results.about
    environment, images = about.environment, about.data.images_name
    lines: list[Inline] = [(f"Study {results.study}, images ", code(images), f", seeds {spans(about.seeds)}.")]
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
        f"{count(environment.threads, 'thread')} per fit."
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
