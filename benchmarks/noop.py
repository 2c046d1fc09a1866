"""A study whose seed runs train nothing: all that is left is what the orchestration itself costs.

    python -m benchmarks.noop OUT TRIALS SEEDS

prints one JSON object: wall and processor seconds of the driver, its peak memory, and when each seed run was written.
"""

import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

EPOCHS = 1
METRICS = ("loss", "accuracy", "precision", "recall", "f1", "auroc")


def run_nothing(job: Any) -> list[Any]:
    """What a worker answers at once."""
    from resnet_tl.result import Epoch, FitResult

    answers = []
    for run in job.runs:
        score = 1 / (1 + run.seed + run.trial.lr)
        every = {f"{split}/{name}": score for split in ("train", "val", "test") for name in METRICS}
        met = dict.fromkeys(("train/loss", "train/accuracy", *(f"val/{m}" for m in METRICS)), score)
        answers.append(
            FitResult(
                state="complete", seed=run.seed, max_epoch=EPOCHS, best_epoch=1, metrics=every,
                history=[Epoch(epoch=1, lr=run.trial.lr, metrics=met, wall_s=0.0)], num_trainable=1,
                wall_s=0.0, compact={},
            )
        )  # fmt: skip
    return answers


def warm_nothing() -> None:
    """Workers of this study need no torch."""


def main() -> None:
    """Drives the study."""
    out, trials, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    from sweeps.engine import driver, execute, jobs
    from sweeps.run import main as run

    jobs.run_job = run_nothing
    driver.warm_up = warm_nothing
    execute.load_ahead = lambda: __import__("multiprocessing").get_context("spawn")
    driver.load_ahead = lambda: None
    stamps: list[float] = []
    write = driver._Driver._write
    executed = jobs.Jobs._collect

    def trained_nothing(self: Any, job: Any, future: Any) -> None:
        assert all(result.num_trainable == 1 for result in future.result()), "a worker has trained something"
        executed(self, job, future)

    jobs.Jobs._collect = trained_nothing  # type: ignore[method-assign]

    def stamped(self: Any, pairs: Any) -> None:
        write(self, pairs)
        stamps.extend([time.perf_counter()] * len(pairs))

    driver._Driver._write = stamped  # type: ignore[method-assign]
    driver.BestNetwork.store = lambda *_: None  # type: ignore[method-assign]  # there is no network
    rates = [1e-4 * 1.01**n for n in range(trials)]
    Path(out).mkdir(parents=True, exist_ok=True)
    started, cpu = time.perf_counter(), time.process_time()
    status = run(
        [
            f"run.out={out}", "run.workers=2", "study.name=noop", "trial.weights=none", "trial.backbone=resnet18",
            "trial.epochs=1", f"study.space={{lr: {{values: {rates}}}}}", f"study.seeds={list(range(seeds))}",
        ]
    )  # fmt: skip
    wall = time.perf_counter() - started
    assert status == 0
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    print(
        json.dumps(
            {
                "wall_s": wall,
                "cpu_s": time.process_time() - cpu,
                "first_100_s": sum(gaps[:99]),
                "last_100_s": sum(gaps[-99:]),
                "seed_runs": len(stamps),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
