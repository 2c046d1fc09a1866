"""python -m sweeps.run: runs a study, or finishes what it lacks, and writes its report.

    python -m sweeps.run                                          the quickstart study
    python -m sweeps.run study=resnet34_lr data=image_folder data.root=my_images
    python -m sweeps.run study=my_study.yaml run.workers=2 run.out=results
    python -m sweeps.run study=resnet18_heads data.root=my_images study.seeds=[0,1,2,3,4] run.dry_run=true

study=NAME_OR_FILE     a study of the project (--list shows them), or a YAML file: yours, or a whole W&B sweep
data=GROUP             image_folder, arrays, digits or cifar10; with data.root=FOLDER
trial.x=VALUE          a parameter for all trials; pins x if the study searches it
study.space={…}        another search space, in the vocabulary of W&B sweeps
study.name=NAME        the name in the ledger; a changed study needs a new one
run.out=FOLDER         holds studies.db, mlruns/ and reports/ (default: the current folder)
run.workers=N          seed runs at a time         run.threads=N   CPU threads of each (fixed when a study is created)
run.device=auto        auto, cpu, cuda or cuda:1   run.cache=DIR   what studies share (default: the user's cache folder)
run.dry_run=true       show the trials, what is done, what is computed once for all, and why; run nothing
run.reuse=off          compute frozen parts each time (auto: once, where it pays; the results are the same)
run.keep=all           which networks outlive the study: all, best or none
run.tracking_uri=URI   an MLflow server instead of mlruns/mlflow.db
run.storage=URI        a PostgreSQL database instead of studies.db

Starting a study again finishes what is missing and repeats nothing.
run.max_hours=8        stop then, resumable; so do run.max_trials and run.max_disk_gb
run.executor=ray       workers of Ray, with run.address=HOST:PORT those of a cluster
Exit status: 0 done, 1 some seed runs failed, 2 the request is wrong, 3 stopped by a run.max_…, 130 interrupted.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from resnet_tl.address import without_secrets
from resnet_tl.command import Section, command, entry, options_of
from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand
from sweeps.definition.config import Definition, RunConfig, StudyConfig
from sweeps.definition.outputs.registry import TABLES
from sweeps.records import count, seed_runs_told
from sweeps.tracking.credentials import hand_over

if TYPE_CHECKING:
    from sweeps.planning.study_state import Outcome


def _sections() -> list[Section]:
    models = ((StudyConfig, "study"), (TrialConfig, "trial"), (DataConfig, "data"), (RunConfig, "run"))
    return [options_of(model, group) for model, group in models]


@command(sections=_sections)
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    from sweeps.definition.compose import compose, shipped

    if "--list" in words:
        for study in shipped():
            print(f"{study.name}\n    {study.question}")
        return 0
    definition = compose(words)
    _require_folder(expand(definition.run.out, "run.out"))
    for note in definition.notes:
        print(note)
    print(_headline(definition), flush=True)  # before anything that takes time
    hand_over(definition.run.tracking_uri)
    _rehearse(definition)
    if definition.run.dry_run:
        return _dry_run(definition)
    command = "python -m sweeps.run" + "".join(f" {shlex.quote(without_secrets(word))}" for word in words)
    return _run(definition, command)


def _run(definition: Definition, command: str) -> int:
    out = expand(definition.run.out, "run.out")
    is_new = definition.run.storage is None and not (out / "studies.db").exists()
    if is_new and definition.run.executor != "ray":  # so there is work to do, whatever else will be found
        from sweeps.execution.ahead import load_ahead

        load_ahead()
    from sweeps.engine.driver import drive

    console = Console(stderr=False, soft_wrap=True)
    outcome = drive(definition, command=command, console=console)
    if outcome.ended_by is not None:
        return _ended_early(definition, outcome, outcome.ended_by)
    from resnet_tl.data.cache import default_cache
    from sweeps.reporting.inline import plain_text
    from sweeps.reporting.markdown import paragraph, table
    from sweeps.reporting.reading import from_ledger
    from sweeps.reporting.report import own_tables
    from sweeps.reporting.table import Table
    from sweeps.reporting.tables import make
    from sweeps.reporting.terminal import terminal_table
    from sweeps.reporting.verdict import leads_on_fresh_seeds, verdict
    from sweeps.reporting.write import write_report
    from sweeps.storage.database import database_of
    from sweeps.tracking.mlflow_database import Place

    name = definition.study.name
    place = Place(out=out.resolve(), cache=default_cache(), given=definition.run.tracking_uri)
    database = database_of(out, definition.run.storage)
    ledger = database.read()
    results = from_ledger(ledger, name, out)
    report = out / "reports" / f"{name}.md"
    written = write_report(results, report)
    said = verdict(results)
    origin = _origin(outcome.best) if outcome.best else None
    if outcome.ran == 0:
        searched, fresh = outcome.done - outcome.fresh_done, outcome.fresh_done
        print(f"{name}: all {seed_runs_told(searched, fresh)} are done; nothing was trained.")
    made = [(spec.kind, item) for spec, items in own_tables(results) for item in items if isinstance(item, Table)]
    asked = any(item.parameter for item in results.hypotheses)
    answers = make(results, TABLES.spec("hypotheses", "study.tables")) if asked else []
    ledger.close()
    if said:
        print("\n" + "\n".join(plain_text(line) for line in said))
    made.sort(key=lambda item: item[0] != "summary")  # it says most in one look
    for first in (*answers, *(item for _, item in made[:1])):
        print()
        if sys.stdout.isatty():
            console.print(terminal_table(first))
            for note in first.notes:
                print(plain_text(note))
        else:
            print(table(first))
    print()
    if outcome.failed:
        print(f"{outcome.failed} of {outcome.total} seed runs failed; starting again tries them again.")
    if outcome.best and origin:
        best, (fingerprint, seed) = _relative(outcome.best), origin
        number = next(trial.number for trial in results.trials if trial.fingerprint == fingerprint)
        print(f"Best network   {best}  (trial {number}, seed {seed}: of the best trial the seed with the best val)")
        images = shlex.quote(str(best / "samples"))
        print(f"Use it         python -m resnet_tl.predict checkpoint={shlex.quote(str(best))} images={images}")
    kinds = [*(kind for kind, _ in made[1:]), *(["shifted"] if results.shifted else [])]
    more = f"with {', '.join(dict.fromkeys(kinds))}; " if kinds else ""
    print(f"Report         {report}  ({more}every run is in {name}.csv)")
    print(f"Ledger         {database.shown}")
    print(f"Browse runs    {_browse(definition)}")
    # last, since a server may be slow
    if not outcome.unsent:
        from sweeps.tracking.mlflow_files import publish, report_name
        from sweeps.tracking.mlflow_models import register

        files, answer = [*written.pictures, report], paragraph(said)
        # the last start may have been killed before this
        is_due = place.is_ours and place.lacks_report(name, report_name(files, answer))
        why = publish(place, name, files, answer) if outcome.ran or outcome.sent or is_due else None
        if (
            why is None and place.is_server and outcome.ran and outcome.best and origin
        ):  # in our own store `sweeps.ui` does it
            is_confirmed = outcome.fresh_done == outcome.fresh and leads_on_fresh_seeds(results) == origin[0]
            why = register(place, name, outcome.best, fingerprint=origin[0], seed=origin[1], is_confirmed=is_confirmed)
        if why:
            print(f"MLflow lacks the report or the best network: {why}.")
    if outcome.unsent:
        print(f"MLflow lacks {outcome.unsent} of the seed runs that have ended; the same command sends them.")
    return 1 if outcome.failed else 0


def _headline(definition: Definition) -> str:
    """What is asked of which images, how much it is, and where it goes."""
    study, data, run = definition.study, definition.data, definition.run
    many = sum(1 for _ in definition.points()) if study.is_listed else study.trials or 0
    size = f"{count(many, 'trial')} × {count(len(study.seeds), 'seed')}"
    where = data.url or data.root
    report = expand(run.out, "run.out") / "reports" / f"{study.name}.md"
    return (
        f"{study.name}: {study.question}\n"
        f"{size} on {data.source}{f' {where}' if where else ''}, device {run.device}; report: {report}\n"
        "reading the images …"
    )


def _origin(best: Path) -> tuple[str, int]:
    """Of which trial, by fingerprint, and seed a stored network is."""
    fingerprint, seed = (best / "origin.txt").read_text().split()
    return fingerprint, int(seed)


def _browse(definition: Definition) -> str:
    """The command that shows the study in a browser."""
    words = [f"study={definition.study.name}"]
    if definition.run.out != ".":
        words.append(f"run.out={definition.run.out}")
    if definition.run.tracking_uri:
        words.append(f"run.tracking_uri={definition.run.tracking_uri.shown}")
    return "python -m sweeps.ui" + "".join(f" {shlex.quote(word)}" for word in words)


def _rehearse(definition: Definition) -> None:
    """Warns of tables, pictures and answers that there cannot be; once they are written, they show that themselves."""
    study, out = definition.study, expand(definition.run.out, "run.out")
    if (study.tables or study.figures or study.hypotheses) and not (out / "reports" / f"{study.name}.md").exists():
        from sweeps.reporting.rehearsal import undrawable

        for sentence in undrawable(definition):
            print(f"warning: {sentence}")


def _require_folder(out: Path) -> None:
    """`run.out` is a folder, or can become one."""
    there = next((place for place in (out.absolute(), *out.absolute().parents) if os.path.lexists(place)), out)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "is no folder" if not there.is_dir() else "cannot be written"
        raise ConfigError(f"`run.out` must be a folder in which files can be written, but {there} {what}.")


def _ended_early(definition: Definition, outcome: "Outcome", error: BaseException) -> int:
    """Reports what is done, whatever ended the study, and says what did."""
    from sweeps.engine.budget import BudgetSpent
    from sweeps.reporting.reading import from_ledger
    from sweeps.reporting.write import write_report
    from sweeps.storage.database import database_of

    if outcome.done or outcome.failed:
        name, out = definition.study.name, expand(definition.run.out, "run.out")
        report = out / "reports" / f"{name}.md"
        try:
            ledger = database_of(out, definition.run.storage).read()
            try:
                write_report(from_ledger(ledger, name, out), report)
            finally:
                ledger.close()
            print(f"Report         {report}  ({outcome.told()} are done)")
        except Exception as other:  # the same full disk or lost database, say; the first error is the one to tell
            print(f"The report could not be written: {other}")
    if isinstance(error, KeyboardInterrupt):
        print("\nInterrupted. Finished seed runs are in the ledger; the same command goes on from there.")
        return 130
    if isinstance(error, BudgetSpent):
        missing = outcome.total - outcome.done
        print(f"{error} {missing} of {outcome.total} seed runs are missing; the same command goes on with them.")
        return 3
    raise error


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _dry_run(definition: Definition) -> int:
    from sweeps.engine.preflight import preflight
    from sweeps.storage.database import database_of

    database = database_of(expand(definition.run.out, "run.out"), definition.run.storage)
    ledger = database.read() if database.exists() else None
    try:
        for line in preflight(definition, ledger):
            print(line, flush=True)
    finally:
        if ledger:
            ledger.close()
    return 0


if __name__ == "__main__":
    entry(main)
