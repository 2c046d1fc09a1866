"""The dry run: all that can be known of a study before anything is paid for it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from resnet_tl.cli import describe_data
from resnet_tl.config import TrialConfig
from resnet_tl.data.synthetic import describe as describe_generator
from resnet_tl.data.synthetic import sheet_of
from resnet_tl.device import is_gpu
from resnet_tl.errors import WeightsError
from resnet_tl.freezing import is_head_only, num_trained, phases
from resnet_tl.training.member import common_beginning
from sweeps.definition.config import Definition, RaceConfig, RungsConfig, StudyConfig
from sweeps.definition.space import describe, describe_value
from sweeps.engine.forecast import Forecast, forecast
from sweeps.engine.prepared_study import PreparedStudy, prepare_study
from sweeps.execution.everywhere import CannotTime
from sweeps.planning.feature_reuse import (
    kept_bytes,
    predictions_bytes,
    size_text,
    state_bytes,
    why_nothing,
    worker_bytes,
)
from sweeps.planning.study_state import StudyState, ends_early, waiting_bytes
from sweeps.records import ASK_AHEAD, TrialRecord, count, duration, seed_runs_told
from sweeps.statistics.pruning import rules_of
from sweeps.storage.ledger import Ledger

OFTEN = 0.05
"""Share of a space's points that break a rule, from which on a word is said."""
MOST_TRIALS = 60
"""Of which each has a line; of more the first and the last ones have."""


def preflight(definition: Definition, ledger: Ledger | None) -> Iterator[str]:
    """What would run, line by line.

    Args:
        ledger: None where there is none yet.

    Raises:
        UserError: it could not run. What can be said nevertheless was said before.
    """
    prepared = prepare_study(definition, ledger)
    unusable = None
    try:
        said = prepared.require_start()
    except WeightsError as error:  # all else can be shown nevertheless
        said, unusable = [], error
    plan, study = prepared.plan, definition.study
    yield from _images(prepared, said)
    yield from _made_before(prepared)
    so_far = prepared.state()
    foreseen, why_not = None, ""
    elsewhere = _elsewhere(prepared, so_far, ledger)
    try:
        foreseen = forecast(prepared, so_far, with_weights=unusable is None, known=elsewhere)
    except CannotTime as error:
        why_not = f"time: the steps of a training could not be timed: {error}"
    yield from _trials(prepared, so_far, foreseen)
    for left_out, kept in plan.coinciding:
        yield f"{describe(left_out)} means the same network as {describe(kept)} and is not run twice"
    if plan.to_ask:
        yield f"{count(plan.to_ask, 'more trial')} will be proposed by {study.method}"
    yield from _rules(definition, prepared, so_far)
    yield from _shared(prepared, so_far)
    if elsewhere:
        yield f"taken over: {count(len(elsewhere), 'seed run')} that other studies of this ledger have done"
    if foreseen:
        configs = [trial.config for trial in plan.trials] + (prepared.probes() if plan.to_ask else [])
        yield _time_told(foreseen, may_stop=ends_early(study, configs))
    elif why_not:
        yield why_not
    counts = so_far.outcome(ran=0, best=None)
    runs = seed_runs_told(counts.total - counts.fresh, counts.fresh)
    yield f"{runs} in all, {counts.done} done, {counts.total - counts.done} to do"
    if unusable:
        raise unusable


def _images(prepared: PreparedStudy, said: Sequence[str]) -> Iterator[str]:
    data = prepared.data
    yield describe_data(data)
    height, width = data.input_size
    yield (
        f"{data.num_stored:,} images of {len(data.classes)} classes, {height}×{width} pixels, "
        f"{count(data.channels, 'channel')}"
    )
    yield from prepared.warnings()
    yield from said
    if data.folds:
        yield (
            f"{data.folds} fits for each seed run: each seed cuts all images into {data.folds} folds; no network is "
            "kept (to get one, run the best configuration without study.folds)"
        )
    if data.skipped:
        yield f"left out: {', '.join(sorted(data.skipped))}"
    if data.num_leaked:
        yield f"warning: {data.num_leaked} images of val and test stand in train too, pixel by pixel"
    if data.num_contradicting:
        yield f"warning: {data.num_contradicting} images stand in two classes, pixel by pixel"


def _made_before(prepared: PreparedStudy) -> Iterator[str]:
    """Pretrain stages and generators."""
    for stage in prepared.stages():
        result = stage.result()
        score = f"{stage.trial.monitor} {result.score:.4f}" if result else ""
        made = f"trained already: {score}" if result else "to be trained first"
        yield "\n  ".join([f"pretrain {stage.describe()}; {made}", *stage.data.notes])
    for shown in prepared.generated(prepared.probes()):
        made = f"trained already: {sheet_of(shown)}" if shown.is_made else "to be trained first"
        yield f"{describe_generator(shown)}; {made}"


def _elsewhere(prepared: PreparedStudy, so_far: StudyState, ledger: Ledger | None) -> set[tuple[str, int]]:
    """Fingerprints and seeds of what other studies of the ledger have done."""
    if ledger is None:
        return set()
    lacking = {
        (trial.fingerprint, seed)
        for trial, _ in so_far.lacking()
        if trial is not None
        for seed in prepared.known.lacks(trial, prepared.study.seeds)
    }
    return lacking & ledger.done_elsewhere(prepared.study.name, prepared.study.scores)


def _trials(prepared: PreparedStudy, so_far: StudyState, foreseen: Forecast | None) -> Iterator[str]:
    """A table: what tells trials apart, how many parameters train, how many of their seeds are done."""
    trials, study, data = prepared.plan.trials, prepared.study, prepared.data
    if not trials:
        return
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    shared = {
        name: trials[0].params[name]
        for name in names
        if all(name in t.params and t.params[name] == trials[0].params[name] for t in trials)
    }
    if len(trials) > 1:
        if shared:
            yield f"every trial: {describe(shared)}"
        names = [name for name in names if name not in shared]
    if len({_epochs(trial) for trial in trials}) > 1 and "epochs" not in names:
        names.append("epochs")
    stopped = {trial.number for trial in so_far.stopped()}
    header = ["trial", *names, "parameters that train", "seeds done"]
    header += ["seconds a seed run"] if foreseen else []
    rows = []
    for trial in trials:
        done = sum(prepared.known.has(trial, seed) for seed in study.seeds)
        trained = [
            num_trained(phase, channels=data.channels, num_classes=len(data.classes)) for phase in phases(trial.config)
        ]
        row = [str(trial.number), *(_value(trial, name) for name in names), ", then ".join(f"{n:,}" for n in trained)]
        row.append(f"{done} of {len(study.seeds)}" + (", stopped" if trial.number in stopped else ""))
        if foreseen:
            seconds = foreseen.of_trials.get(trial.number)
            row.append("" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}")
        rows.append(row)
    left_out = len(rows) - MOST_TRIALS
    lines = _aligned([header, *rows])
    if left_out > 0:
        half = MOST_TRIALS // 2
        lines[1 + half : 1 + half + left_out] = [f"… {left_out} more …"]
    yield from lines
    if any(trial.config.weights == "none" and prepared.num_frozen(phases(trial.config)[0]) for trial in trials):
        yield "warning: the frozen part of some networks has random weights (trial.weights: none)"


def _value(trial: TrialRecord, name: str) -> str:
    if name == "epochs":
        return _epochs(trial)
    return describe_value(trial.params[name]) if name in trial.params else ""


def _epochs(trial: TrialRecord) -> str:
    """Those of each phase."""
    return "+".join(str(phase.epochs) for phase in phases(trial.config))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, in columns; numbers to the right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_number = [all(not cell or cell[0].isdigit() for cell in column[1:]) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in rows
    ]


def _rules(definition: Definition, prepared: PreparedStudy, so_far: StudyState) -> Iterator[str]:
    """How a search goes on and ends."""
    plan, study = prepared.plan, prepared.study
    if not study.is_listed:
        share, rule = definition.broken()
        if share >= OFTEN:
            yield (
                f"warning: about {share:.0%} of the points of this space break a rule between parameters and are "
                f"skipped, such as {rule} Narrow the space, or give values that go together with `when` or `set`."
            )
    if study.confirm:
        seeds = study.confirm.seeds
        named = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        yield f"then the best {study.confirm.top} run again on {count(len(seeds), 'fresh seed')} ({named})"
    if study.stop and plan.to_ask:
        yield (
            "the search ends earlier when more trials would hardly find one that is better by "
            f"{study.stop.regret:g} in {study.metric} (risk {study.stop.risk:g})"
        )
    if study.pruner:
        stopped = ", ".join(str(trial.number) for trial in so_far.stopped())
        configs = [trial.config for trial in plan.trials] + (prepared.probes() if plan.to_ask else [])
        most = max((config.num_epochs for config in configs), default=0)
        for pruner in study.pruner:
            yield _pruning_told(pruner, study, len(plan.trials) + plan.to_ask, most)
        yield "these are the most seed runs there can be" + (f"; stopped so far: {stopped}" if stopped else "")


def _time_told(foreseen: Forecast, *, may_stop: bool) -> str:
    workers = count(foreseen.num_workers, "worker")
    shared = f", {duration(foreseen.shared_s)} of it for what is made once for all" if foreseen.shared_s >= 1 else ""
    most = "at most " if may_stop else "about "
    reckoned = f"; {foreseen.num_reckoned} kinds of trial were reckoned by others" if foreseen.num_reckoned else ""
    return (
        f"time: {most}{duration(foreseen.seconds)} on {workers}, as steps took just now{reckoned}{shared}; "
        "loading and the report come beside it"
    )


def _pruning_told(rule: RungsConfig | RaceConfig, study: StudyConfig, num_trials: int, most_epochs: int) -> str:
    """What a rule of the pruner is going to do."""
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


def _shared(prepared: PreparedStudy, so_far: StudyState) -> list[str]:
    """What seed runs share, what a worker may take of the memory, and what is kept on the disk."""
    plan, study, data = prepared.plan, prepared.study, prepared.data
    confirming = Counter(item.trial.number for item in so_far.to_confirm())  # empty before the search has ended
    counts = [
        (trial.config, len(prepared.known.lacks(trial, study.seeds)) + confirming[trial.number])
        for trial in plan.trials
    ]
    todo = [(config, many) for config, many in counts if many]
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
    most = max(
        worker_bytes(phase, prepared.data_of(c), reuse.of(prepared.prefix(phase)), device=device)
        for c in configs
        for phase in phases(c)
    )
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
    networks = sum(many * kept_bytes(config, data) for config, many in runs)
    told = seed_runs_told(left.total - left.done - num_fresh, num_fresh)
    kept = {
        "all": f"one network for each of {told} to do, about {size_text(networks)} in all (run.keep=best keeps one)",
        "best": "the best network alone",
        "none": "no network",
    }
    predictions = sum(many for _, many in runs) * predictions_bytes(data)
    lines.append(f"disk: {kept[keep]}; predictions are kept always, about {size_text(predictions)} in all")
    largest = max(configs, key=lambda config: state_bytes(config, data))
    if waiting := waiting_bytes(study, [trial.config for trial in plan.trials] + plan.to_ask * [largest], data):
        lines[-1] += f"; training states that wait at rungs take up to {size_text(waiting)}"
    return lines
