"""Which networks go before anything is trained, so that `run.keep` helps where a disk has become full."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.definition.config import StudyConfig
from sweeps.engine.kept_networks import KeptNetworks
from sweeps.planning.study_state import StudyState
from sweeps.records import TrialRecord
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from tests.conftest import trial
from tests.sweeps.storage.test_ledger import RUN

STUDY = StudyConfig(name="s", question="Which?", method="grid", seeds=(0, 1))
SCORES = {"a": (0.5, 0.6), "b": (0.7, 0.8), "c": (0.9,)}
"""Of the seeds of each trial that have ended; the last trial may still win."""


@pytest.mark.parametrize(("keep", "stay"), [("all", "abc"), ("best", "bc"), ("none", "")])
def test_at_a_start_networks_go_that_cannot_win(keep: str, stay: str, tmp_path: Path) -> None:
    ledger = database_of(tmp_path).open()
    runs = [
        dataclasses.replace(
            RUN,
            fingerprint=name,
            seed=seed,
            metrics={"val/accuracy": score},
            network=f"mlruns/networks/s/{name}-{seed}/checkpoint",
        )
        for name, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    ledger.put(runs)
    for run in runs:
        (tmp_path / str(run.network)).mkdir(parents=True)
    trials = [
        TrialRecord(number=number, params={}, config=trial(), fingerprint=name) for number, name in enumerate(SCORES)
    ]
    state = StudyState(STUDY, trials=trials, runs=runs, to_ask=0)
    prepared: Any = SimpleNamespace(definition=SimpleNamespace(keep=keep), study=STUDY, out=tmp_path)
    dropped = KeptNetworks(prepared, state, ledger, NetworkStore(tmp_path, "s")).drop_early()
    assert {path.parent.name[0] for path in tmp_path.glob("mlruns/networks/s/*/checkpoint")} == set(stay)
    assert {run.fingerprint for run in ledger.seed_runs("s") if run.network} == set(stay)
    assert {name for name, _ in dropped} == set(SCORES) - set(stay)
