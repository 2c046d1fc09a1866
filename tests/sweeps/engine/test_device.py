"""A whole study on a device: its stage, stored features and their proof, workers, and the ledger that names it."""

from pathlib import Path

import pytest

from resnet_tl.identity import Environment
from sweeps.execution.devices import hardware
from sweeps.records import RunState
from sweeps.storage.database import database_of
from tests.conftest import Run


@pytest.mark.slow
def test_the_quickstart_study_runs_and_its_ledger_names_the_hardware(
    tmp_path: Path, run: Run, environment: Environment
) -> None:
    done = run("sweeps.run", f"run.device={environment.device}", "study.seeds=[0]", "run.cache=cache")
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = database_of(tmp_path).read()
    rows, study = ledger.seed_runs("quickstart"), ledger.study("quickstart")
    ledger.close()
    assert study is not None
    assert hardware(environment.device) in study.hardware
    assert study.environment.device == environment.device
    assert {row.state for row in rows} == {RunState.COMPLETE}
