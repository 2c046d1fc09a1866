"""Results from the ledger, or from a CSV file that any program wrote."""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.config import TrialConfig, has_effect
from resnet_tl.errors import ConfigError, DataError, shown
from resnet_tl.head_spec import options_of, spec_of
from resnet_tl.metrics import metric_of
from resnet_tl.option_text import CONTROL, LARGEST, brief, nearest, scalar
from sweeps.definition.aims import sizes_of
from sweeps.definition.hypotheses import canonical, parse_hypothesis
from sweeps.definition.outputs.registry import parse_figures, parse_tables
from sweeps.records import (
    OWN_MEMBERS,
    RunState,
    SeedRun,
    Stop,
    StudyRecord,
    TrialRecord,
    TrialState,
    cause_told,
    study_from_json,
)
from sweeps.reporting.details import Details
from sweeps.reporting.frame import COLUMNS, FRESH, WHOLE, about_path, columns_with, sha256
from sweeps.reporting.image_scores import read_images
from sweeps.reporting.results import SCORES, Origin, Results, Trial, distinct, is_score, scores_on, set_of
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import NetworkStore
from sweeps.study_trial import FLOATS, INTEGERS, PARAMETERS, SHOWN, StudyTrial

if TYPE_CHECKING:
    import pandas as pd

MOST_UNKNOWN = 12
"""Unknown columns that are named."""
MOST = 1e100
"""Of scores and seconds, so that neither their sums nor their squares are infinite."""
MOST_BYTES = 100
"""Of a study's name, which is the beginning of file names."""
STATES = ("complete", "failed", "diverged", "pruned")


def from_ledger(ledger: Ledger, name: str, out: Path) -> Results:
    """The results of a study.

    Args:
        ledger: stays open as long as pictures and tables are made.
        out: `run.out`, where the study's predictions are.

    Raises:
        ConfigError: the ledger has no such study.
    """
    about = ledger.study(name)
    if about is None:
        names = [study.name for study in ledger.studies()]
        raise ConfigError(f"`study=` must name a study of the ledger, but got {name!r}; {nearest(name, names)}")
    runs = [run for run in ledger.seed_runs(name) if run.state != RunState.PAUSED]
    by_name: dict[str, list[SeedRun]] = {}
    seeds = about.seeds
    # seed runs of an earlier version lack the scores that are newer: what only some rows have compares nothing
    whole = [run for run in runs if run.state == "complete"]
    every = (*SCORES, *scores_on(about.data.shifted))
    scores = [name for name in every if name == about.metric or all(name in run.metrics for run in whole)]
    for run in runs:
        by_name.setdefault(run.fingerprint, []).append(run)
    trials = []
    for row in ledger.trials(name):
        own = by_name.get(row.fingerprint, [])
        own = sorted(own, key=lambda run: run.seed)
        planned, fresh = ([run for run in own if (run.seed in seeds) == side] for side in (True, False))
        trial = _trial(row, planned, scores, _trial(row, fresh, scores) if fresh else None)
        trials.append(replace(trial, sizes=_sizes(row.config, about)))
    known = {name for trial in trials for name in trial.values}
    number = {trial.fingerprint: trial.number for trial in trials}
    origin = Origin(
        dates=tuple(sorted({run.finished[:10] for run in runs})),
        commits=tuple(sorted({run.commit for run in runs if run.commit})),
        reused_from=tuple(sorted({run.reused_from for run in runs if run.reused_from})),
        reasons={f"{number[run.fingerprint]}/{run.seed}": _why(run) for run in runs if run.reason},
        repeated_s=math.fsum(run.repeated_s for run in runs),
    )
    details = Details(ledger, NetworkStore(out, name), name)
    plain = Results(
        study=name,
        trials=tuple(trials),
        metric=about.metric,
        columns=tuple(
            name
            for name in columns_with(about.data.shifted)
            if (name in scores or not is_score(name)) and (name in known or name not in SHOWN)
        ),
        seeds=seeds,
        details=details,
        images=details,
    )
    return _described(plain, about, origin)


def _why(run: SeedRun) -> str:
    """Why a seed run has no result; the last line is what tables show."""
    *above, last = (run.reason or "").splitlines() or [""]
    return "\n".join([*above, f"{run.cause}: {last}" if cause_told(run) else last])


def _trial(row: TrialRecord, runs: Sequence[SeedRun], scores: Sequence[str], fresh: Trial | None = None) -> Trial:
    columns: dict[str, tuple[float | None, ...]] = {
        "max_epoch": tuple(run.max_epoch for run in runs),
        "best_epoch": tuple(run.best_epoch for run in runs),
        "wall_s": tuple(run.wall_s for run in runs),
    }
    columns |= {score: tuple(run.metrics.get(score) for run in runs) for score in scores}
    states = tuple(run.state for run in runs)
    return Trial(
        number=row.number,
        values=_values(row.config),
        seeds=tuple(run.seed for run in runs),
        states=states,
        columns=columns,
        fingerprint=row.fingerprint,
        stop=(row.stop or _stop_of(states, columns["max_epoch"])) if row.state == TrialState.PRUNED else None,
        fresh=fresh,
    )


def _sizes(config: TrialConfig, about: StudyRecord) -> dict[str, int]:
    """Sizes of a trial's network; empty where the version that ran did not note what images it gets."""
    channels = about.data.channels or about.data.options.get("channels")
    return sizes_of(config, channels=channels, num_classes=len(about.data.classes)) if channels else {}


def _stop_of(states: Sequence[str], max_epochs: Sequence[float | None]) -> Stop:
    """When a trial was stopped, as far as its seed runs tell: at a rung where one of them is not whole."""
    reached = [e for state, e in zip(states, max_epochs, strict=False) if state == "pruned" and e is not None]
    if "pruned" in states:
        return Stop(by="rungs", seeds=len(states), epoch=int(max(reached)) if reached else None)
    return Stop(by="race", seeds=len(states))


def _values(config: TrialConfig) -> dict[str, Any]:
    """Every parameter as it works: a dropout that the head decides is that of the head."""
    values = {name: canonical(value) for name, value in config.model_dump(mode="json").items()}
    return values | ({"dropout": spec_of(config).dropout} if "dropout" in options_of(config.head) else {})


def _completed(trials: Sequence[Trial], about: StudyRecord | None) -> tuple[Trial, ...]:
    """Trials with one value for each option that has no effect on them, from wherever they were read.

    The width of a linear head is empty in a CSV file and written in a ledger, and must neither count as varied nor keep
    trials from being alike in all else. It is the value of all trials on which the option has an effect, where they
    have one in common; else what the study says: the first value of its space, its `trial:` block, or the default.
    """

    def value_of(name: str) -> Any:
        others = distinct(t.values[name] for t in trials if name in t.values and has_effect(name, t.values))
        if len(others) == 1:
            return others[0]
        if about is None:
            return None
        searched = about.space.get(name)
        values = searched.get("values") if isinstance(searched, Mapping) else None
        default = StudyTrial.model_fields[name].default
        return canonical(values[0] if values else about.base.get(name, default))

    def idle_in(trial: Trial) -> list[str]:
        return [name for name in trial.values if not has_effect(name, trial.values)]

    said = {name: value_of(name) for name in dict.fromkeys(name for trial in trials for name in idle_in(trial))}

    def complete(trial: Trial) -> Trial:
        fresh = complete(trial.fresh) if trial.fresh else None
        return replace(trial, values=trial.values | {name: said[name] for name in idle_in(trial)}, fresh=fresh)

    return tuple(complete(trial) for trial in trials)


def _described(results: Results, about: StudyRecord, origin: Origin) -> Results:
    """Results with what the study said of itself."""
    return replace(
        results,
        trials=_completed(results.trials, about),
        seeds=about.seeds,
        aims=about.aims,
        tables=parse_tables(about.tables),
        figures=parse_figures(about.figures),
        hypotheses=tuple(parse_hypothesis(item) for item in about.hypotheses),
        folds=about.folds,
        about=about,
        origin=origin,
    )


def from_csv(path: Path, metric: str | None = None) -> Results:
    """Results of any program: at least one parameter column and one score column.

    Args:
        metric: what trials are compared by; default: val/accuracy, or the first score that there is.

    Raises:
        DataError: unknown columns, unknown states, or scores that are no numbers; all at once.
    """
    frame = _checked(path)
    parameters = [name for name in COLUMNS if name in frame and name in PARAMETERS]
    ordered = columns_with(dict.fromkeys(name for column in frame if (name := set_of(str(column))) is not None))
    scores = [name for name in ordered if name in frame and is_score(name)]
    if "trial" not in frame:
        keys = [tuple(map(repr, row)) for row in frame[parameters].itertuples(index=False)]
        order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        frame.insert(0, "trial", [order[key] for key in keys])
    frame["trial"] = frame["trial"].astype(int)
    study, fresh = _sides(frame, path)
    planned = _trials(frame[~fresh], parameters, path, None)
    beside = {trial.number: trial for trial in _trials(frame[fresh], parameters, path, planned)}
    known_as = _beside(path)
    if metric is None and known_as is not None:
        metric = known_as[0].metric
    metric = metric or ("val/accuracy" if "val/accuracy" in scores else scores[0])
    if metric not in scores:
        raise DataError(
            f"{path}: trials can be compared by a score that is there ({', '.join(scores)}), not by {metric}."
        )
    found = Results(
        study=study,
        trials=tuple(replace(trial, fresh=beside.get(trial.number)) for trial in planned),
        metric=metric,
        columns=tuple(name for name in ordered if name in frame.columns),
        seeds=None,
    )
    if "seed" in frame:
        rows = tuple(zip(frame["trial"], map(bool, fresh), map(int, frame["seed"]), strict=True))
        found = replace(found, images=read_images(path, sha256(path.read_text(encoding="utf-8")), rows))
    if known_as is None:
        return replace(found, trials=_completed(found.trials, None))
    about, origin, waiting = known_as
    every = sorted((*found.trials, *waiting), key=lambda trial: trial.number)
    return _described(replace(found, trials=tuple(every)), about, origin)


def _checked(path: Path) -> "pd.DataFrame":
    """The file's known columns, with numbers for numbers and the text of parameters; `state` is always there."""
    import pandas as pd

    raw = _rows(path)
    problems: list[str] = []
    # a set under other conditions stands beside test, so that a slip in the name of a split is none
    known = [c for c in raw.columns if c in COLUMNS or (is_score(str(c)) and f"test/{_metric(c)}" in raw.columns)]
    unknown = [str(c) for c in raw.columns if c not in known]
    problems += [f"The column {brief(name)} is not known; {nearest(name, COLUMNS)}" for name in unknown[:MOST_UNKNOWN]]
    if len(unknown) > MOST_UNKNOWN:
        problems.append(f"{len(unknown) - MOST_UNKNOWN} more columns are not known either.")
    frame = raw[known].copy()
    if not any(name in SCORES for name in frame):
        problems.append(f"At least one score column must be there, such as test/accuracy; known: {', '.join(SCORES)}.")
    if raw.empty:
        problems.append("There must be at least one row.")
    if "state" not in frame:
        frame["state"] = "complete"
    states = list(frame["state"])
    if "complete" in states:  # a score that no row has is one that the data has not: AUROC on images of one class
        scored = [name for name in frame if is_score(str(name))]
        empty = [name for name in scored if (frame[name] == "").all()]
        frame = frame.drop(columns=empty) if len(empty) < len(scored) else frame
    wrong = [
        f"line {index + 2}, state: {brief(state)} must be one of {', '.join(STATES)}"
        for index, state in enumerate(states)
        if state not in STATES
    ]
    for name in frame:
        parsed: list[Any] = []
        for index, text in enumerate(frame[name]):
            needed = states[index] == "complete" and is_score(str(name))
            cell = str(name)
            value, problem = _parameter(cell, text) if name in PARAMETERS else _cell(cell, text, needed=needed)
            parsed.append(value)
            if problem:
                wrong.append(f"line {index + 2}, {name}: {problem}")
        frame[name] = pd.Series(parsed, dtype=object)
    if wrong:
        problems.append(f"These cells cannot be used:\n{shown(wrong)}")
    if problems:
        raise DataError(*[f"{path}: {problem}" for problem in problems])
    return frame


def _metric(column: Any) -> str:
    return str(column).partition("/")[2]


def _rows(path: Path) -> "pd.DataFrame":
    """The cells of a CSV file as text.

    Raises:
        DataError: it cannot be read, or its lines do not all have the same cells.
    """
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        raise DataError(f"`results=` must name a CSV file that exists, but got {path}.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} must be a CSV file with a header line, but cannot be read: {error}") from None
    if not header:
        raise DataError(f"{path} must be a CSV file with a header line, but its first line is empty.")
    twice = [
        f"The column {brief(name)} must stand there once." for name in dict.fromkeys(header) if header.count(name) > 1
    ]
    if twice:
        raise DataError(*[f"{path}: {problem}" for problem in twice])
    wrong = [
        f"line {line}: {len(row)} cells for {len(header)} columns" for line, row in rows if len(row) != len(header)
    ]
    if wrong:
        raise DataError(f"{path}: every line must have a cell for each column:\n{shown(wrong)}")
    return pd.DataFrame([row for _, row in rows], columns=header, dtype=str)


def _parameter(name: str, text: str) -> tuple[Any, str | None]:
    """The value of a parameter, which is text where it is no number, true or false; and what is wrong with it.

    It is a number of the kind that the option takes: 10.0 epochs are 10, and a momentum of 0 is 0.0.
    """
    found = CONTROL.search(text)
    if found:
        return None, f"{brief(text)} must be printable text, but holds {found[0]!a}"
    try:
        value = scalar(text)
    except ValueError as error:
        return None, f"{brief(text)}: {error}"
    if isinstance(value, float) and name in INTEGERS and value.is_integer() and abs(value) <= LARGEST:
        return int(value), None
    if isinstance(value, int) and not isinstance(value, bool) and name in FLOATS:
        return float(value), None
    return value, None


def _cell(name: str, text: str, *, needed: bool) -> tuple[Any, str | None]:
    """A number of a column, None where the cell is empty; or text, in other columns; and what is wrong with it."""
    if name not in (*WHOLE, "wall_s") and not is_score(name):
        found = CONTROL.search(text)
        return text, f"{brief(text)} must be printable text" if found else None
    value: float | None = None
    with suppress(ValueError):
        value = float(text)
    problem = None
    if (text != "" or needed) and (value is None or not math.isfinite(value)):
        problem = f"{brief(text)} must be a finite number"
    elif name not in WHOLE and value is not None and abs(value) > MOST:
        problem = f"{text[:40]} must be a number of at most {MOST:g}"
    elif name in WHOLE and value is not None and (value != int(value) or abs(value) > LARGEST):
        problem = f"{text[:40]} must be a whole number" + (f" of at most {LARGEST}" if value == int(value) else "")
    elif name in WHOLE and value is not None and value < 0:
        problem = f"{text} must be 0 or more"
    elif name in ("trial", "seed") and value is None:
        problem = "must not be empty where the column is there"
    elif is_score(name) and value is not None:
        low, high = metric_of(name).bounds
        if not low <= value <= high:
            fraction = metric_of(name).unit == "fraction"
            ends = f"at least {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
            problem = f"{text} must be " + ("a fraction in [0, 1], not percent" if fraction else ends)
    return value, problem


def _beside(path: Path) -> tuple[StudyRecord, Origin, list[Trial]] | None:
    """What the study said of itself, where its CSV file was written."""
    place = about_path(path)
    if not place.exists():
        return None
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        about, origin = study_from_json(content["about"]), content["origin"]
        written = content["csv_sha256"]
        waiting = [Trial(number=number, values=values) for number, values in content["planned"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} must be what `sweeps.run` wrote, but cannot be read ({error}); remove it.") from None
    if written != sha256(path.read_text(encoding="utf-8")):
        raise DataError(
            f"{place} describes another {path.name}, which was changed since; write both again with "
            f"`python -m sweeps.report study={about.name}`, or remove {place.name}."
        )
    lists = {name: tuple(origin[name]) for name in ("dates", "commits", "reused_from")}
    known = Origin(**lists, reasons=origin["reasons"], repeated_s=float(origin.get("repeated_s", 0.0)))
    return about, known, waiting


def _sides(frame: "pd.DataFrame", path: Path) -> tuple[str, "pd.Series[bool]"]:
    """The study's name, and which rows are on the fresh seeds of a confirmation."""
    import pandas as pd

    if "study" not in frame:
        if len(path.stem.encode()) > MOST_BYTES:
            raise DataError(f"{path} must have a name of at most {MOST_BYTES} bytes, since pictures are named by it.")
        return path.stem, pd.Series(False, index=frame.index)
    fresh = frame["study"].str.endswith(FRESH)
    names = list(dict.fromkeys(frame["study"].str.removesuffix(FRESH)))
    if len(names) > 1:
        raise DataError(f"{path}: all rows must be of one study, but some are of {names[0]} and some of {names[1]}.")
    own = re.fullmatch(rf"(.*)/(?:{'|'.join(OWN_MEMBERS)})(?:_\d+)?", names[0])
    if re.search(r"[/\\]|^\.*$", own[1] if own else names[0]):  # pictures are named by it
        raise DataError(f"{path}: the name of a study must hold no slash, but got {brief(names[0])}.")
    if len(names[0].encode()) > MOST_BYTES:
        raise DataError(
            f"{path}: the name of a study must be at most {MOST_BYTES} bytes long, but got {brief(names[0])}."
        )
    if fresh.all():
        raise DataError(f"{path}: at least one row must be of the search itself, but all are of {names[0]}{FRESH}.")
    return names[0], fresh


def _trials(frame: "pd.DataFrame", parameters: Sequence[str], path: Path, known: Sequence[Trial] | None) -> list[Trial]:
    if "seed" not in frame and frame.duplicated("trial").any():
        raise DataError(f"{path}: a column `seed` must tell the rows of a trial apart, since some have several.")
    if "seed" in frame:
        frame = frame.sort_values(["trial", "seed"], kind="stable")
        twice = frame.duplicated(["trial", "seed"])
        if twice.any():
            raise DataError(
                f"{path}: a trial must have each seed once, but trial {frame[twice]['trial'].iloc[0]} has not."
            )
    trials = []
    measured = [str(name) for name in frame if name in ("max_epoch", "best_epoch", "wall_s") or is_score(str(name))]
    cells: dict[str, list[Any]] = {str(name): list(frame[name]) for name in frame}
    places: dict[int, list[int]] = {}
    for place, number in enumerate(cells["trial"]):
        places.setdefault(number, []).append(place)
    for number, rows in sorted(places.items()):
        values = {name: cells[name][rows[0]] for name in parameters}
        mixed = [name for name in parameters if any(repr(cells[name][row]) != repr(values[name]) for row in rows)]
        if mixed:
            raise DataError(f"{path}: all rows of trial {number} must have the same {', '.join(mixed)}.")
        states = tuple(cells["state"][row] for row in rows)
        epochs = [cells["max_epoch"][row] for row in rows] if "max_epoch" in cells else []
        is_stopped = "trial_state" in cells and cells["trial_state"][rows[0]] == "pruned"
        trial = Trial(
            number=number,
            values=values,
            seeds=tuple(int(cells["seed"][row]) for row in rows) if "seed" in cells else (0,),
            states=states,
            columns={name: tuple(cells[name][row] for row in rows) for name in measured},
            fingerprint=str(cells["fingerprint"][rows[0]]) if "fingerprint" in cells else None,
            stop=_stop_of(states, epochs) if is_stopped else None,
        )
        if known is not None:
            own = next((other for other in known if other.number == trial.number), None)
            if own is None or {n: repr(v) for n, v in own.values.items()} != {n: repr(v) for n, v in values.items()}:
                raise DataError(f"{path}: trial {number} on fresh seeds must be one of the study's trials.")
            again = sorted(set(own.seeds) & set(trial.seeds))
            if again:
                raise DataError(f"{path}: the fresh seeds of trial {number} must be others, but {again} are not.")
        trials.append(trial)
    return trials
