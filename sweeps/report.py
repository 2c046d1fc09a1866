"""python -m sweeps.report: writes the tables and pictures of a study again, and keeps documents true to them.

    python -m sweeps.report study=NAME [table=KIND] [format=markdown|csv|json|latex|html] [figures=all] [run.out=FOLDER]
                                      [run.storage=URI] [run.cache=FOLDER]
    python -m sweeps.report study=[NAME,NAME] [table=KIND]
    python -m sweeps.report results=FILE.csv table=flat
    python -m sweeps.report docs=[docs/,README.md] [check=true]

study=NAME        a study of the ledger in run.out (default: the current folder), or of that in run.storage; several on
                  the same images make one table
results=FILE.csv  instead: a CSV with the columns of reports/NAME.csv, written by any program; columns that no table
                  shows may be missing
table=KIND        a kind of table, or several: table=[flat,summary]; default: those of the study. Options as in a study
                  file: 'table={pivot: {rows: lr, columns: batch_size}}'
figures=KIND      a kind of picture, several, or all; default: those of the study. They go to reports/NAME.KIND.svg,
                  into the HTML page, and onto MLflow
format=FORMAT     html is one page: the answer, pictures, tables that can be sorted, each seed run's learning curve, and
                  the test images that networks miss, shown as far as run.cache or their files are there; latex has
                  tables for booktabs
run.tracking_uri=URI
                  the MLflow server that the study was tracked on, where its pictures go
metric=val/loss   with results=: what trials are compared by (default val/accuracy)
docs=PLACES       markdown files, or folders of them, whose markers are filled:
                      <!-- sweeps: study=NAME table=summary -->   or results=reports/NAME.csv; figure=curves
                      <!-- /sweeps -->
check=true        with docs=: changes nothing; exit status 1, with the difference, when a document is not what its
                  source says

The report is printed, and goes to reports/NAME.md under run.out; single tables go to reports/NAME.KIND.md.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.address import Address, parse
from resnet_tl.command import Section, command, entry, require
from resnet_tl.errors import ConfigError
from resnet_tl.files import write_text
from resnet_tl.option_text import expand, nearest, parse_words
from sweeps.definition.config import parse_storage
from sweeps.definition.outputs.registry import FIGURES, TABLES, parse_figures, parse_tables
from sweeps.records import folder_of_study
from sweeps.tracking.credentials import hand_over

if TYPE_CHECKING:
    from sweeps.reporting.markers import Marker
    from sweeps.reporting.results import Results

ADDRESSES = ("run.tracking_uri", "run.storage")
ALLOWED = (
    "study",
    "results",
    "table",
    "format",
    "metric",
    "figures",
    "docs",
    "check",
    "run.out",
    "run.cache",
    *ADDRESSES,
)
SUFFIXES = {"markdown": "md", "csv": "csv", "json": "json", "latex": "tex", "html": "html"}


def _kinds() -> list[Section]:
    return [
        Section(heading="Kinds of table", text=TABLES.help(), options={"table": tuple(TABLES.kinds)}),
        Section(heading="Kinds of picture", text=FIGURES.help(), options={"figures": ("all", *FIGURES.kinds)}),
    ]


@command(sections=_kinds, needs_words=True)
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    values = parse_words(words, literal=("study", "docs", "results", "run.out", "run.cache", *ADDRESSES, "metric"))
    _check(values)
    given = values.get("run.tracking_uri")
    tracked = None if given is None else parse(given, "run.tracking_uri")
    hand_over(tracked)
    storage = parse_storage(values.get("run.storage"))
    out = expand(values.get("run.out", "."), "run.out")
    if "docs" in values:
        return _documents(values, out, storage)
    from sweeps.reporting.results import SCORES

    specs = parse_tables(values["table"], "table") if "table" in values else None
    metric = values.get("metric")
    if metric is not None and metric not in SCORES:
        raise ConfigError(f"`metric` must be a score, but got {metric!r}; {nearest(metric, SCORES)}")
    from resnet_tl.data.cache import default_cache
    from sweeps.reporting.write import write_report

    form = values.get("format", "markdown")
    cache = expand(values["run.cache"], "run.cache").absolute() if "run.cache" in values else default_cache()
    if "results" in values:
        from sweeps.reporting.reading import from_csv

        path = expand(values["results"], "results")
        results, name = from_csv(path, metric), path.stem
        opened = None
    else:
        opened = _ledger(out, storage)
        results = _from_ledger(opened, values["study"], out)
        name = folder_of_study(results.study)
    # some tables are not the report: they get a file of their own
    kinds = "".join(f".{spec.kind}" for spec in specs or ())
    target = out / "reports" / f"{name}{kinds}.{SUFFIXES[form]}"
    if "results" in values and (not kinds or target.with_suffix(".csv").exists()):
        _require_free(target, path)
    kept = form == "html" or _may_write(target)
    with contextlib.ExitStack() as stack:
        if opened:
            stack.callback(opened.close)
        if not kept:  # it is printed all the same
            aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="sweeps-report-"))
            target = Path(aside) / target.name
        asked = parse_figures(values["figures"], "figures") if "figures" in values else None
        told = write_report(
            results,
            target,
            form=form,
            specs=specs,
            figures=asked,
            every=values.get("figures") == "all",
            cache=cache,
        )
    if form == "html":
        print(target)
    else:
        sys.stdout.write(told.text)
    if not kept:
        print(f"The report is printed only, since {out / 'reports'} may not be written.", file=sys.stderr)
        return 0
    if told.pictures and "study" in values and results.about is not None:
        from sweeps.reporting.markdown import paragraph
        from sweeps.reporting.verdict import verdict
        from sweeps.tracking.mlflow_database import Place
        from sweeps.tracking.mlflow_files import publish

        place = Place(out=out.resolve(), cache=cache, given=tracked)
        why = publish(place, name, [*told.pictures, target], paragraph(verdict(results)))
        if why:
            print(f"The pictures are not on MLflow: {why}.", file=sys.stderr)
    return 0


def _may_write(target: Path) -> bool:
    """Whether a report may be written: its folder, or the first one above it that exists."""
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    return os.access(folder, os.W_OK | os.X_OK)


def _documents(values: dict[str, Any], out: Path, storage: Address | None) -> int:
    """Fills marked places, or compares them with their sources."""
    from sweeps.records import count
    from sweeps.reporting.documents import difference, fill_all
    from sweeps.reporting.reading import from_csv

    known: dict[str, Results] = {}
    opened = None

    def source(marker: "Marker") -> "Results":
        nonlocal opened
        key = marker.study or marker.results or ""
        if key not in known:
            if marker.results:
                known[key] = from_csv(out / marker.results)
            else:
                opened = opened or _ledger(out, storage)
                known[key] = _from_ledger(opened, key, out)
        return known[key]

    try:
        documents = fill_all([expand(place, "docs") for place in _several(values["docs"])], source, out / "reports")
    finally:
        if opened:
            opened.close()
    changed = [document for document in documents if document.after != document.before]
    if values.get("check"):
        for document in changed:
            print(difference(document))
        if changed:
            print(
                f"{len(changed)} of {count(len(documents), 'document')} do not say what their sources say; run without "
                "check=true."
            )
            return 1
        print(f"{count(len(documents), 'document')} checked: each says what its sources say.")
        return 0
    for document in changed:
        write_text(document.path, document.after)
        print(f"filled {document.path}")
    print(f"{len(changed)} of {count(len(documents), 'document')} changed.")
    return 0


def _require_free(target: Path, source: Path) -> None:
    """A CSV file has the name of the study it came from, and tables from it must not replace that study's report."""
    from sweeps.reporting.report import MADE_BY

    if target.absolute() == source.absolute():
        raise ConfigError(f"The report would overwrite its own source {source}; give another run.out=FOLDER.")
    if target.exists() and MADE_BY in target.read_text(encoding="utf-8"):
        raise ConfigError(
            f"{target} is the report of a study and is not overwritten; give table=KIND or run.out=FOLDER."
        )


def _check(values: dict[str, Any]) -> None:
    require(values, ALLOWED, ())
    given = [key for key in ("study", "results", "docs") if key in values]
    if len(given) != 1:
        raise ConfigError("Give one of study=NAME, results=FILE.csv and docs=PLACES.")
    if "docs" in values:
        rest = [key for key in values if key not in ("docs", "check", "run.out", "run.storage")]
        if rest:
            raise ConfigError(f"`{rest[0]}` does not go with docs=; a marker says what stands in its place.")
        if not isinstance(values.get("check", True), bool):
            raise ConfigError(f"`check` must be true or false, but got {values['check']!r}.")
        return
    if "check" in values:
        raise ConfigError("`check` goes with docs=PLACES.")
    form = values.get("format", "markdown")
    if not isinstance(form, str) or form not in SUFFIXES:
        raise ConfigError(
            f"`format` must be one of {', '.join(SUFFIXES)}, but got {form!r}; {nearest(str(form), SUFFIXES)}"
        )
    if "table" in values and form in ("csv", "json"):
        raise ConfigError(f"`table` does not go with format={form}, which holds every seed run.")
    if "figures" in values and form not in ("markdown", "html"):
        raise ConfigError(f"`figures` does not go with format={form}, but with markdown and html.")
    if "metric" in values and "study" in values:
        raise ConfigError("`metric` belongs to results=FILE.csv; a study has its own.")


def _ledger(out: Path, storage: Address | None) -> Any:
    from sweeps.storage.database import database_of

    return database_of(out, storage).read()


def _several(text: str) -> list[str]:
    """`NAME`, or `[NAME,NAME]`."""
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else None
    return [text] if inside is None else [part.strip() for part in inside.split(",") if part.strip()]


def _from_ledger(ledger: Any, names: str, out: Path) -> "Results":
    from sweeps.reporting.combine import combine
    from sweeps.reporting.reading import from_ledger

    found = [from_ledger(ledger, name, out) for name in _several(names)]
    if not found:
        raise ConfigError(f"`study=` must name a study, or several as [NAME,NAME], but got {names}.")
    return found[0] if len(found) == 1 else combine(found)


if __name__ == "__main__":
    entry(main)
