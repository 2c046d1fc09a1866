"""Writes results to files: reports in all formats with their pictures, the CSV of seed runs, JSON."""

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.errors import UserError
from resnet_tl.files import write_text
from sweeps.definition.outputs.registry import FIGURES, Spec
from sweeps.records import folder_of_study, study_to_json
from sweeps.reporting.answers import answers
from sweeps.reporting.blocks import Block, Heading, Paragraph
from sweeps.reporting.frame import about_path, cells_of, frame_of, sha256
from sweeps.reporting.image_scores import write_images
from sweeps.reporting.importance import attribution
from sweeps.reporting.inline import Inline, code
from sweeps.reporting.report import own_tables, report
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import knows_images, summary
from sweeps.statistics.stats import bootstrap_interval, summarise

if TYPE_CHECKING:
    from sweeps.reporting.chart import Chart


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    text: str
    """Of the report."""
    pictures: tuple[Path, ...]


def write_report(
    results: Results,
    target: Path,
    *,
    form: str = "markdown",
    specs: Sequence[Spec] | None = None,
    figures: Sequence[Spec] | None = None,
    every: bool = False,
    cache: Path | None = None,
) -> Written:
    """Writes a report, with its pictures beside it; that of a whole study with the CSV of its seed runs.

    Args:
        target: the file.
        form: `markdown`, `csv`, `json`, `latex` or `html`.
        specs: tables in place of the study's own.
        figures: pictures in place of the study's own; None for those, if no table was asked for.
        every: all kinds were asked for, so one that cannot be drawn is left out with a word of why.
        cache: where decoded images are kept, for a page; None shows none.

    Raises:
        ConfigError: a table or picture that was asked for cannot be made.
    """
    if form in ("csv", "json"):
        text = to_csv(results) if form == "csv" else to_json(results)
        write_text(target, text)
        return Written(text=text, pictures=())
    own = results.figures if specs is None and form != "latex" else ()
    asked = _possible(results, tuple(own if figures is None else figures))
    if any(spec.kind == "importances" for spec in asked):
        with contextlib.suppress(UserError):  # said where it is drawn
            attribution(results)  # another process begins with it
        if specs is None:
            own_tables(results)  # made meanwhile, and kept for the report
    charts, missing = _charts(results, asked, lenient=figures is None or every)
    blocks = report(results, specs, tuple(charts), _of_page(results, cache) if form == "html" and specs is None else ())
    if missing:
        blocks.append(Paragraph(lines=tuple(missing)))
    addresses = {spec.kind: f"{folder_of_study(results.study)}.{spec.kind}.svg" for spec in charts}
    pictures = tuple(target.with_name(name) for name in addresses.values())
    for place, chart in zip(pictures, charts.values(), strict=True):
        from sweeps.reporting.svg import svg

        write_text(place, svg(chart))
    if form == "html":
        from sweeps.reporting.html import html, write_plotly

        if charts:
            write_plotly(target.parent)
        text = html(results.study, blocks, {spec.kind: chart for spec, chart in charts.items()})
    elif form == "latex":
        from sweeps.reporting.latex import latex

        text = latex(blocks)
    else:
        from sweeps.reporting.markdown import markdown

        text = markdown(blocks, addresses)
    write_text(target, text)
    if results.about and form == "markdown" and specs is None and results.details:
        write_csv(results, target.with_suffix(".csv"))
    return Written(text=text, pictures=pictures)


def _of_page(results: Results, cache: Path | None) -> list[Block]:
    """What a page has beyond other reports: learning curves by seed run, and images that networks miss."""
    from sweeps.reporting.page.missed import missed_images
    from sweeps.reporting.page.seed_runs import seed_runs

    blocks: list[Block] = []
    runs = seed_runs(results)
    if runs is not None:
        blocks += [Heading(text="Seed runs", level=2), runs]
    if cache is None:
        return blocks
    title = Heading(text="Test images that networks miss", level=2)
    try:
        missed = missed_images(results, cache)
    except UserError as error:
        return [*blocks, title, Paragraph(lines=(f"They are not shown: {error}",))]
    return blocks if missed is None else [*blocks, title, missed]


def _possible(results: Results, specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
    """Of `all` pictures those that there can be: a study with one aim has no front."""
    is_all = {spec.kind for spec in specs} == set(FIGURES.kinds)
    return specs if results.aims or not is_all else tuple(spec for spec in specs if spec.kind != "pareto")


def _charts(results: Results, specs: Sequence[Spec], *, lenient: bool) -> tuple[dict[Spec, "Chart"], list[Inline]]:
    if not specs:
        return {}, []
    from sweeps.reporting.figures import draw

    charts: dict[Spec, Chart] = {}
    missing: list[Inline] = []
    for spec in sorted(specs, key=lambda spec: spec.kind == "importances"):  # what is waited for comes last
        try:
            charts[spec] = draw(results, spec)
        except UserError as error:
            if not lenient:
                raise
            missing.append(("No picture ", code(spec.kind), f": {error}"))
    return {spec: charts[spec] for spec in specs if spec in charts}, missing


def to_csv(results: Results) -> str:
    """The tidy frame as CSV."""
    found = cells_of(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found)
    writer.writerows(zip(*found.values(), strict=True))
    return text.getvalue()


def write_csv(results: Results, path: Path) -> None:
    """Writes the frame, and beside it what the study said of itself and what each image got: enough for its report."""
    text = to_csv(results)
    write_text(path, text)
    if results.about:
        content = {
            "csv_sha256": sha256(text),
            "about": study_to_json(results.about),
            "origin": asdict(results.origin),
            "planned": [[trial.number, trial.values] for trial in results.trials if not trial.states],
        }
        write_text(about_path(path), json.dumps(content, indent=1) + "\n")
    write_images(results, path, sha256(text))


def to_json(results: Results) -> str:
    """Everything that a report is made from, as numbers."""
    frame = frame_of(results).astype(object)
    rows = frame.where(frame.notna(), None).to_dict(orient="records")
    content: dict[str, Any] = {
        "study": results.study,
        "metric": results.metric,
        "direction": "maximize" if results.higher_is_better else "minimize",
    }
    if results.about:
        content |= {"about": study_to_json(results.about)}
        content |= {"origin": asdict(results.origin)}
    metrics = [metric for metric in dict.fromkeys([results.metric, results.on_test]) if results.has(metric)]
    content["trials"] = [_trial_as_json(results, trial, metrics) for trial in results.trials]
    content["answers"] = [
        asdict(answer) | {"hypothesis": answer.hypothesis.written()} for answer in answers(results, results.hypotheses)
    ]
    return json.dumps(content | {"seed_runs": rows}, indent=1, allow_nan=False) + "\n"


def _trial_as_json(results: Results, trial: Trial, metrics: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"trial": trial.number, "state": trial.state, "seeds": list(trial.seeds)}
    if trial.state == "complete":
        told["scores"] = {m: _scores(results, trial, m) for m in metrics if trial.mean(m) is not None}
    if trial.fresh:
        told["fresh"] = _trial_as_json(results, trial.fresh, metrics)
    return told


def _scores(results: Results, trial: Trial, metric: str) -> dict[str, Any]:
    values = trial.scores(metric)
    told, both = summarise(values), summary(results, trial, metric)
    return {
        "n": told.n,
        "mean": told.mean,
        "median": told.median,
        "sd": told.sd,
        "interval": None if both.low is None else [both.low, both.high],
        "interval_is_for": "fresh seeds and images" if knows_images(results, metric) else "other seeds, same images",
        "t_interval": None if told.low is None else [told.low, told.high],
        "bca_interval": bootstrap_interval(values),
    }
