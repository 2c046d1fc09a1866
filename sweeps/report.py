"""python -m sweeps.report: writes the tables of a study again, from the ledger alone.

    python -m sweeps.report study=NAME [table=KIND] [format=markdown|csv|json] [run.out=FOLDER]
    python -m sweeps.report results=FILE.csv table=flat

study=NAME        a study of the ledger in run.out (default: the current folder)
results=FILE.csv  instead: a CSV with the columns of reports/NAME.csv, written by any program; columns that no table
                  shows may be missing
table=KIND        flat, lists, pivot, summary, best or imagenet, or several: table=[flat,summary]; default: those of the
                  study. Options as in a study file: 'table={pivot: {rows: lr, columns: batch_size}}'
metric=val/loss   with results=: what trials are compared by (default val/accuracy)

The report is printed, and goes to reports/NAME.md under run.out; single tables go to reports/NAME.KIND.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_tl.cli import entry, require
from resnet_tl.errors import ConfigError
from resnet_tl.options import expand, nearest, parse_words
from sweeps.definition.tables import parse_table
from sweeps.reporting import documents

ALLOWED = ("study", "results", "table", "format", "metric", "run.out")
LATER = ("docs", "check")
SUFFIXES = {"markdown": "md", "csv": "csv", "json": "json"}


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    if not words or "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0 if words else 2
    values = parse_words(words, literal=("study", "results", "run.out", "metric"))
    _check(values)
    from sweeps.reporting.results import SCORES, Results, from_csv, write_csv

    form = values.get("format", "markdown")
    asked = values.get("table")
    specs = None
    if asked is not None:
        specs = [parse_table(table) for table in (asked if isinstance(asked, list) else [asked])]
    out = expand(values.get("run.out", "."), "run.out")
    results: Results
    if "results" in values:
        metric = values.get("metric")
        if metric is not None and metric not in SCORES:
            raise ConfigError(f"`metric` must be a score, but got {metric!r}; {nearest(metric, SCORES)}")
        path = expand(values["results"], "results")
        results, name = from_csv(path, metric), path.stem
    else:
        results = _from_ledger(out, values["study"])
        name = results.study
    text = documents.render(results, form, specs)
    kinds = "".join(
        f".{spec.kind}" for spec in specs or ()
    )  # some tables are not the report: they get a file of their own
    target = out / "reports" / f"{name}{kinds}.{SUFFIXES[form]}"
    if "results" in values:
        _require_free(target, path)
    documents.write(text, target)
    if "study" in values and form == "markdown" and not kinds:
        write_csv(results, target.with_suffix(".csv"))
    sys.stdout.write(text)
    return 0


def _require_free(target: Path, source: Path) -> None:
    """A CSV file has the name of the study it came from, and tables from it must not replace that study's report."""
    if target.absolute() == source.absolute():
        raise ConfigError(f"The report would overwrite its own source {source}; give another run.out=FOLDER.")
    if target.exists() and documents.MADE_BY in target.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{target} is the report of a study and is not overwritten; give table=KIND or run.out=FOLDER."
        )


def _check(values: dict[str, Any]) -> None:
    later = [f"`{key}` is not built yet; leave it out." for key in values if key in LATER]
    if later:
        raise ConfigError(*later)
    require(values, ALLOWED, ())
    if ("study" in values) == ("results" in values):
        raise ConfigError("Give either study=NAME or results=FILE.csv.")
    form = values.get("format", "markdown")
    if form in ("latex", "html"):
        raise ConfigError(f"`format={form}` is not built yet; use {', '.join(SUFFIXES)}.")
    if form not in SUFFIXES:
        raise ConfigError(
            f"`format` must be one of {', '.join(SUFFIXES)}, but got {form!r}; {nearest(str(form), SUFFIXES)}"
        )
    if "table" in values and form != "markdown":
        raise ConfigError(f"`table` belongs to format=markdown; {form} holds every seed run.")
    if "metric" in values and "study" in values:
        raise ConfigError("`metric` belongs to results=FILE.csv; a study has its own.")


def _from_ledger(out: Path, name: str) -> Any:
    from sweeps.ledger import Ledger
    from sweeps.reporting.results import from_ledger

    path = out / "studies.db"
    if not path.exists():
        raise ConfigError(f"There is no ledger {path}; `python -m sweeps.run` makes one, or give run.out=FOLDER.")
    ledger = Ledger(path)
    try:
        return from_ledger(ledger, name)
    finally:
        ledger.close()


if __name__ == "__main__":
    entry(main)
