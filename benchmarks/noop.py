"""A study whose seed runs train nothing: all that is left is what the orchestration itself costs.

    python -m benchmarks.noop OUT TRIALS SEEDS [nothing|ray|local]

with workers that only answer, local ones (`nothing`) or Ray's; or with `local` workers that do train, heads for one
epoch on a few images, of which the best network is kept. Prints one JSON object: wall and processor seconds of the
driver; seconds of each tenth of the seed runs, and what the driver held at the end of it (memory, open files, child
processes); and what is there when it has ended.
"""

import itertools
import json
import multiprocessing
import resource
import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessPool

from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.member import Member
from sweeps.execution.executor import Slot, Task
from sweeps.execution.local import LocalExecutor, _start_worker
from sweeps.execution.tasks import Train

EPOCHS = 1
PARTS = 10
METRICS = ("loss", "accuracy", "precision", "recall", "f1", "auroc")


@dataclass(frozen=True)
class TrainNothing:
    """What a worker answers at once."""

    runs: tuple[Member, ...]

    def __call__(self, device: str, report: Any) -> list[FitResult]:
        """Returns scores that depend on the trial and the seed."""
        answers = []
        for run in self.runs:
            score = 1 / (1 + run.seed + run.trial.lr)
            every = {f"{split}/{name}": score for split in ("train", "val", "test") for name in METRICS}
            met = dict.fromkeys(("train/loss", "train/accuracy", *(f"val/{m}" for m in METRICS)), score)
            history = [Epoch(epoch=1, lr=run.trial.lr, metrics=met, wall_s=0.0)]
            answers.append(
                FitResult(
                    state="complete", seed=run.seed, max_epoch=EPOCHS, best_epoch=1, metrics=every, compact={},
                    history=history, num_trainable=1, wall_s=0.0,
                )
            )  # fmt: skip
        return answers


@dataclass(frozen=True)
class Nothing:
    """Workers of this study need no torch."""

    def __call__(self, device: str, report: Any) -> None:
        """Returns nothing."""


class NothingExecutor(LocalExecutor):
    """Real worker processes, which train nothing."""

    def _make(self) -> ProcessPool:
        context = multiprocessing.get_context("spawn")
        return ProcessPool(max_workers=len(self.slots), context=context, initializer=_start_worker)

    def submit(self, task: Task, slot: Slot) -> "Future[Any]":
        """Hands out nothing in place of the work."""
        return super().submit(_nothing_for(task), slot)


def _nothing_for(task: Task) -> Task:
    return TrainNothing(task.runs) if isinstance(task, Train) else Nothing()


def _on_ray() -> None:
    """Has Ray's workers train nothing."""
    from sweeps.execution.ray import RayExecutor

    real = RayExecutor.submit
    RayExecutor.submit = lambda self, task, slot: real(self, _nothing_for(task), slot)  # type: ignore[method-assign]


def _held() -> dict[str, float]:
    """What this process holds: memory in MB, open files, child processes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MB": round(pages * resource.getpagesize() / 2**20),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "processes": sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")),
    }


def main() -> None:
    """Drives the study."""
    out, trials, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    executor = sys.argv[4] if len(sys.argv) > 4 else "nothing"
    from sweeps.engine import driver
    from sweeps.execution.executors import EXECUTORS
    from sweeps.run import main as run

    EXECUTORS["nothing"] = "benchmarks.noop:NothingExecutor"
    if executor == "ray":
        _on_ray()
    driver.load_ahead = lambda: None
    stamps: list[float] = []
    held: list[dict[str, float]] = []
    write = driver._Driver._write

    def stamped(self: Any, pairs: Any) -> None:
        write(self, pairs)
        stamps.extend([time.perf_counter()] * len(pairs))
        if len(stamps) * PARTS >= trials * seeds * (1 + len(held)):
            held.append(_held())

    driver._Driver._write = stamped  # type: ignore[method-assign]
    rates = [1e-4 + 1e-6 * n for n in range(trials)]
    Path(out).mkdir(parents=True, exist_ok=True)
    started, cpu = time.perf_counter(), time.process_time()
    words = [
        f"run.out={out}", "run.workers=2", f"run.executor={executor}", "study.name=noop",
        f"trial.weights={'digits_0_4' if executor == 'local' else 'none'}",
        "trial.backbone=resnet18", "trial.epochs=1", f"study.space={{lr: {{values: {rates}}}}}",
        f"study.seeds={list(range(seeds))}", "run.keep=best", "trial.freeze=all",
    ]  # fmt: skip
    status = run(words)
    wall = time.perf_counter() - started
    assert status == 0
    ends = [stamps[len(stamps) * part // PARTS - 1] for part in range(1, PARTS + 1)]
    print(
        json.dumps(
            {
                "wall_s": wall,
                "cpu_s": time.process_time() - cpu,
                "seconds of each tenth": [round(b - a, 2) for a, b in itertools.pairwise([stamps[0], *ends])],
                "held": {name: [each[name] for each in held] for name in held[0]},
                "held at the end": _held(),
                "files in work folders": sum(path.is_file() for path in (Path(out) / "mlruns" / ".work").rglob("*")),
                "seed_runs": len(stamps),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
