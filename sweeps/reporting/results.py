"""The tidy frame: one row per trial and seed, from the ledger or from a CSV file that any program wrote."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from resnet_tl.config import METRICS, TrialConfig
from resnet_tl.errors import ConfigError, DataError, shown
from resnet_tl.options import load_yaml, nearest
from sweeps.definition.tables import TableSpec, parse_table
from sweeps.ledger import Ledger, SeedRunRow, StudyRow

PARAMETERS = tuple(TrialConfig.model_fields)
SCORES = tuple(f"{split}/{metric}" for split in ("val", "test") for metric in METRICS)
COLUMNS = (
    ["study", "trial", "seed", "state", *PARAMETERS, "max_epoch", "best_epoch", *SCORES, "wall_s", "fingerprint"]
)  # fmt: skip
WHOLE = ("trial", "seed", "max_epoch", "best_epoch")
STATES = ("complete", "failed", "diverged", "pruned")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial as tables show it."""

    number: int
    values: dict[str, Any]
    """Every parameter that is known."""
    rows: pd.DataFrame
    """Its seed runs, in seed order."""

    @property
    def state(self) -> str:
        """`complete` when every seed run is; `planned` without any; else the worst that happened."""
        if self.rows.empty:
            return "planned"
        bad = [state for state in ("failed", "diverged", "pruned") if (self.rows["state"] == state).any()]
        return bad[0] if bad else "complete"

    def scores(self, column: str) -> list[float]:
        """Values over seeds; call it for complete trials only."""
        return [float(value) for value in self.rows[column]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that tables are made from."""

    study: str
    frame: pd.DataFrame
    """One row per finished seed run, columns as in COLUMNS (those that there are)."""
    trials: tuple[Trial, ...]
    """All trials, planned ones included, by number."""
    metric: str
    direction: str
    seeds: tuple[int, ...] | None
    """The seeds planned, where known."""
    tables: tuple[TableSpec, ...]
    about: StudyRow | None
    runs: tuple[SeedRunRow, ...]
    """Rows of the ledger, for reasons, dates and commits; empty for a CSV file."""

    @property
    def higher_is_better(self) -> bool:
        """Of the study's metric."""
        return self.direction == "maximize"

    def varying(self) -> list[str]:
        """Parameters with more than one value among the trials, in the order of the space, then of the options."""
        found = [name for name in PARAMETERS if len({repr(t.values.get(name)) for t in self.trials}) > 1]
        space = list(self.about.identity["space"]) if self.about else []
        return sorted(found, key=lambda name: (space.index(name) if name in space else len(space), found.index(name)))


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
    for run in sorted(runs, key=lambda run: seeds.index(run.seed) if run.seed in seeds else run.seed):
        by_name.setdefault(run.fingerprint, []).append(run)
    records: list[dict[str, Any]] = []
    trials = []
    for row in ledger.trials(name):
        own = [_record(name, row.number, row.config, run) for run in by_name.get(row.fingerprint, [])]
        records += own
        trials.append(Trial(number=row.number, values=_shown(row.config), rows=pd.DataFrame(own, columns=COLUMNS)))
    return Results(
        study=name,
        frame=pd.DataFrame(records, columns=COLUMNS),
        trials=tuple(trials),
        metric=about.identity["metric"],
        direction=about.identity["direction"],
        seeds=seeds,
        tables=tuple(parse_table(table) for table in about.description["tables"]),
        about=about,
        runs=tuple(runs),
    )


def _record(study: str, number: int, config: dict[str, Any], run: SeedRunRow) -> dict[str, Any]:
    record = {"study": study, "trial": number, "seed": run.seed, "state": run.state, **_shown(config)}
    record |= {"max_epoch": run.max_epoch, "best_epoch": run.best_epoch}
    record |= {score: run.metrics.get(score) for score in SCORES}
    return record | {"wall_s": run.wall_s, "fingerprint": run.fingerprint}


def _shown(config: dict[str, Any]) -> dict[str, Any]:
    """Parameters as single values; a list of augmentations becomes text."""
    return {
        name: "+".join(value) or "none" if isinstance(value, list | tuple) else value for name, value in config.items()
    }


def write_csv(results: Results, path: Path) -> None:
    """Writes the frame; None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".csv.part")
    partial.write_text(to_csv(results), encoding="utf-8")
    partial.replace(path)


def to_csv(results: Results) -> str:
    """The frame as CSV."""
    frame = results.frame.copy()
    for name in ("best_epoch", "max_epoch"):
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    return str(frame.to_csv(index=False, lineterminator="\n"))


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
    for name in numbers:
        parsed: list[float | None] = []
        for index, text in enumerate(frame[name]):
            value = _number(text)
            needed = frame["state"].iloc[index] == "complete" and name in SCORES
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
    for number, rows in frame.groupby("trial", sort=True):
        values = {name: rows[name].iloc[0] for name in parameters}
        mixed = [name for name in parameters if rows[name].map(repr).nunique() > 1]
        if mixed:
            raise DataError(f"{path}: all rows of trial {number} must have the same {', '.join(mixed)}.")
        trials.append(Trial(number=int(str(number)), values=values, rows=rows.reset_index(drop=True)))
    metric = metric or ("val/accuracy" if "val/accuracy" in scores else scores[0])
    return Results(
        study=str(frame["study"].iloc[0]) if "study" in frame else path.stem,
        frame=frame,
        trials=tuple(trials),
        metric=metric,
        direction="minimize" if metric.endswith("loss") else "maximize",
        seeds=None,
        tables=(),
        about=None,
        runs=(),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> Any:
    return None if text == "" else load_yaml(text, "a cell")
