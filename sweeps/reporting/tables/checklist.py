"""`checklist`: what a reviewer asks of an experiment, each line computed from what was run."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_tl.errors import ConfigError
from sweeps.definition.dimension import Dimension, parse_dimension
from sweeps.definition.outputs.tables.checklist import Options
from sweeps.records import StudyRecord, count
from sweeps.reporting.cells import label, name_of, show
from sweeps.reporting.cross_validation import cut_told, not_covered
from sweeps.reporting.inline import Inline, code, joined
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import chance
from sweeps.reporting.table import Table


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each question."""
    about = results.about
    if about is None:
        raise ConfigError("The table checklist needs a study of the ledger, or a CSV file with its NAME.about.json.")
    runs = [run for trial in results.trials for run in (trial, trial.fresh) if run is not None]
    rows: list[tuple[Inline, Inline]] = [
        ("What was asked?", about.question),
        ("Which hypotheses were written beforehand?", _hypotheses(results, about)),
        ("What was searched, and in which ranges?", _space(about)),
        ("How were trials chosen?", _method(results, about)),
        ("How many runs?", _runs(results, about, runs)),
        ("How much compute, runs without a result included?", _compute(results, runs)),
        ("On what hardware?", _hardware(about)),
        ("What decides epoch, trial and network?", _selection(results)),
        ("What do ± and the intervals mean?", _bars(results)),
        ("What do they not cover?", _not_covered(about)),
        ("Which tests, and corrected for what?", _tests(results)),
        ("Which images, and how were they split?", _images(about)),
        ("Which images were left out?", _left_out(about)),
        ("Starting weights?", _weights(results, about)),
        ("Which versions?", _versions(results, about)),
    ]
    return [Table(title=None, header=("Question", "Answer"), rows=tuple(rows))]


def _hypotheses(results: Results, about: StudyRecord) -> Inline:
    if not results.hypotheses:
        return "None."
    number = len(results.hypotheses)
    told = "1 hypothesis." if number == 1 else f"{number} hypotheses."
    if about.hypotheses_changed:
        return told + f" They were written or changed on {about.hypotheses_changed}, when runs had been seen already."
    return told + " All were written before the first run had ended."


def _space(about: StudyRecord) -> Inline:
    if not about.space:
        return "Nothing: one configuration over several seeds."
    parts = []
    for name, written in about.space.items():
        alternatives = written if isinstance(written, list | tuple) else [written]
        told = " or ".join(dict.fromkeys(_range(name, one) for one in alternatives))
        parts.append(f"{name_of(name)}: {told}")
    return "; ".join(parts) + "."


def _range(name: str, written: Any) -> str:
    """The values of a parameter, or its range with how it is drawn."""
    if not isinstance(written, Mapping):
        return show(name, written)
    dimension: Dimension = parse_dimension(name, name, dict(written), name)
    if dimension.choices is not None:
        told = ", ".join(show(name, value) for value in dimension.choices)
    else:
        drawn = "log-uniform" if dimension.log else "uniform"
        step = dimension.step or dimension.multiple
        steps = f", in steps of {step:g}" if step else ", whole numbers" if dimension.integer else ""
        told = f"{show(name, _short(dimension.low))} to {show(name, _short(dimension.high))} ({drawn}{steps})"
    if dimension.when:
        where = " and ".join(
            f"{other} is {' or '.join(show(other, value) for value in values)}"
            for other, values in dimension.when.items()
        )
        told += f" where {where}"
    return told


def _short(value: float) -> float:
    """Three digits of an end, which a range in logarithms of other numbers gives with many."""
    rounded = float(f"{value:.3g}")
    return int(value) if value == int(value) and abs(value) >= 1 else rounded


def _method(results: Results, about: StudyRecord) -> Inline:
    words = {"grid": "every point of a grid", "random": "at random", "bayes": "by TPE (Optuna)"}
    words["ablation"] = "one option switched at a time"
    told = f"{words.get(about.method, about.method)}: {count(about.num_trials, 'trial')}"
    told = told[0].upper() + told[1:]
    if about.coinciding:
        told += f"; {count(len(about.coinciding), 'more point')} mean the same network as another one"
    if about.invalid:
        told += f"; {count(sum(about.invalid.values()), 'proposed point')} broke a rule between parameters"
    return f"{told}. {about.ended}".rstrip()


def _runs(results: Results, about: StudyRecord, runs: Sequence[Trial]) -> Inline:
    planned = about.num_trials * len(about.seeds)
    states = Counter(state for trial in results.trials for state in trial.states)
    ended = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "none yet"
    told = f"{planned:,} planned, {count(len(about.seeds), 'seed')} for each trial: {ended}."
    if about.pruner:
        kinds = [{"rungs": "rungs within a run", "race": "a race on seeds"}[rule["kind"]] for rule in about.pruner]
        how = " and ".join(kinds)
        told += f" {how[0].upper()}{how[1:]} stopped {count(len(results.stopped), 'trial')}, "
        told += f"and so left out {results.num_left_out:,} of them."
    if about.folds:
        told += f" Each is {about.folds} fits, one for each fold."
    fresh = sum(len(trial.fresh.states) for trial in results.trials if trial.fresh)
    if fresh:
        told += f" {fresh:,} more on fresh seeds, to confirm the best."
    if results.origin.reused_from:
        told += f" Some were taken over from {', '.join(results.origin.reused_from)}."
    return told


def _compute(results: Results, runs: Sequence[Trial]) -> Inline:
    seconds = [value for trial in runs for value in trial.columns.get("wall_s", ()) if value is not None]
    if not seconds:
        return "Not known."
    middle = sorted(seconds)[len(seconds) // 2]
    again = results.origin.repeated_s
    return (
        f"{duration(math.fsum(seconds) + again)} of training and scoring, all runs one after the other"
        + (f", {duration(again)} of it in tries that were made again" if again else "")
        + f"; the median run {duration(middle)}, the longest {duration(max(seconds))}. Pretraining, and what a killed "
        "worker had begun, are not in it."
    )


def duration(seconds: float) -> str:
    """In the unit that fits: `12 s`, `3.4 min`, `5.1 h`."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def _hardware(about: StudyRecord) -> Inline:
    told = "; ".join(about.hardware) or about.environment.device
    return f"{told}; {count(about.environment.threads, 'CPU thread')} for each run."


def _selection(results: Results) -> Inline:
    monitors = {trial.values.get("monitor", results.metric) for trial in results.trials} - {None}
    epochs = " or ".join(sorted(map(str, monitors))) or results.metric
    return (
        f"The epoch: {epochs} of each run. Trial and network: the mean of {results.metric} over seeds. Test images are "
        "scored once for each run, with the selected epoch, and decide nothing."
    )


def _bars(results: Results) -> Inline:
    told = "± is the standard deviation over seeds (ddof = 1), n the number of seeds. "
    return told + chance(results, results.trials, results.headline, what="95% intervals")


def _not_covered(about: StudyRecord) -> Inline:
    if about.folds:
        return not_covered(about.folds)
    return (
        "Other training images, and another cut into train, val and test: all runs have the same. Nor the choice among "
        "trials, but where p is said to allow for it."
    )


def _tests(results: Results) -> Inline:
    several = len(results.trials) > 1
    told = ["Against the best: p (one-sided) allows for its having been picked from its table."] if several else []
    if any(item.parameter for item in results.hypotheses):
        told.append("Hypotheses: all together at 0.05 (Holm).")
    if any(trial.fresh for trial in results.trials):
        told.append("Confirmed trials: against the leader of the search, on fresh seeds, at 0.05 (Holm).")
    return " ".join(told) or "None."


def _images(about: StudyRecord) -> Inline:
    data = about.data
    told = [f"{split} {number:,}{_by_class(data.counts.get(split, {}))}" for split, number in data.num_images.items()]
    options = ", ".join(f"{name} {value}" for name, value in data.options.items() if name != "source")
    if about.folds:  # every split holds all images in turn
        told = [told[0].removeprefix("train ")]
    said: list[Inline] = [f"{data.source}: ", "; ".join(told), "."]
    said += [" ", cut_told(about.folds)] if about.folds else []
    said += [f" Options: {options}."] if options else []
    said += [" ", data.cut] if data.cut else []
    said += [" ", joined(" ", data.notes)] if data.notes else []
    return tuple(said)


def _by_class(counts: Mapping[str, int]) -> str:
    most = 12  # of 1,000 classes the list would be the report
    if not counts:
        return ""
    if len(counts) > most:
        return f" ({len(counts)} classes of {min(counts.values()):,} to {max(counts.values()):,})"
    return f" ({', '.join(f'{name} {number:,}' for name, number in counts.items())})"


def _left_out(about: StudyRecord) -> Inline:
    data = about.data
    told = []
    if data.skipped:
        names = ", ".join(Path(name).name for name in sorted(data.skipped)[:10])
        more = f" and {len(data.skipped) - 10} more" if len(data.skipped) > 10 else ""
        told.append(f"{len(data.skipped)} broken ones: {names}{more}.")
    if data.num_contradicting:
        told.append(f"None of {data.num_contradicting} that stand in two classes, pixel by pixel.")
    if data.num_leaked:
        told.append(f"None of {data.num_leaked} of val and test that stand in train too, pixel by pixel.")
    return " ".join(told) or "None."


def _weights(results: Results, about: StudyRecord) -> Inline:
    used = dict.fromkeys(str(trial.values.get("weights")) for trial in results.trials)
    told = []
    for name in used:
        stage = about.pretrain.get(name)
        told.append(f"{name}: pretrained here on {stage.data['source']}" if stage else name)
    content = about.base_weights or ""
    return "; ".join(told) + (f" ({content})" if content.startswith("sha256:") else "") + "."


def _versions(results: Results, about: StudyRecord) -> Inline:
    environment, origin = about.environment, results.origin
    told: list[Inline] = [f"torch {environment.torch}, torchvision {environment.torchvision}"]
    if origin.commits:
        told.append(f"commit {', '.join(origin.commits)}")
    if origin.dates:
        told.append(f"runs of {origin.dates[0]}" + (f" to {origin.dates[-1]}" if len(origin.dates) > 1 else ""))
    return (joined("; ", told), ". Made by ", code(about.command), f". Score: {label(results.headline)}.")
