"""At a limit a study stops with status 3, and the same command without it ends as if there had been none."""

from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.config import RunConfig
from sweeps.engine.budget import Budget, BudgetSpent
from tests.conftest import Run, write_images
from tests.sweeps.engine.test_run import STUDY, frame


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


def test_a_study_stops_after_so_many_trials_and_goes_on(home: Path, run: Run) -> None:
    words = ["study=small.yaml", "trial.freeze=all", "trial.weights=none"]
    first = run("sweeps.run", *words, "run.max_trials=1")
    assert first.returncode == 3, first.stdout + first.stderr
    assert "run.max_trials=1 were worked on. 2 of 4 seed runs are missing" in first.stdout
    assert frame(home)[["trial", "state"]].values.tolist() == [[0, "complete"], [0, "complete"]]
    # the next so many are those that are missing
    last = run("sweeps.run", *words, "run.max_trials=1")
    assert last.returncode == 0, last.stdout + last.stderr
    assert set(frame(home)["state"]) == {"complete"}


def test_a_study_stops_when_its_hours_are_over(home: Path, run: Run) -> None:
    stopped = run("sweeps.run", "study=small.yaml", "run.max_hours=0.0001")
    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    assert "run.max_hours=0.0001 is over" in stopped.stdout
    assert not list((home / "mlruns" / ".work").glob("reserve*"))


def test_the_disk_is_looked_at_and_ctrl_c_comes_first(tmp_path: Path) -> None:
    def never() -> None:
        pass

    def ctrl_c() -> None:
        raise KeyboardInterrupt

    limit = RunConfig(max_disk_gb=1e-6)
    Budget(limit, tmp_path, "s", never).check()
    kept = tmp_path / "mlruns" / "networks" / "s" / "f-0"
    kept.mkdir(parents=True)
    (kept / "predictions").write_bytes(bytes(600))
    (tmp_path / "studies.db").write_bytes(bytes(600))
    with pytest.raises(BudgetSpent, match=r"take 1\.2e-06 GB, and run\.max_disk_gb=1e-06"):
        Budget(limit, tmp_path, "s", never).check()
    Budget(limit, tmp_path, "other", never).check()
    with pytest.raises(KeyboardInterrupt):
        Budget(limit, tmp_path, "s", ctrl_c).check()


def test_limits_are_positive() -> None:
    for name in ("max_hours", "max_trials", "max_disk_gb"):
        with pytest.raises((ConfigError, ValueError), match="greater than"):
            RunConfig.model_validate({name: 0})
