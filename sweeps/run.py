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
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from resnet_tl.address import without_secrets
from resnet_tl.cli import describe_data
from resnet_tl.command import Section, command, entry, options_of
from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.device import is_gpu
from resnet_tl.errors import ConfigError, WeightsError
from resnet_tl.freezing import is_head_only, num_trained
from resnet_tl.option_text import expand
from resnet_tl.training.member import common_beginning
from sweeps.definition.config import Definition, RunConfig, StudyConfig
from sweeps.definition.outputs.registry import TABLES
from sweeps.definition.space import describe
from sweeps.records import ASK_AHEAD
from sweeps.tracking.credentials import hand_over

if TYPE_CHECKING:
    from sweeps.definition.config import RaceConfig, RungsConfig
    from sweeps.engine.prepared_study import PreparedStudy
    from sweeps.planning.study_state import Outcome, StudyState


OFTEN = 0.05
"""Share of a space's points that break a rule, from which on a dry run warns."""


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
    from sweeps.reporting.markdown import table
    from sweeps.reporting.reading import from_ledger
    from sweeps.reporting.report import own_tables
    from sweeps.reporting.table import Table
    from sweeps.reporting.tables import make
    from sweeps.reporting.terminal import terminal_table
    from sweeps.reporting.verdict import verdict
    from sweeps.reporting.write import write_report
    from sweeps.storage.database import database_of
    from sweeps.tracking.mlflow_database import Place, ui_command

    name = definition.study.name
    place = Place(out=out.resolve(), cache=default_cache(), given=definition.run.tracking_uri)
    database = database_of(out, definition.run.storage)
    ledger = database.read()
    results = from_ledger(ledger, name, out)
    report = out / "reports" / f"{name}.md"
    written = write_report(results, report)
    if written.pictures and (outcome.ran or outcome.sent):
        from sweeps.tracking.mlflow_files import publish

        why = publish(place, name, [*written.pictures, report])
        if why:
            print(f"The pictures are not on MLflow: {why}.")
    if outcome.ran == 0:
        searched, fresh = outcome.done - outcome.fresh_done, outcome.fresh_done
        print(f"{name}: all {_seed_runs(searched, fresh)} are done; nothing was trained.")
    made = [(spec.kind, item) for spec, items in own_tables(results) for item in items if isinstance(item, Table)]
    asked = any(item.parameter for item in results.hypotheses)
    answers = make(results, TABLES.spec("hypotheses", "study.tables")) if asked else []
    said = verdict(results)
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
    if outcome.best:
        best = _relative(outcome.best)
        fingerprint, seed = (outcome.best / "origin.txt").read_text().split()
        number = next(trial.number for trial in results.trials if trial.fingerprint == fingerprint)
        print(f"Best network   {best}  (trial {number}, seed {seed}: of the best trial the seed with the best val)")
        images = shlex.quote(str(best / "samples"))
        print(f"Use it         python -m resnet_tl.predict checkpoint={shlex.quote(str(best))} images={images}")
    kinds = [*(kind for kind, _ in made[1:]), *(["shifted"] if results.shifted else [])]
    more = f"with {', '.join(dict.fromkeys(kinds))}; " if kinds else ""
    print(f"Report         {report}  ({more}every run is in {name}.csv)")
    print(f"Ledger         {database.shown}")
    print(f"Browse runs    {ui_command(place)}")
    if not place.is_server:
        print(f"               then http://127.0.0.1:5000, “Model training” at the top left, the experiment {name}")
    if outcome.unsent:
        print(f"MLflow lacks {outcome.unsent} of the seed runs that have ended; the same command sends them.")
    return 1 if outcome.failed else 0


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
    from resnet_tl.data.synthetic import describe as describe_generator
    from resnet_tl.data.synthetic import sheet_of
    from sweeps.engine.prepared_study import prepare_study
    from sweeps.reporting.cells import count
    from sweeps.storage.database import database_of

    database = database_of(expand(definition.run.out, "run.out"), definition.run.storage)
    ledger = database.read() if database.exists() else None
    try:
        prepared = prepare_study(definition, ledger)
    finally:
        if ledger:
            ledger.close()
    said, unusable = [], None
    try:
        said = prepared.require_start()
    except WeightsError as error:  # all else can be shown nevertheless
        unusable = error
    plan, study, data = prepared.plan, definition.study, prepared.data
    images = data.num_images
    print(f"{study.name}: {study.question}")
    parts = f"{images['train']} train, {images['val']} val, {images['test']} test images"
    print(
        f"{f'{data.num_stored} images' if data.folds else parts} of {len(data.classes)} classes, "
        f"{data.channels} channel(s), {data.input_size[0]}×{data.input_size[1]} pixels"
    )
    print("\n".join([describe_data(data), *prepared.warnings(), *said]))
    if data.folds:
        print(
            f"{data.folds} fits for each seed run: each seed cuts all images into {data.folds} folds; no network is "
            "kept (to get one, run the best configuration without study.folds)"
        )
    if data.skipped:
        print(f"left out: {', '.join(sorted(data.skipped))}")
    if data.num_leaked:
        print(f"warning: {data.num_leaked} images of val and test stand in train too, pixel by pixel")
    if data.num_contradicting:
        print(f"warning: {data.num_contradicting} images stand in two classes, pixel by pixel")
    for stage in prepared.stages():
        result = stage.result()
        score = f"{stage.trial.monitor} {result.score:.4f}" if result else ""
        made = f"trained already: {score}" if result else "to be trained first"
        print("\n  ".join([f"pretrain {stage.describe()}; {made}", *stage.data.notes]))
    for shown in prepared.generated(prepared.probes()):
        made = f"trained already: {sheet_of(shown)}" if shown.is_made else "to be trained first"
        print(f"{describe_generator(shown)}; {made}")
    so_far = prepared.state()
    is_stopped = {trial.number for trial in so_far.stopped()}
    for trial in plan.trials:
        done = [seed for seed in study.seeds if prepared.known.has(trial, seed)]
        lacking = prepared.known.lacks(trial, study.seeds)
        to_do = "stopped" if trial.number in is_stopped else f"to do {lacking or 'none'}"
        print(
            f"trial {trial.number}: {describe(trial.params)}  epochs={trial.config.epochs}  "
            f"{num_trained(trial.config, channels=data.channels, num_classes=len(data.classes)):,} parameters train  "
            f"seeds done {done or 'none'}, {to_do}"
        )
        if trial.config.weights == "none" and prepared.num_frozen(trial.config):
            print("  warning: the frozen part has random weights")
    for left_out, kept in plan.coinciding:
        print(f"{describe(left_out)} means the same network as {describe(kept)} and is not run twice")
    if plan.to_ask:
        print(f"{count(plan.to_ask, 'more trial')} will be proposed by {study.method}")
    if not study.is_listed:
        share, rule = definition.broken()
        if share >= OFTEN:
            print(
                f"warning: about {share:.0%} of the points of this space break a rule between parameters and are "
                f"skipped, such as {rule} Narrow the space, or give values that go together with `when` or `set`."
            )
    if study.confirm:
        seeds = study.confirm.seeds
        named = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        print(f"then the best {study.confirm.top} run again on {count(len(seeds), 'fresh seed')} ({named})")
    if study.stop and plan.to_ask:
        print(
            "the search ends earlier when more trials would hardly find one that is better by "
            f"{study.stop.regret:g} in {study.metric} (risk {study.stop.risk:g})"
        )
    if study.pruner:
        stopped = ", ".join(str(trial.number) for trial in so_far.stopped())
        configs = [trial.config for trial in plan.trials] + (prepared.probes() if plan.to_ask else [])
        most = max((config.epochs for config in configs), default=0)
        for pruner in study.pruner:
            print(_pruning_told(pruner, study, len(plan.trials) + plan.to_ask, most))
        print("these are the most seed runs there can be" + (f"; stopped so far: {stopped}" if stopped else ""))
    for line in _shared(prepared, so_far):
        print(line)
    counts = so_far.outcome(ran=0, best=None)
    runs = _seed_runs(counts.total - counts.fresh, counts.fresh)
    print(f"{runs} in all, {counts.done} done, {counts.total - counts.done} to do")
    if unusable:
        raise unusable
    return 0


def _pruning_told(rule: "RungsConfig | RaceConfig", study: StudyConfig, num_trials: int, most_epochs: int) -> str:
    """What a rule of the pruner is going to do."""
    from sweeps.statistics.pruning import rules_of

    rules = rules_of([rule.model_dump()])
    assert rules is not None
    if rules.rungs is None:
        return "race: trials that can hardly win any more get no more seeds"
    told, left = [], num_trials
    rungs = rules.rungs.below(most_epochs)
    seeds = "1 seed" if rules.rungs.seeds == 1 else f"{rules.rungs.seeds} seeds"
    if not rungs:
        return f"rungs: none, since no trial has more than {most_epochs} epochs"
    if study.method == "bayes":
        at = ", ".join(map(str, rungs))
        return (
            f"rungs, on {seeds}: after epochs {at} a trial goes on if it is among the best 1/{rules.rungs.eta:g} of "
            f"itself and those that were through when it was proposed; the first {ASK_AHEAD} always do"
        )
    for epoch in rungs:
        left = rules.rungs.num_left(left, is_last=epoch == rungs[-1])
        told.append(f"after epoch {epoch} the best {left} go on")
    return f"rungs, on {seeds}: {num_trials} trials; {', '.join(told)}; those left get all seeds"


def _seed_runs(searched: int, fresh: int) -> str:
    """`18 seed runs and 6 on fresh seeds`."""
    from sweeps.reporting.cells import count

    return f"{count(searched, 'seed run')}{f' and {fresh} on fresh seeds' if fresh else ''}"


def _shared(prepared: "PreparedStudy", so_far: "StudyState") -> list[str]:
    """What seed runs share, what a worker may take of the memory, and what is kept on the disk."""
    from sweeps.planning.feature_reuse import (
        kept_bytes,
        predictions_bytes,
        size_text,
        state_bytes,
        why_nothing,
        worker_bytes,
    )
    from sweeps.planning.study_state import waiting_bytes

    plan, study, data = prepared.plan, prepared.study, prepared.data
    confirming = Counter(item.trial.number for item in so_far.to_confirm())  # empty before the search has ended
    counts = [
        (trial.config, len(prepared.known.lacks(trial, study.seeds)) + confirming[trial.number])
        for trial in plan.trials
    ]
    todo = [(config, count) for config, count in counts if count]
    configs = [config for config, _ in todo] + (prepared.probes() if plan.to_ask else [])
    if not configs:
        return []
    reuse = prepared.decide_reuse(todo, plan.to_ask)
    lines = [f"shared: {decision.describe()}" for decision in reuse.decisions]
    whole = [config for config, _ in todo if not is_head_only(config, data.channels)]
    ends = Counter(name for config in whole if (name := common_beginning(config)) is not None)
    if several := sum(many for many in ends.values() if many > 1):
        lines.append(f"shared: what {several} trials have in common that differ in epochs or patience alone")
    if not lines:
        lines = [f"shared: nothing, since {why_nothing(configs, data.channels)}"]
    device = prepared.environment.device
    most = max(worker_bytes(c, prepared.data_of(c), reuse.of(prepared.prefix(c)), device=device) for c in configs)
    both = " of the machine's, and as much of its GPU's" if is_gpu(device) else ""
    lines.append(f"memory: at most {most / 1e9:.1f} GB a worker{both}")
    probes = prepared.probes() if plan.to_ask else []
    runs: list[tuple[TrialConfig, float]] = list(todo)
    runs += [(config, plan.to_ask * len(study.seeds) / len(probes)) for config in probes]
    left = so_far.outcome(ran=0, best=None)
    num_fresh = left.fresh - left.fresh_done
    if num_fresh and not confirming:  # it is not known yet which trials are run again
        runs.append((max(configs, key=lambda config: kept_bytes(config, data)), num_fresh))
    keep = prepared.definition.keep
    networks = sum(count * kept_bytes(config, data) for config, count in runs)
    told = _seed_runs(left.total - left.done - num_fresh, num_fresh)
    kept = {
        "all": f"one network for each of {told} to do, about {size_text(networks)} in all (run.keep=best keeps one)",
        "best": "the best network alone",
        "none": "no network",
    }
    predictions = sum(count for _, count in runs) * predictions_bytes(data)
    lines.append(f"disk: {kept[keep]}; predictions are kept always, about {size_text(predictions)} in all")
    largest = max(configs, key=lambda config: state_bytes(config, data))
    if waiting := waiting_bytes(study, [trial.config for trial in plan.trials] + plan.to_ask * [largest], data):
        lines[-1] += f"; training states that wait at rungs take up to {size_text(waiting)}"
    return lines


if __name__ == "__main__":
    entry(main)
