"""Writes reports: from results to files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.errors import ConfigError
from resnet_tl.files import write_text
from sweeps.definition.tables import TableSpec
from sweeps.reporting import documents
from sweeps.reporting.frame import to_csv, write_csv
from sweeps.reporting.results import Results
from sweeps.storage.ledger import Ledger
from sweeps.storage.networks import NetworkStore

if TYPE_CHECKING:
    from sweeps.reporting.figures.charts import Chart


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
    specs: Sequence[TableSpec] | None = None,
    figures: Sequence[str] | None = None,
    every: bool = False,
    ledger: Ledger | None = None,
    out: Path | None = None,
) -> Written:
    """Writes a report, with its pictures beside it; that of a whole study with the CSV of its seed runs.

    Args:
        target: the file.
        form: `markdown`, `csv`, `json`, `latex` or `html`.
        specs: tables in place of the study's own.
        figures: pictures in place of the study's own; None for those, if no table was asked for.
        every: all kinds were asked for, so one that cannot be drawn is left out with a word of why.
        ledger: has learning curves; None for a CSV file.
        out: of the study, with its predictions.

    Raises:
        ConfigError: a table or picture that was asked for cannot be made.
    """
    if form in ("csv", "json"):
        if form == "csv":
            text = to_csv(results)
        else:
            from sweeps.reporting.tidy import to_json

            text = to_json(results)
        write_text(target, text)
        return Written(text=text, pictures=())
    own = results.figures if specs is None and form != "latex" else ()
    kinds = tuple(own if figures is None else figures)
    charts, missing = _charts(results, kinds, ledger, out, lenient=figures is None or every)
    blocks = documents.report(results, specs, tuple(charts))
    if missing:
        blocks.append(documents.Text(lines=tuple(missing)))
    pictures: list[Path] = []
    addresses = {}
    for kind, chart in charts.items():
        from sweeps.reporting.figures.static import svg

        place = target.with_name(f"{results.study}.{kind}.svg")
        write_text(place, svg(chart))
        pictures.append(place)
        addresses[kind] = place.name
    if form == "html":
        from sweeps.reporting.html import html

        text = html(results.study, blocks, charts)
    elif form == "latex":
        from sweeps.reporting.latex import latex

        text = latex(blocks)
    else:
        from sweeps.reporting.markdown import markdown

        text = markdown(blocks, addresses)
    write_text(target, text)
    if results.about and form == "markdown" and specs is None and ledger is not None:
        write_csv(results, target.with_suffix(".csv"))
    return Written(text=text, pictures=tuple(pictures))


def _charts(
    results: Results, kinds: Sequence[str], ledger: Ledger | None, out: Path | None, *, lenient: bool
) -> tuple[dict[str, "Chart"], list[str]]:
    if not kinds:
        return {}, []
    from sweeps.reporting.figures.charts import chart, needed

    details = {}
    if ledger is not None and results.about is not None:
        networks = NetworkStore(out, results.study) if out is not None else None
        for trial in needed(kinds, results):
            runs = ledger.seed_runs(results.study, fingerprint=trial.fingerprint, heavy=True)
            details[trial.number] = [networks.with_matrices(run) if networks else run for run in runs]
    charts: dict[str, Chart] = {}
    missing = []
    for kind in kinds:
        try:
            charts[kind] = chart(kind, results, details)
        except ConfigError as error:
            if not lenient:
                raise
            missing.append(f"No picture `{kind}`: {error}")
    return charts, missing
