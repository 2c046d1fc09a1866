"""Failures have names; where memory was short, a seed run is tried once more with fewer beside it."""

from pathlib import Path

import pytest
import torch

from resnet_tl.errors import DataError
from sweeps.engine.failures import cause_of
from sweeps.execution.executor import WorkerDied
from sweeps.records import Cause
from sweeps.storage.database import database_of
from tests.conftest import Run, write_images
from tests.sweeps.engine.test_endings import run_with
from tests.sweeps.engine.test_run import STUDY


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Cause.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Cause.OUT_OF_MEMORY),
        (DataError("x.png is damaged"), Cause.BAD_DATA),
        (WorkerDied("ended by signal 9"), Cause.WORKER_LOST),
        (WorkerDied("ended by signal 9", Cause.OUT_OF_MEMORY), Cause.OUT_OF_MEMORY),
        (RuntimeError("size mismatch"), Cause.ERROR),
    ],
)  # fmt: skip
def test_errors_have_causes(error: Exception, cause: Cause) -> None:
    assert cause_of(error) == cause


OUT_OF_MEMORY = """
import os, pathlib
sync = os.fsync
def fsync(descriptor):
    if "-0/.predictions" in os.readlink(f"/proc/self/fd/{descriptor}"):
        for number in range(TIMES):
            try:
                pathlib.Path(f"short{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            raise MemoryError("no more of it")
    sync(descriptor)
os.fsync = fsync
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


WORDS = ["study=small.yaml", "trial.weights=none", "study.space={lr: {values: [1e-3]}}", "study.seeds=[0]"]


def test_a_seed_run_out_of_memory_is_tried_once_more(home: Path) -> None:
    done = run_with(home, OUT_OF_MEMORY.replace("TIMES", "1"), *WORDS, "run.reuse=off", everywhere=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trial 0 seed 0: out of memory; trying once more" in done.stdout


def test_one_that_is_so_twice_fails_by_that_name(home: Path, run: Run) -> None:
    done = run_with(home, OUT_OF_MEMORY.replace("TIMES", "2"), *WORDS, "run.reuse=off", everywhere=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed (out of memory): MemoryError: no more of it" in done.stdout
    ledger = database_of(home).read()
    (failed,) = ledger.seed_runs("small")
    ledger.close()
    assert failed.cause == Cause.OUT_OF_MEMORY
    assert "Traceback" in (failed.reason or "")
    assert "out of memory: MemoryError: no more of it" in (home / "reports" / "small.md").read_text()
    assert "failed (out of memory): MemoryError" in run("sweeps.status").stdout
    # the next start tries it anew
    again = run("sweeps.run", *WORDS, "run.reuse=off")
    assert again.returncode == 0, again.stdout + again.stderr
