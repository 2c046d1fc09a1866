"""The tidy frame, one row per trial and seed, and where the files are that hold it."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from sweeps.reporting.results import PARAMETERS, SCORES, Results

COLUMNS = ("study", "trial", "seed", "state", *PARAMETERS, "max_epoch", "best_epoch", *SCORES, "wall_s", "fingerprint")
WHOLE = ("trial", "seed", "max_epoch", "best_epoch")
"""Columns of whole numbers."""

FRESH = "/confirm"
"""Behind a study's name in the CSV: rows on fresh seeds, which choose nothing. No study's own name holds a `/`."""


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
    for name in WHOLE:
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    for name in (*SCORES, "wall_s"):
        if name in frame:
            frame[name] = frame[name].astype("Float64")
    return frame


def about_path(path: Path) -> Path:
    """Beside a CSV file."""
    return path.with_suffix(".about.json")


def sha256(text: str) -> str:
    """Of a CSV file's content, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
