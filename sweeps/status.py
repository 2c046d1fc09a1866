"""python -m sweeps.status: what each study of the ledger has, lacks and failed.

python -m sweeps.status [study=NAME] [run.out=FOLDER] [run.storage=URI]
"""

import sys
from collections.abc import Sequence

from resnet_tl.cli import entry, require
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, nearest, parse_words
from sweeps.definition.config import parse_storage
from sweeps.definition.space import describe
from sweeps.records import RunState, StudyRecord, TrialState, cause_told
from sweeps.storage.database import database_of
from sweeps.storage.ledger import Ledger

WORDS = ("study", "run.out", "run.storage")


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0
    values = parse_words(words, literal=WORDS)
    require(values, WORDS, ())
    out = expand(values.get("run.out", "."), "run.out")
    database = database_of(out, parse_storage(values.get("run.storage")))
    if not database.exists() and "run.storage" in values:
        print(f"No study has run in {database.shown}: it holds no ledger. Give run.storage=URI of the study.")
        return 0
    if not database.exists():
        print(f"No study has run in {out.absolute()}: it holds no studies.db. Give run.out=FOLDER of the study.")
        return 0
    ledger = database.read()
    try:
        studies = ledger.studies()
        if "study" in values:
            names = [study.name for study in studies]
            if values["study"] not in names:
                raise ConfigError(f"`study=` must name a study of the ledger; {nearest(values['study'], names)}")
            studies = [study for study in studies if study.name == values["study"]]
        for study in studies:
            _show(ledger, study, details="study" in values)
    finally:
        ledger.close()
    return 0


def _show(ledger: Ledger, study: StudyRecord, *, details: bool) -> None:
    trials, runs = ledger.trials(study.name), ledger.seed_runs(study.name)
    seeds = study.seeds
    planned = study.num_trials or len(trials)
    states = {(run.fingerprint, run.seed): run for run in runs}
    search = [run for run in runs if run.seed in seeds]
    counts = {state: sum(run.state == state for run in search) for state in RunState}
    total = planned * len(seeds)
    lacking = total - sum((t.fingerprint, s) in states for t in trials for s in seeds)
    print(f"{study.name}: {study.question}")
    print(
        f"  {planned} trial{'s' if planned > 1 else ''} × {len(seeds)} seed{'s' if len(seeds) > 1 else ''}: "
        f"{counts[RunState.COMPLETE]} complete, "
        f"{counts[RunState.DIVERGED]} diverged, {counts[RunState.FAILED]} failed, {lacking} to do"
    )
    if study.confirm:
        fresh = sum(run.state.is_result for run in runs if run.seed not in seeds)
        scored = sum(trial.state != TrialState.DIVERGED for trial in trials)
        total = study.confirm.num_runs(planned=planned, scored=scored, has_ended=not lacking)
        print(f"  confirmation: {min(fresh, total)} of {total} seed runs on fresh seeds")
    for trial in trials:
        own = [states.get((trial.fingerprint, seed)) for seed in seeds]
        troubled = [run for run in own if run is not None and run.state != RunState.COMPLETE]
        absent = [seed for seed, run in zip(seeds, own, strict=True) if run is None]
        if details or troubled or absent:
            missing = f"  seeds to do: {absent}" if absent else ""
            print(f"  trial {trial.number} {describe(trial.params)}{missing}")
        for run in troubled:
            print(f"    seed {run.seed} {run.state}{cause_told(run)}: {(run.reason or '').splitlines()[-1]}")


if __name__ == "__main__":
    entry(main)
