"""A study may be stopped at any operation, in four ways; `make soak` tries all of them, this a hundred."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_study_that_fails_anywhere_ends_as_one_that_did_not() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crash_points", "only=quick", "count=100"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "100 of " in done.stdout
