"""Microseconds for one head and one step of training, on features that are there; prints one JSON object.

Axes: B images, F features, K classes, M members.
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from resnet_tl.head_spec import HEADS
from resnet_tl.model.head_module import Head, init_head
from resnet_tl.training.head_kernel import Heads, Optimizer

B, F, K, M, N = 32, 512, 9, 40, 1500


def microseconds(work: Callable[[], object], times: int = 60) -> float:
    """Median time of one call, for one member."""
    for _ in range(5):
        work()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return 1e6 * statistics.median(spent) / M


def measure(name: str, dtype: torch.dtype) -> dict[str, float]:
    """Times a step, and reading its features alone."""
    table = torch.randn(N, F).to(dtype)
    members = [Head(HEADS["linear"], F, K) for _ in range(M)]
    for number, head in enumerate(members):
        init_head(head, number)
    heads = Heads(members, bf16=name == "bf16", device=torch.device("cpu"))
    optimizer = Optimizer("sgd", heads.parameters, momentum_M=[0.9] * M, weight_decay_M=[1e-4] * M)
    targets = torch.nn.functional.one_hot(torch.randint(0, K, (M, B)), K).float()
    share, lr = torch.full((1, 1, 1), 1 / B), np.full(M, 1e-3)
    rows = torch.randint(0, N, (M * B,))

    def read() -> torch.Tensor:
        return table.index_select(0, rows).view(M, B, F)

    def step() -> None:
        gradients, _, _ = heads.gradients(read(), targets, share, None)
        optimizer.step(heads.parameters, gradients, lr)

    return {f"{name}, µs": microseconds(step), f"{name}, reading alone, µs": microseconds(read)}


def main() -> None:
    """Measures in fp32 and bf16."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(json.dumps(measure("fp32", torch.float32) | measure("bf16", torch.bfloat16)))


if __name__ == "__main__":
    main()
