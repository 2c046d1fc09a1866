"""The tidy frame: one row per trial and seed, from the ledger or from a CSV file that any program wrote."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from resnet_tl.config import METRICS, TrialConfig, better
from resnet_tl.errors import ConfigError, DataError, shown
from resnet_tl.options import load_yaml, nearest
from sweeps.definition.hypotheses import Hypothesis, canonical, parse_hypothesis
from sweeps.definition.tables import TableSpec, parse_table
from sweeps.ledger import Ledger, SeedRunRow, StudyRow, TrialRow

PARAMETERS = tuple(TrialConfig.model_fields)
SCORES = tuple(f"{split}/{metric}" for split in ("val", "test") for metric in METRICS)
COLUMNS = (
    ["study", "trial", "seed", "state", *PARAMETERS, "max_epoch", "best_epoch", *SCORES, "wall_s", "fingerprint"]
)  # fmt: skip
WHOLE = ("trial", "seed", "max_epoch", "best_epoch")
STATES = ("complete", "failed", "diverged", "pruned")


FRESH = "/confirm"
"""Behind a study's name in the CSV: rows on fresh seeds, which choose nothing. No study's own name holds a `/`."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial as tables show it, with one entry per seed run, in the order of the seeds."""

    number: int
    values: dict[str, Any]
    """Every parameter that is known."""
    seeds: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    columns: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """`max_epoch`, `best_epoch`, scores and `wall_s`; None where there is none."""
    fingerprint: str | None = None
    fresh: "Trial | None" = None
    """The same on the fresh seeds of a confirmation."""

    @property
    def state(self) -> str:
        """`complete` when every seed run is; `planned` without any; else the worst that happened."""
        if not self.states:
            return "planned"
        bad = [state for state in ("failed", "diverged", "pruned") if state in self.states]
        return bad[0] if bad else "complete"

    def scores(self, column: str) -> list[float]:
        """Values over seeds; call it for complete trials only."""
        values = self.columns[column]
        assert None not in values
        return [float(value) for value in values if value is not None]

    def mean(self, column: str) -> float | None:
        """Mean over the seed runs, or None when one of them lacks it."""
        values = self.columns.get(column, ())
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the numbers come from."""

    dates: tuple[str, ...] = ()
    """Days on which seed runs finished, in order."""
    commits: tuple[str, ...] = ()
    reused_from: tuple[str, ...] = ()
    """Other studies whose seed runs were taken over."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a seed run failed or diverged, by `trial/seed`."""


def sign(metric: str) -> float:
    """1 where higher is better, else -1."""
    return 1.0 if better(metric) == "max" else -1.0


@dataclass(frozen=True, kw_only=True, eq=False)  # known by itself, so that what is derived from it can be kept
class Results:
    """All that tables are made from."""

    study: str
    trials: tuple[Trial, ...]
    """All trials, planned ones included, by number."""
    metric: str
    direction: str
    columns: tuple[str, ...]
    """Of the CSV file, those that there are."""
    seeds: tuple[int, ...] | None
    """The seeds planned, where known."""
    tables: tuple[TableSpec, ...] = ()
    figures: tuple[str, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    about: StudyRow | None = None
    """None for a CSV file that nothing is known about."""
    origin: Origin = field(default_factory=Origin)

    @property
    def higher_is_better(self) -> bool:
        """Of the study's metric."""
        return self.direction == "maximize"

    @property
    def on_test(self) -> str:
        """The study's metric, on the split that steers nothing."""
        return "test/" + self.metric.partition("/")[2]

    @property
    def headline(self) -> str:
        """What trials are shown by: the metric on test, or where there is no test, as it is."""
        return self.on_test if self.has(self.on_test) else self.metric

    def varying(self) -> list[str]:
        """Parameters with more than one value among the trials, in the order of the space, then of the options."""
        return list(self._varying)

    @cached_property
    def _varying(self) -> tuple[str, ...]:
        names = ("study", *PARAMETERS)
        found = [name for name in names if len({repr(trial.values.get(name)) for trial in self.trials}) > 1]
        space = ["study", *(self.about.identity["space"] if self.about else ())]
        place = {name: number for number, name in enumerate(space)}
        return tuple(sorted(found, key=lambda name: (place.get(name, len(space)), found.index(name))))

    def has(self, column: str) -> bool:
        """Whether any seed run has a value there."""
        return any(value is not None for trial in self.trials for value in trial.columns.get(column, ()))

    def expects(self, column: str) -> bool:
        """Whether a column is to be shown: it has values, or the study has nothing yet."""
        return not any(trial.states for trial in self.trials) or self.has(column)

    def sort_key(self, trial: Trial) -> tuple[int, float, int]:
        """Best mean of the study's metric first, then trials without one."""
        mean = trial.mean(self.metric) if trial.state == "complete" else None
        if mean is None:
            return (1, 0.0, trial.number)
        return (0, -mean if self.higher_is_better else mean, trial.number)


def comparable(trials: Iterable[Trial], *metrics: str) -> list[Trial]:
    """Complete trials with the same seeds, those that most of them have."""
    whole = [t for t in trials if t.state == "complete" and all(t.mean(metric) is not None for metric in metrics)]
    if not whole:
        return []
    (seeds, _), *_ = Counter(trial.seeds for trial in whole).most_common(1)
    return [trial for trial in whole if trial.seeds == seeds]


def from_ledger(ledger: Ledger, name: str) -> Results:
    """The results of a study.

    Raises:
        ConfigError: the ledger has no such study.
    """
    about = ledger.study(name)
    if about is None:
        names = [study.name for study in ledger.studies()]
        raise ConfigError(f"`study=` must name a study of the ledger, but got {name!r}; {nearest(name, names)}")
    runs = ledger.seed_runs(name)
    by_name: dict[str, list[SeedRunRow]] = {}
    seeds = tuple(about.identity["seeds"])
    for run in runs:
        by_name.setdefault(run.fingerprint, []).append(run)
    trials = []
    for row in ledger.trials(name):
        own = by_name.get(row.fingerprint, [])
        own = sorted(own, key=lambda run: run.seed)
        planned, fresh = ([run for run in own if (run.seed in seeds) == side] for side in (True, False))
        trials.append(_trial(row, planned, _trial(row, fresh, None) if fresh else None))
    number = {trial.fingerprint: trial.number for trial in trials}
    origin = Origin(
        dates=tuple(sorted({run.finished[:10] for run in runs})),
        commits=tuple(sorted({run.commit for run in runs if run.commit})),
        reused_from=tuple(sorted({run.reused_from for run in runs if run.reused_from})),
        reasons={f"{number[run.fingerprint]}/{run.seed}": run.reason for run in runs if run.reason},
    )
    plain = Results(
        study=name,
        trials=tuple(trials),
        metric=about.identity["metric"],
        direction=about.identity["direction"],
        columns=tuple(COLUMNS),
        seeds=seeds,
    )
    return _described(plain, about, origin)


def _described(results: Results, about: StudyRow, origin: Origin) -> Results:
    """Results with what the study said of itself."""
    description = about.description
    return replace(
        results,
        seeds=tuple(about.identity["seeds"]),
        tables=tuple(parse_table(table) for table in description["tables"]),
        figures=tuple(description.get("figures", ())),
        hypotheses=tuple(parse_hypothesis(item) for item in description["hypotheses"]),
        about=about,
        origin=origin,
    )


def _trial(row: TrialRow, runs: Sequence[SeedRunRow], fresh: Trial | None) -> Trial:
    columns: dict[str, tuple[float | None, ...]] = {
        "max_epoch": tuple(run.max_epoch for run in runs),
        "best_epoch": tuple(run.best_epoch for run in runs),
        "wall_s": tuple(run.wall_s for run in runs),
    }
    columns |= {score: tuple(run.metrics.get(score) for run in runs) for score in SCORES}
    return Trial(
        number=row.number,
        values={name: canonical(value) for name, value in row.config.items()},
        seeds=tuple(run.seed for run in runs),
        states=tuple(run.state for run in runs),
        columns=columns,
        fingerprint=row.fingerprint,
        fresh=fresh,
    )


def frame_of(results: Results) -> pd.DataFrame:
    """The tidy frame: one row per finished seed run, those on fresh seeds last."""
    several = [(results.study, trial) for trial in results.trials]
    several += [(results.study + FRESH, trial.fresh) for trial in results.trials if trial.fresh]
    found: dict[str, list[Any]] = {name: [] for name in results.columns}
    for study, trial in several:
        count = len(trial.states)
        own: dict[str, Any] = {"seed": trial.seeds, "state": trial.states, **trial.columns}
        for name, cells in found.items():
            if name in own:
                cells.extend(own[name])
            else:
                side = FRESH if study.endswith(FRESH) else ""
                named = f"{trial.values['study']}{side}" if "study" in trial.values else study
                single = {"study": named, "trial": trial.number, "fingerprint": trial.fingerprint}
                cells.extend([single[name] if name in single else trial.values.get(name)] * count)
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in found.items()})
    for name in ("trial", "seed", "max_epoch", "best_epoch"):
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    for name in (*SCORES, "wall_s"):
        if name in frame:
            frame[name] = frame[name].astype("Float64")
    return frame


def write_csv(results: Results, path: Path) -> None:
    """Writes the frame, and beside it what the study said of itself, so that its report can be made from the two."""
    text = to_csv(results)
    write(text, path)
    if results.about:
        content = {
            "csv_sha256": _sha256(text),
            "about": asdict(results.about),
            "origin": asdict(results.origin),
            "planned": [[trial.number, trial.values] for trial in results.trials if not trial.states],
        }
        write(json.dumps(content, indent=1) + "\n", about_path(path))


def about_path(path: Path) -> Path:
    """Beside a CSV file."""
    return path.with_suffix(".about.json")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(text: str, path: Path) -> None:
    """Writes a file; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(text.encode())  # line ends stay what they are
    partial.replace(path)


def to_csv(results: Results) -> str:
    """The frame as CSV."""
    return str(frame_of(results).to_csv(index=False, lineterminator="\n"))


def from_csv(path: Path, metric: str | None = None) -> Results:
    """Results of any program: at least one parameter column and one score column.

    Args:
        metric: what trials are compared by; default: val/accuracy, or the first score that there is.

    Raises:
        DataError: unknown columns, unknown states, or scores that are no numbers; all at once.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"`results=` must name a CSV file that exists, but got {path}.") from None
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a CSV file with a header line, but cannot be read: {error}") from None
    known = [name for name in COLUMNS if name in raw.columns]
    unknown = [str(c) for c in raw.columns if c not in COLUMNS]
    problems = [f"The column `{name}` is not known; {nearest(name, COLUMNS)}" for name in unknown]
    scores = [name for name in known if name in SCORES]
    if not scores:
        problems.append(f"At least one score column must be there, such as test/accuracy; known: {', '.join(SCORES)}.")
    if raw.empty:
        problems.append("There must be at least one row.")
    numbers = [n for n in known if n in ("trial", "seed", "max_epoch", "best_epoch", "wall_s", *SCORES)]
    frame = raw[known].copy()
    if "state" not in frame:
        frame["state"] = "complete"
    wrong: list[str] = []
    for index, state in enumerate(frame["state"]):
        if state not in STATES:
            wrong.append(f"line {index + 2}, state: {state!r} must be one of {', '.join(STATES)}")
    states = list(frame["state"])
    for name in numbers:
        parsed: list[float | None] = []
        for index, text in enumerate(frame[name]):
            value = _number(text)
            needed = states[index] == "complete" and name in SCORES
            if (text != "" or needed) and (value is None or not math.isfinite(value)):
                wrong.append(f"line {index + 2}, {name}: {text!r} must be a finite number")
            elif name in WHOLE and value is not None and value != int(value):
                wrong.append(f"line {index + 2}, {name}: {text} must be a whole number")
            elif name in ("trial", "seed") and value is None:
                wrong.append(f"line {index + 2}, {name}: must not be empty where the column is there")
            elif name in SCORES and not name.endswith("loss") and value is not None and not 0 <= value <= 1:
                wrong.append(f"line {index + 2}, {name}: {text} must be a fraction in [0, 1], not percent")
            parsed.append(value)
        frame[name] = pd.Series(parsed, dtype=object)
    if wrong:
        problems.append(f"These cells cannot be used:\n{shown(wrong)}")
    if problems:
        raise DataError(*[f"{path}: {problem}" for problem in problems])
    for name in [n for n in known if n in PARAMETERS]:
        frame[name] = pd.Series([_plain(text) for text in frame[name]], dtype=object)
    parameters = [name for name in known if name in PARAMETERS]
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
        metric = str(known_as[0].identity["metric"])
    metric = metric or ("val/accuracy" if "val/accuracy" in scores else scores[0])
    if metric not in scores:
        raise DataError(
            f"{path}: trials can be compared by a score that is there ({', '.join(scores)}), not by {metric}."
        )
    found = Results(
        study=study,
        trials=tuple(replace(trial, fresh=beside.get(trial.number)) for trial in planned),
        metric=metric,
        direction="minimize" if metric.endswith("loss") else "maximize",
        columns=tuple(name for name in COLUMNS if name in frame.columns),
        seeds=None,
    )
    if known_as is None:
        return found
    about, origin, waiting = known_as
    every = sorted((*found.trials, *waiting), key=lambda trial: trial.number)
    return _described(replace(found, trials=tuple(every)), about, origin)


def _beside(path: Path) -> tuple[StudyRow, Origin, list[Trial]] | None:
    """What the study said of itself, where its CSV file was written."""
    place = about_path(path)
    if not place.exists():
        return None
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        about, origin = StudyRow(**content["about"]), content["origin"]
        written = content["csv_sha256"]
        waiting = [Trial(number=number, values=values) for number, values in content["planned"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} must be what `sweeps.run` wrote, but cannot be read: {error!r}; remove it.") from None
    if written != _sha256(path.read_text(encoding="utf-8")):
        raise DataError(
            f"{place} describes another {path.name}, which was changed since; write both again with "
            f"`python -m sweeps.report study={about.name}`, or remove {place.name}."
        )
    lists = {name: tuple(origin[name]) for name in ("dates", "commits", "reused_from")}
    return about, Origin(**lists, reasons=origin["reasons"]), waiting


def _sides(frame: pd.DataFrame, path: Path) -> tuple[str, "pd.Series[bool]"]:
    """The study's name, and which rows are on the fresh seeds of a confirmation."""
    if "study" not in frame:
        return path.stem, pd.Series(False, index=frame.index)
    fresh = frame["study"].str.endswith(FRESH)
    names = list(dict.fromkeys(frame["study"].str.removesuffix(FRESH)))
    if len(names) > 1:
        raise DataError(f"{path}: all rows must be of one study, but some are of {names[0]} and some of {names[1]}.")
    if fresh.all():
        raise DataError(f"{path}: at least one row must be of the search itself, but all are of {names[0]}{FRESH}.")
    return names[0], fresh


def _trials(frame: pd.DataFrame, parameters: Sequence[str], path: Path, known: Sequence[Trial] | None) -> list[Trial]:
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
    measured = [name for name in ("max_epoch", "best_epoch", "wall_s", *SCORES) if name in frame]
    cells: dict[str, list[Any]] = {str(name): list(frame[name]) for name in frame}
    places: dict[int, list[int]] = {}
    for place, number in enumerate(cells["trial"]):
        places.setdefault(number, []).append(place)
    for number, rows in sorted(places.items()):
        values = {name: cells[name][rows[0]] for name in parameters}
        mixed = [name for name in parameters if any(repr(cells[name][row]) != repr(values[name]) for row in rows)]
        if mixed:
            raise DataError(f"{path}: all rows of trial {number} must have the same {', '.join(mixed)}.")
        trial = Trial(
            number=number,
            values=values,
            seeds=tuple(int(cells["seed"][row]) for row in rows) if "seed" in cells else (0,),
            states=tuple(cells["state"][row] for row in rows),
            columns={name: tuple(cells[name][row] for row in rows) for name in measured},
            fingerprint=str(cells["fingerprint"][rows[0]]) if "fingerprint" in cells else None,
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


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order; 1 and True are two."""
    return list({(type(value), repr(value)): value for value in values}.values())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@cache
def _plain(text: str) -> Any:
    return None if text == "" else load_yaml(text, "a cell")
