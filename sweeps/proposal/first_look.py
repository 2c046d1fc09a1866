"""The report of a first look: the best recipe beside three plain ones, doubted labels, copies, and how to go on."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.files import write_text
from resnet_tl.option_text import expand
from sweeps.definition.compose import compose
from sweeps.proposal.labels import Doubts, NotChecked, as_csv
from sweeps.proposal.pictures import draw_copies, draw_doubts
from sweeps.proposal.propose import Proposed, Request, facts, reports_of
from sweeps.proposal.rounds import next_file, next_proposal
from sweeps.proposal.study_file import written
from sweeps.reporting.blocks import Block, Heading, Paragraph, Picture, Points
from sweeps.reporting.cells import gap_interval, interval, label, p_value, score, unit, unit_of
from sweeps.reporting.chart import title_of
from sweeps.reporting.inline import Inline, bold, code, plain_text
from sweeps.reporting.markdown import markdown
from sweeps.reporting.markdown import table as as_markdown
from sweeps.reporting.reading import from_ledger
from sweeps.reporting.results import Results, Trial, ranking
from sweeps.reporting.samples import chance, summary
from sweeps.reporting.standings import Other, standings
from sweeps.reporting.table import Table
from sweeps.reporting.verdict import verdict
from sweeps.storage.database import database_of

BESIDE = ("", " beside a plain one", " beside two plain ones", " beside three plain ones")
"""By the number of baselines that are not the best themselves."""
MOST_CLASSES = 30
"""In the table of images."""
MOST_LISTED = 10
"""Doubted labels in the table; all are in the CSV."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """A plain recipe."""

    name: str
    trial: Trial


def baselines(results: Results) -> list[Baseline]:
    """Those of the three that the study has: each, where it has several learning rates, with the best of them on val.

    But the default fine-tune, which is the study's first trial: what one would take without a search.
    """
    whole = ranking(results)
    frozen = [trial for trial in whole if trial.values.get("freeze") == "all"]
    scratch = [trial for trial in whole if trial.values.get("weights") == "none"]
    first = [trial for trial in whole if trial is results.trials[0] and trial not in scratch]
    found = [("frozen network, linear head", frozen), ("default fine-tune", first), ("from scratch", scratch)]
    return [Baseline(name=name, trial=trials[0]) for name, trials in found if trials]


def against_baselines(results: Results) -> Table | None:
    """The best trial and the baselines; None where nothing is complete."""
    whole = ranking(results)
    if not whole:
        return None
    best, metric = whole[0], results.headline
    found = standings(results, results.trials, metric)
    others = {id(other.trial): other for other in found.others} if found is not None and found.best is best else {}
    plain = baselines(results)
    own = [line.name for line in plain if line.trial is best]
    rows = [_row(results, f"best{f': {own[0]}' if own else ''}", best, None)]
    rows += [
        _row(results, line.name, line.trial, others.get(id(line.trial))) for line in plain if line.trial is not best
    ]
    shown = label(metric)
    return Table(
        title=None,
        header=("", "Recipe", shown, f"{shown} 95% CI", f"{shown} against the best (95% CI)", "p"),
        rows=tuple(rows),
        notes=(
            f"The best has the highest mean {results.metric}; so has each baseline among its learning rates, but the "
            "default fine-tune, which is the study's first trial.",
            f"Differences are paired by seed and image{unit(metric)}. p is that of being worse than the best, and "
            "allows for the best having been picked; intervals do not.",
            chance(results, whole, metric),
        ),
    )


def _row(results: Results, name: str, trial: Trial, other: Other | None) -> tuple[Inline, ...]:
    metric = results.headline
    told = summary(results, trial, metric)
    spread = "" if told.sd is None else f" ± {score(metric, told.sd, sign=False)}"
    return (
        bold(name) if other is None else name,
        title_of(results, trial),
        f"{score(metric, told.mean, sign=False)}{spread}{unit_of(metric).sign}",
        interval(metric, told),
        "" if other is None else f"{gap_interval(metric, other.difference)}",
        "" if other is None else p_value(other.p),
    )


def finish(
    proposed: Proposed, request: Request, doubts: Doubts | NotChecked, *, study_words: Sequence[str]
) -> list[str]:
    """Writes the report, its pictures, the list of doubted labels and the study to go on with.

    Args:
        study_words: that run the study.

    Returns:
        What to say of it on the terminal.
    """
    proposal, config, reports = proposed.proposal, compose([*study_words]).data, reports_of(request)
    name = proposal.name
    out = expand(compose([*request.run_words]).run.out, "run.out")
    ledger = database_of(out, None).read()
    try:
        results = from_ledger(ledger, name, out.resolve())
        ranked = ranking(results)
        if not ranked:
            return ["No trial is complete, so that there is nothing to compare; python -m sweeps.status says why."]
        best = ranked[0]
        doubt_pages: list[Path] = []
        if isinstance(doubts, Doubts) and doubts.found:
            doubt_pages = draw_doubts(doubts, config, reports / f"{name}.labels")
            write_text(reports / f"{name}.labels.csv", as_csv(doubts))
        copy_pages, num_shown = draw_copies(proposed.copies, proposed.data, config, reports / f"{name}.copies")
        later = next_file(request.out)
        write_text(later, written(next_proposal(proposed, best)))
        table = against_baselines(results)
        look = Look(
            title=f"A first look at {name}",
            counts=_counts(proposed.data),
            found=[f"{word}: {text}" for word, text in facts(proposed)],
            doubts=doubts,
            doubt_pages=doubt_pages,
            copies=_copies_told(proposed, num_shown),
            copy_pages=copy_pages,
            next_steps=next_steps(name, out, later, request.run_words),
        )
        path = reports / f"{name}.first_look.md"
        write_text(path, report(results, look, reports))
    finally:
        ledger.close()
    lines = ["", as_markdown(table), ""] if table is not None else [""]
    lines += doubts.told() if isinstance(doubts, Doubts) else [f"Labels were not looked at: {doubts.why}."]
    lines += [f"Labels      {page}" for page in doubt_pages] + [f"Copies      {page}" for page in copy_pages]
    return [*lines, f"First look  {path}", f"Go on       {later}  (around {plain_text(title_of(results, best))})"]


def next_steps(name: str, out: Path, later: Path, run_words: Sequence[str]) -> list[tuple[str, str]]:
    """What can be done with a study, and the command or the file for each.

    Args:
        out: `run.out`.
        later: the study to go on with.
    """
    checkpoint = f"checkpoint={out / 'mlruns' / 'best' / name}"
    return [
        ("Use the best network", f"python -m resnet_tl.predict {shlex.quote(checkpoint)} images=…"),
        ("The study to go on with, around the best recipe and with more time", f"{later}"),
        ("Run it", shlex.join(["python", "-m", "sweeps.run", f"study={later}", *run_words])),
        ("All of the study", f"{name}.md"),
    ]


def _counts(data: Prepared) -> Table:
    splits = list(data.table)
    rows = [(name, *(f"{data.table[split][name]:,}" for split in splits)) for name in data.classes[:MOST_CLASSES]]
    rows.append(("images", *(f"{data.num_images[split]:,}" for split in splits)))
    more = len(data.classes) - MOST_CLASSES
    notes = [
        *([f"{more:,} more classes are not shown."] if more > 0 else []),
        *([data.how_cut] if data.how_cut else []),
    ]
    return Table(title=None, header=("", *splits), rows=tuple(rows), notes=(*notes, *data.notes))


def _copies_told(proposed: Proposed, num_shown: int) -> str:
    copies = proposed.copies
    if not copies.sets:
        return (
            "No exact and no near copies were found (resized, recompressed, mirrored or turned ones; not cropped ones)."
        )
    more = f" The first {num_shown} are shown." if num_shown < len(copies.sets) else ""
    return (
        f"{len(copies.sets):,} sets of images are copies of each other, exact or near; {copies.num_across_classes:,} "
        "have images in several classes, where a label is wrong or classes overlap, and "
        f"{copies.num_across_splits:,} in several splits, where they make scores look better than they are.{more}"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the report is made of."""

    title: str
    counts: Table
    """Images of each class in each split."""
    found: Sequence[str]
    """What else is in the folder, and what was proposed."""
    doubts: Doubts | NotChecked
    doubt_pages: Sequence[Path]
    copies: str
    """What is known of copies, in a sentence."""
    copy_pages: Sequence[Path]
    next_steps: Sequence[tuple[str, str]]
    """What for, and the command or the file."""


def report(results: Results, look: Look, folder: Path) -> str:
    """The report as markdown.

    Args:
        folder: where it is going to lie; pictures are addressed from there.
    """
    table = against_baselines(results)
    pictures: dict[str, str] = {}
    blocks: list[Block] = [Heading(text=look.title, level=1)]
    said = verdict(results)
    blocks += [Paragraph(lines=tuple(said))] if said else []
    if table is not None:
        plain = sum(line.trial is not ranking(results)[0] for line in baselines(results))
        blocks += [Heading(text=f"The best recipe{BESIDE[plain]}", level=2), table]
    blocks += [Heading(text="Labels to look at", level=2), *_of_labels(look.doubts)]
    blocks += _pages(look.doubt_pages, "labels", "Doubted labels, the most improbable first", folder, pictures)
    blocks += [Heading(text="Copies", level=2), Paragraph(lines=(look.copies,))]
    blocks += _pages(look.copy_pages, "copies", "Sets of copies, by number", folder, pictures)
    blocks += [Heading(text="What is in the folder", level=2), look.counts, Points(items=tuple(look.found))]
    steps: list[Inline] = [(f"{what}: ", code(command)) for what, command in look.next_steps]
    blocks += [Heading(text="Going on", level=2), Points(items=tuple(steps))]
    return markdown(blocks, pictures)


def _of_labels(doubts: Doubts | NotChecked) -> list[Block]:
    if isinstance(doubts, NotChecked):
        return [Paragraph(lines=(f"Not looked for: {doubts.why}.",))]
    blocks: list[Block] = [Paragraph(lines=tuple(doubts.told()))]
    if doubts.found:
        rows = tuple(
            (code(each.name), each.split, each.given, f"{each.p_given:.1%}", each.predicted, f"{each.p_predicted:.1%}")
            for each in doubts.found[:MOST_LISTED]
        )
        header = ("File", "Split", "Label", "its probability", "Rather", "its probability")
        blocks.append(Table(title=None, header=header, rows=rows))
    return blocks


def _pages(pages: Sequence[Path], kind: str, caption: str, folder: Path, pictures: dict[str, str]) -> list[Block]:
    blocks: list[Block] = []
    for number, page in enumerate(pages, start=1):
        pictures[f"{kind}{number}"] = page.relative_to(folder).as_posix()
        blocks.append(Picture(kind=f"{kind}{number}", caption=caption if len(pages) == 1 else f"{caption}, {number}"))
    return blocks
