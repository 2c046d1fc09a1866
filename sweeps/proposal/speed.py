"""How quick this machine is at the work of a study: a few training steps, timed on made-up images."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.device import is_gpu
from resnet_tl.identity import Environment
from sweeps.execution.ahead import load_ahead

FORWARD = 1 / 3
"""Of the time of a training step that evaluation takes for the same images: two of its three passes are backwards."""
TAIL = 1 / 4
"""Of the multiplications of a ResNet that lie in its last stage."""
_EPOCHS = 4
_SCORED = 1 / 4
"""Images of val for each of train, in what is timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What one worker takes."""

    whole_s: dict[int, float]
    """By size, seconds to train the whole network on one image."""
    load_s: float
    """To load what a worker needs: the part of a start that a slow machine makes longer."""

    def whole(self, size: int) -> float:
        """Seconds to train the whole network on one image: in proportion to pixels, from the nearest size measured."""
        nearest = min(self.whole_s, key=lambda measured: abs(measured - size))
        return self.whole_s[nearest] * (size / nearest) ** 2

    def tail(self, size: int) -> float:
        """Seconds to train the last stage on the stored outputs of what lies before, for one image."""
        return TAIL * self.whole(size)

    def forward(self, size: int) -> float:
        """Seconds to ask the network about one image."""
        return FORWARD * self.whole(size)


def measure(
    backbone: str, *, device: str, workers: int, batch_size: int, num_classes: int, sizes: tuple[int, ...]
) -> Speed:
    """Times a few steps of training at each size, in as many processes as the study will have; takes some seconds.

    One alone would be quicker than each of several, which share the memory's bus and whatever else the machine does.

    Args:
        device: `cpu` or `cuda`.
        sizes: pixels of a side.
    """
    num = 2 * batch_size if is_gpu(device) else 32
    values = {"backbone": backbone, "weights": "none", "optimizer": "adam", "lr": 1e-4, "epochs": _EPOCHS}
    trial = TrialConfig.model_validate(values | {"batch_size": min(batch_size, num)})
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=load_ahead()) as pool:
        wait([pool.submit(_load) for _ in range(workers)])
        load_s = time.perf_counter() - began
        whole_s = {}
        for size in sizes:
            asked = [pool.submit(_whole_s, trial, device, size, num, num_classes) for _ in range(workers)]
            whole_s[size] = float(np.mean([one.result() for one in asked]))
    return Speed(whole_s=whole_s, load_s=load_s)


def _load() -> None:
    import_module("resnet_tl.training.seed_run")


def _whole_s(trial: TrialConfig, device: str, size: int, num: int, num_classes: int) -> float:
    """Seconds to train on one image; in a process of its own."""
    from resnet_tl.training.seed_run import fit

    with _made_up(size, num, num_classes) as data:
        result = fit(trial, data, seed=0, environment=Environment(device=device, threads=1))
    epoch_s = float(np.mean([epoch.wall_s for epoch in result.history[1:]]))  # the first warms up
    return epoch_s / (data.num_images["train"] + FORWARD * data.num_images["val"])


@contextmanager
def _made_up(size: int, num: int, num_classes: int) -> Iterator[Prepared]:
    """Noise with labels."""
    draws = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="sweeps-speed-") as folder:
        root = Path(folder) / "arrays"
        root.mkdir()
        for split, count in (("train", num), ("val", round(_SCORED * num)), ("test", num_classes)):
            count = max(count, num_classes)
            np.save(root / f"x_{split}.npy", draws.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
            np.save(root / f"y_{split}.npy", np.arange(count) % num_classes)
        yield prepare(DataConfig(source="arrays", root=str(root)), Path(folder) / "cache")
