"""One step of a network whose first parameters are frozen, in one thread, against the arithmetic in it; prints JSON.

Run as `python -m benchmarks.tail FREEZE` in the work folder.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

BATCH = 32
SIDE = 2048


def seconds(work: Callable[[], object], times: int) -> float:
    """Median time of one call."""
    work()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def main() -> None:
    """Measures steps, and a large matrix product as the most that the core can do."""
    from resnet_tl.config import DataConfig, TrialConfig
    from resnet_tl.data.prepare import prepare
    from resnet_tl.identity import Environment
    from resnet_tl.model.runtime import own_process
    from resnet_tl.model.starting_point import starting_point
    from resnet_tl.training.member import Member
    from resnet_tl.training.network_learner import NetworkLearner

    data = prepare(DataConfig(source="image_folder", root="images", size=64, skip_bad=True), Path("cache"))
    trial = TrialConfig(
        backbone="resnet18", weights="backbone.pth", optimizer="sgd", lr=1e-3, epochs=1, batch_size=BATCH,
        precision="bf16", freeze=float(sys.argv[1]),
    )  # fmt: skip
    environment = Environment(device="cpu", threads=1)
    own_process()
    torch.set_num_threads(1)
    learner = NetworkLearner(
        Member(trial=trial, seed=0),
        starting_point(trial, data),
        environment=environment,
        device=torch.device("cpu"),
        features=None,
    )
    learner.network.train()
    batches = [batch for batch in learner.inputs.train(0, 1) if len(batch.samples_B) == BATCH]
    step_s = seconds(lambda: [learner.step(batch, 1) for batch in batches], 5) / len(batches)
    with FlopCounterMode(display=False) as counter:
        learner.step(batches[0], 1)
    left, right = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(2))
    most = 2 * SIDE**3 / seconds(lambda: left @ right, 10)
    print(
        json.dumps({"ms a step": 1000 * step_s, "GFLOP": counter.get_total_flops() / 1e9, "most GFLOP/s": most / 1e9})
    )


if __name__ == "__main__":
    main()
