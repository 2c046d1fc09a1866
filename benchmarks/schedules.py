"""Runs one and the same study in many ways, and compares what comes of it.

    python -m benchmarks.schedules                 200 schedules
    python -m benchmarks.schedules count=10 seed=1 only=local

A schedule is drawn: 1, 2 or 8 workers, local ones or Ray's; up to two kills of the driver; for studies that list their
trials, seeds that are added by a later start. Then, and in a race, the trials of MLflow have means over fewer seeds in
their past, too, and only their last ones are compared. The CSV (`wall_s` aside), the report (seconds aside), MLflow's
runs and the best network must be those of a study that ran once, with one local worker. Exit status 1 where anything
differs.
"""

import contextlib
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import kills

WORKERS = (1, 2, 8)
EXECUTORS = ("local", "local", "local", "ray")
"""Ray takes ten seconds to start, so that it has its turn less often."""

STUDIES = {
    "frozen": ["trial.epochs=20", "trial.augment=hflip"],
    "full": kills.STUDIES["full"],
    "bayes": [word.replace("trial.epochs=40", "trial.epochs=8") for word in kills.STUDIES["bayes"]],
    "race": [
        "study.pruner={kind: race}", "study.seeds=[0,1,2,3]", "trial.epochs=8",
        "study.space={lr: {values: [1e-4, 1e-3, 1e-2]}, head: {values: [linear, mlp_relu]}}",
    ],
    "rungs": [
        "study.pruner=[{kind: rungs, eta: 2}, {kind: race}]", "study.seeds=[0,1,2]", "trial.epochs=4",
        "trial.freeze=layer3", "study.space={lr: {values: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}}",
    ],
}  # fmt: skip
"""Options of each study, beside those of `kills.STUDY`."""

AT_ONCE = 2
"""Schedules that are tried side by side: much of each is waiting."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One way to run a study."""

    study: str
    executor: str
    workers: int
    kills: tuple[float, ...]
    """Seconds after which the driver is killed, start by start."""
    later: bool
    """Whether some seeds are added after the rest is done."""

    def told(self) -> str:
        """In words."""
        kills_told = f", killed after {' and '.join(f'{s:.1f}' for s in self.kills)} s" if self.kills else ""
        added = ", a seed added later" if self.later else ""
        return f"{self.study} on {self.workers} {self.executor} workers{kills_told}{added}"


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    count, seed, only = int(options.get("count", 200)), int(options.get("seed", 0)), options.get("only")
    begun, differing = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="schedules-") as folder:
        home = Path(folder)
        kills._draw(home / "images")
        (home / "killed.yaml").write_text(kills.STUDY)
        expected = {name: _once(home, name) for name in STUDIES}
        schedules = [_drawn(random.Random(f"{seed}/{number}"), only) for number in range(count)]
        places: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(AT_ONCE):
            places.put(home / f"out-{number}")
        with ThreadPoolExecutor(AT_ONCE) as threads:
            every = threads.map(lambda each: _try(home, places, each, expected[each.study]), schedules)
            for number, (schedule, found) in enumerate(zip(schedules, every, strict=True), 1):
                differing += bool(found)
                print(
                    f"{number:3}/{count} {schedule.told()}", *(f"      {line}" for line in found), sep="\n", flush=True
                )
    minutes = (time.monotonic() - begun) / 60
    print(f"{count} schedules, {differing} of them left something different ({minutes:.1f} minutes)")
    return 1 if differing else 0


def _drawn(draws: random.Random, only: str | None) -> Schedule:
    study = draws.choice(list(STUDIES))
    return Schedule(
        study=study,
        executor=only or draws.choice(EXECUTORS),
        workers=draws.choice(WORKERS),
        kills=tuple(draws.uniform(1.0, 9.0) for _ in range(draws.choice([0, 1, 1, 2]))),
        later=study in ("frozen", "full") and draws.random() < 0.5,
    )


def _once(home: Path, name: str) -> dict[str, Any]:
    found = {}
    for number in range(2):  # the first makes the empty database of MLflow, which all others take
        out = home / f"once-{name}-{number}"
        if number:
            kills._make_cache(out / "cache", home / f"once-{name}-0" / "cache", pretrained=False)
        kills._require(_run(home, name, out, ["run.workers=1"]))
        found = _left(out)
    shutil.copytree(home / f"once-{name}-1" / "cache" / "mlflow", home / "mlflow", dirs_exist_ok=True)
    return found


def _try(home: Path, places: "queue.SimpleQueue[Path]", schedule: Schedule, expected: dict[str, Any]) -> list[str]:
    out = places.get()
    try:
        return _differences(home, out, schedule, expected)
    finally:
        places.put(out)


def _differences(home: Path, out: Path, schedule: Schedule, expected: dict[str, Any]) -> list[str]:
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(home / "mlflow", out / "cache" / "mlflow")
    words = [f"run.workers={schedule.workers}", f"run.executor={schedule.executor}"]
    starts = [[*words, f"study.seeds={_fewer(schedule.study)}"], words] if schedule.later else [words]
    waiting = list(schedule.kills)
    for each in starts:
        while waiting:
            _killed(home, schedule.study, out, each, waiting.pop())
        if found := _run(home, schedule.study, out, each):
            return found
    found = kills._all_differences(expected, _left(out))
    return found if not schedule.later and schedule.study != "race" else without_past_means(found)


def without_past_means(differences: Sequence[str]) -> list[str]:
    """Differences but for means that MLflow's trials had before they had all their seeds."""
    return [line for line in differences if " trial " not in line or ", metrics differs" not in line]


def _fewer(study: str) -> list[int]:
    """All but the last of the seeds of a study that has those of `kills.STUDY`."""
    assert not any(word.startswith("study.seeds=") for word in STUDIES[study])
    return [0]


def _left(out: Path) -> dict[str, Any]:
    found = kills.left(out, out / "cache")
    text = (out / "reports" / "killed.md").read_text()
    lines = _without_seconds(text.replace(str(out), "OUT")).splitlines()
    found["report"] = {f"line {number}": line for number, line in enumerate(lines, 1)}
    return found


def _without_seconds(text: str) -> str:
    """Seconds stand in the last column, or before the number of trials; nothing else but the command may differ."""
    return re.sub(
        r"^Made by .*$", "", re.sub(r"\|( [0-9.]+ \|){1,2}$", "|", text, flags=re.MULTILINE), flags=re.MULTILINE
    )


def _run(home: Path, name: str, out: Path, words: Sequence[str]) -> list[str]:
    done = subprocess.run(
        [*_words(name, out), *words],
        cwd=home,
        env=kills._environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return [f"a start ended with status {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"]
    return []


def _words(name: str, out: Path) -> list[str]:
    base = [sys.executable, "-m", "sweeps.run", "study=killed.yaml", *STUDIES[name]]
    return [*base, f"run.out={out}", f"run.cache={out}/cache"]


def _killed(home: Path, name: str, out: Path, words: Sequence[str], after_s: float) -> None:
    """Starts a study, and kills its driver if it has not ended by then."""
    process = subprocess.Popen(
        [*_words(name, out), *words],
        cwd=home,
        env=kills._environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
