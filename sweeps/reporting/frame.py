"""The tidy frame, one row per trial and seed, and where the files are that hold it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.config import has_effect
from sweeps.records import TrialState, state_of_trial
from sweeps.reporting.results import SCORES, Results, Trial, is_score, scores_on
from sweeps.study_trial import PARAMETERS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "study", "trial", "seed", "state", *PARAMETERS, "max_epoch", "best_epoch", *SCORES, "wall_s", "fingerprint",
    "trial_state",
)  # fmt: skip
"""Of every study, in order; scores on sets under other conditions stand behind those on test."""
WHOLE = ("trial", "seed", "max_epoch", "best_epoch")
"""Columns of whole numbers."""


def columns_with(shifted: Iterable[str]) -> tuple[str, ...]:
    """The columns of a study that has sets under other conditions."""
    end = COLUMNS.index("wall_s")
    return (*COLUMNS[:end], *scores_on(shifted), *COLUMNS[end:])


FRESH = "/confirm"
"""Behind a study's name in the CSV: rows on fresh seeds, which choose nothing. No study's own name holds a `/`."""


def cells_of(results: Results) -> dict[str, list[Any]]:
    """The cells of each column, one per finished seed run, those on fresh seeds last; None where there is no value."""
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
                state = state_of_trial(trial.states, _num_planned(results, trial, study))
                single["trial_state"] = (TrialState.PRUNED if trial.state == "pruned" else state).value
                # what has no effect on this trial is empty: the width of a linear head, say
                value = trial.values.get(name) if has_effect(name, trial.values) else None
                cells.extend([single.get(name, value)] * count)
    for name in WHOLE:
        if name in found:
            found[name] = [None if cell is None else int(cell) for cell in found[name]]
    for name in results.columns:
        if is_score(name) or name == "wall_s":
            found[name] = [None if cell is None else float(cell) for cell in found[name]]
    return found


def frame_of(results: Results) -> "pd.DataFrame":
    """The tidy frame, with types that know of missing values."""
    import pandas as pd  # takes as long to load as a tenth of a large report, whose CSV needs none of it

    found = cells_of(results)
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in found.items()})
    for name in WHOLE:
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    for name in results.columns:
        if is_score(name) or name == "wall_s":
            frame[name] = frame[name].astype("Float64")
    return frame


def _num_planned(results: Results, trial: Trial, study: str) -> int:
    """Seed runs that a trial is to have, in the search or in the confirmation."""
    confirm = results.about.confirm if results.about else None
    if study.endswith(FRESH):
        return len(confirm.seeds) if confirm else len(trial.states)
    return len(trial.states) if results.seeds is None else len(results.seeds)


def about_path(path: Path) -> Path:
    """Beside a CSV file."""
    return path.with_suffix(".about.json")


def sha256(text: str) -> str:
    """Of a CSV file's content, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
