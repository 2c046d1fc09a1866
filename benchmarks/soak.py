"""Runs every harness of reliability, and writes what came of it to reports/reliability.md.

    python -m benchmarks.soak               all, about four hours on two cores that do nothing else
    python -m benchmarks.soak share=0.01    a hundredth of each
    python -m benchmarks.soak only=fuzz     those whose names begin so; the rest of the report stays as it was
    python -m benchmarks.soak minutes=30    the most for the crash points (default 60)

Exit status 1 where one of them found something.
"""

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.files import write_text
from sweeps.engine.code_version import git_commit
from sweeps.execution.devices import hardware
from tests.fuzz import KINDS

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "reliability.md"
RESULTS = ROOT / "reports" / "reliability.json"

HEAD = """# What it survives

Made by `make soak` (`benchmarks/soak.py` says how each is run). What was found is the last line that a harness printed.

| What | Asked | Found | Minutes | On | Of |
| --- | --- | --- | --- | --- | --- |
"""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    share, only, minutes = float(options.get("share", 1)), options.get("only"), int(options.get("minutes", 60))
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = False
    for name, (asked, commands) in _harnesses(share, minutes).items():
        if only is not None and not name.startswith(only):
            continue
        begun, lines = time.monotonic(), []
        for command in commands:
            done = _run(command)
            lines.append(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-500:])
            failed |= done.returncode != 0
            print(
                name, *command, "\n   ", done.stdout[-4000:], done.stderr[-2000:] if done.returncode else "", flush=True
            )
        known[name] = {
            "asked": asked,
            "found": "; ".join(dict.fromkeys(lines)),
            "minutes": round((time.monotonic() - begun) / 60, 1),
            "on": f"{datetime.date.today()}, {hardware('cpu')}",
            "commit": git_commit(),
        }
        write_text(RESULTS, json.dumps(known, indent=1) + "\n")
        rows = [
            f"| {name} | {row['asked']} | {row['found']} | {row['minutes']} | {row['on']} | {row['commit']} |\n"
            for name, row in known.items()
        ]
        write_text(REPORT, HEAD + "".join(rows))
    return 1 if failed else 0


def _harnesses(share: float, minutes: int) -> dict[str, tuple[str, list[list[str]]]]:
    def part(count: int) -> int:
        return max(1, round(share * count))

    each = part(100_000 // len(KINDS) + 1)
    return {
        "crash points": (
            f"{part(2000):,} points: a stop, a power cut, a full disk, a locked database at each operation",
            [["benchmarks.crash_points", f"count={part(2000)}", f"minutes={minutes}"]],
        ),
        "cluster": (
            "24 × 5 seed runs on two Ray nodes with PostgreSQL and an MLflow server; one node and the server are lost",
            [["benchmarks.cluster"]],
        ),
        "schedules": (
            f"{part(200)} schedules: 1, 2, 8 workers, local and Ray, kills, seeds added later, bayes",
            [["benchmarks.schedules", f"count={part(200)}"]],
        ),
        "flat": (
            f"a study of {part(20_000):,} seed runs that train heads for an epoch",
            [["benchmarks.noop", "OUT", str(part(4000)), "5", "local"]],
        ),
        "Ray": ("500 seed runs that train nothing, by Ray", [["benchmarks.noop", "OUT", "100", "5", "ray"]]),
        "proposals": (f"a bayes study of {part(2000):,} trials", [["benchmarks.proposals", str(part(2000))]]),
    } | {
        f"fuzz, {kind}": (f"{each:,} damaged or odd inputs", [["tests.fuzz", kind, "7", str(each)]]) for kind in KINDS
    }  # fmt: skip


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        words = [str(folder / "out") if word == "OUT" else word for word in command]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(folder)}
        try:
            return subprocess.run(
                [sys.executable, "-W", "ignore", "-m", *words],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            shutil.rmtree(folder / "out", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
