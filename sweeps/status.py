"""python -m sweeps.status: what each study of the ledger has, lacks and failed, and what runs now.

    python -m sweeps.status [study=NAME] [watch=true] [format=json] [run.out=FOLDER] [run.storage=URI]

study=NAME     one study alone, with all of its trials
watch=true     looks again every few seconds, until nothing runs any more or Ctrl-C
format=json    the same for programs: a list of studies
run.out        the folder that studies were run in (default: the current one)
run.storage    where their ledger is, if it is not the file studies.db
"""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.command import command, entry, flags, require
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, nearest, parse_words
from sweeps.definition.config import parse_storage
from sweeps.definition.space import describe
from sweeps.records import RunState, SeedRun, StudyRecord, TrialRecord, TrialState, cause_told, duration
from sweeps.storage.driver_note import TOLD_EVERY_S, DriverNote, place_of, read_note

if TYPE_CHECKING:
    from sweeps.storage.database import Database
    from sweeps.storage.ledger import Ledger

WORDS = ("study", "watch", "format", "run.out", "run.storage")
SILENT_S = 12 * TOLD_EVERY_S
"""Age of a note from which on its driver is taken for gone."""


@command()
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    from sweeps.storage.database import database_of

    values = parse_words(words, literal=[word for word in WORDS if word != "watch"])
    require(values, WORDS, ())
    form = values.get("format", "text")
    if form not in ("text", "json"):
        raise ConfigError(f"`format` must be text or json, but got {form!r}.")
    flags(values, ["watch"])
    is_watched = bool(values.get("watch"))
    if is_watched and form == "json":
        raise ConfigError("`watch=true` is for people; programs ask with `format=json` as often as they like.")
    out = expand(values.get("run.out", "."), "run.out")
    database = database_of(out, parse_storage(values.get("run.storage")))
    if not database.exists():
        if form == "json":
            print("[]")
        elif "run.storage" in values:
            print(f"No study has run in {database.shown}: it holds no ledger. Give run.storage=URI of the study.")
        else:
            print(f"No study has run in {out.absolute()}: it holds no studies.db. Give run.out=FOLDER of the study.")
        return 0
    if is_watched:
        return _watch(database, out, values.get("study"))
    found = _standings(database, out, values.get("study"))
    if form == "json":
        print(json.dumps([_as_json(standing) for standing in found], indent=1))
    else:
        print("\n".join(line for standing in found for line in _lines(standing, details="study" in values)))
    return 0


def _standings(database: "Database", out: Path, name: str | None) -> "list[Standing]":
    ledger = database.read()
    try:
        studies = ledger.studies()
        if name is not None:
            names = [study.name for study in studies]
            if name not in names:
                raise ConfigError(f"`study=` must name a study of the ledger; {nearest(name, names)}")
            studies = [study for study in studies if study.name == name]
        return [standing_of(ledger, study, out) for study in studies]
    finally:
        ledger.close()


def _watch(database: "Database", out: Path, name: str | None) -> int:
    """Shows the studies that run, again and again: on a terminal in place, else as lines where something is new."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(soft_wrap=True)
    last = ""
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        while True:
            found = _standings(database, out, name)
            running = [standing for standing in found if standing.is_running]
            shown = running or found
            text = "\n".join(line for standing in shown for line in _lines(standing, details=False))
            if live is not None:
                live.update(Text(text), refresh=True)
            elif text != last:
                print(text, flush=True)
            last = text
            if not running:
                return 0
            try:
                time.sleep(TOLD_EVERY_S / 2)
            except KeyboardInterrupt:
                return 0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a study is."""

    study: StudyRecord
    trials: tuple[TrialRecord, ...]
    """Those that are known so far."""
    num_trials: int
    """Planned."""
    runs: dict[tuple[str, int], SeedRun]
    """That have ended, by fingerprint and seed; on fresh seeds too."""
    missing: int
    """Seed runs of the search that were never ended."""
    fresh: int
    """Seed runs of the confirmation."""
    fresh_done: int
    driver: DriverNote | None
    """None when no driver is known of."""

    def count(self, state: RunState) -> int:
        """Seed runs of the search in a state."""
        return sum(run.state == state for run in self.runs.values() if run.seed in self.study.seeds)

    @property
    def is_running(self) -> bool:
        """Whether its driver gave a sign of life lately."""
        return self.driver is not None and self.driver.age_s() < SILENT_S and not self.driver.is_gone()


def standing_of(ledger: "Ledger", study: StudyRecord, out: Path) -> Standing:
    """Looks at a study in the ledger, and for its driver under `run.out`."""
    trials = ledger.trials(study.name)
    ended = (run for run in ledger.seed_runs(study.name) if run.state != RunState.PAUSED)
    runs = {(run.fingerprint, run.seed): run for run in ended}
    planned = study.num_trials or len(trials)
    going = [trial for trial in trials if trial.state != TrialState.PRUNED]
    missing = (planned - len(trials) + len(going)) * len(study.seeds)
    missing -= sum((t.fingerprint, s) in runs for t in going for s in study.seeds)
    fresh = fresh_done = 0
    if study.confirm:
        scored = sum(trial.state not in (TrialState.DIVERGED, TrialState.PRUNED) for trial in trials)
        fresh = study.confirm.num_runs(planned=planned, scored=scored, has_ended=not missing)
        fresh_done = min(fresh, sum(run.state.is_result for run in runs.values() if run.seed not in study.seeds))
    return Standing(
        study=study,
        trials=tuple(trials),
        num_trials=planned,
        runs=runs,
        missing=missing,
        fresh=fresh,
        fresh_done=fresh_done,
        driver=read_note(place_of(out, study.name)),
    )


def _as_json(standing: Standing) -> dict[str, Any]:
    study, driver = standing.study, standing.driver
    numbers = {trial.fingerprint: trial.number for trial in standing.trials}
    return {
        "study": study.name,
        "question": study.question,
        "trials": standing.num_trials,
        "seeds": list(study.seeds),
        **{state.value: standing.count(state) for state in (RunState.COMPLETE, RunState.DIVERGED, RunState.PRUNED)},
        "stopped": [trial.number for trial in standing.trials if trial.state == TrialState.PRUNED],
        "missing": standing.missing,
        "fresh": {"done": standing.fresh_done, "total": standing.fresh},
        "failed": [
            {"trial": numbers.get(run.fingerprint), "seed": run.seed, "cause": run.cause, "reason": run.reason}
            for run in standing.runs.values()
            if run.state == RunState.FAILED
        ],
        "running": standing.is_running,
        "driver": asdict(driver) if driver else None,
    }


def _stopped(standing: Standing) -> str:
    stopped = sum(trial.state == TrialState.PRUNED for trial in standing.trials)
    return f"; the pruner stopped {stopped} trial{'s' if stopped > 1 else ''}" if stopped else ""


def _lines(standing: Standing, *, details: bool) -> list[str]:
    study, num = standing.study, standing.num_trials
    seeds = study.seeds
    lines = [
        f"{study.name}: {study.question}",
        f"  {num} trial{'s' if num > 1 else ''} × {len(seeds)} seed{'s' if len(seeds) > 1 else ''}: "
        f"{standing.count(RunState.COMPLETE)} complete, {standing.count(RunState.DIVERGED)} diverged, "
        f"{f'{pruned} pruned, ' if (pruned := standing.count(RunState.PRUNED)) else ''}"
        f"{standing.count(RunState.FAILED)} failed, {standing.missing} to do{_stopped(standing)}",
    ]
    if study.confirm:
        lines.append(f"  confirmation: {standing.fresh_done} of {standing.fresh} seed runs on fresh seeds")
    if standing.driver:
        lines += _of_driver(standing.driver, is_running=standing.is_running)
    for trial in standing.trials:
        own = [standing.runs.get((trial.fingerprint, seed)) for seed in seeds]
        troubled = [run for run in own if run is not None and run.state != RunState.COMPLETE]
        absent = [seed for seed, run in zip(seeds, own, strict=True) if run is None]
        is_stopped = trial.state == TrialState.PRUNED
        if details or troubled or absent:
            waits = f"  stopped without seeds {absent}" if is_stopped else f"  seeds to do: {absent}"
            lines.append(f"  trial {trial.number} {describe(trial.params)}" + (waits if absent else ""))
        for run in troubled:
            lines.append(f"    seed {run.seed} {run.state}{cause_told(run)}: {(run.reason or '').splitlines()[-1]}")
    return lines


def _of_driver(driver: DriverNote, *, is_running: bool) -> list[str]:
    where = f"on {driver.host} (process {driver.pid})"
    if not is_running:
        return [f"  it ran {where} until {driver.told}, which was not its end; the same command goes on from there"]
    left = "" if driver.left_s is None else f", about {duration(driver.left_s)} left"
    lines = [f"  running {where}: {driver.done} of {driver.total} seed runs done{left}"]
    if driver.best:
        lines.append(f"    {driver.best}")
    for job in driver.jobs:
        lines.append(f"    {job.name}: epoch {job.epoch} of {job.epochs}" + (f", {job.note}" if job.note else ""))
    return lines


if __name__ == "__main__":
    entry(main)
