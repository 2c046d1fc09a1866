"""How quick this machine is at the work of a study: a few training steps, timed on made-up images."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from resnet_tl.training.member import Member
from sweeps.execution.everywhere import CannotTime, on_all
from sweeps.execution.executor import Slot
from sweeps.execution.executors import make_executor
from sweeps.execution.tasks import TimeSteps, Train, WarmUp

TAIL = 1 / 4
"""Of the multiplications of a ResNet that lie in its last stage."""
MOST_CLASSES = 32
"""Of the made-up images: a thousand more cost a network nothing that could be timed, but as many images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What one worker takes."""

    whole_s: dict[int, float]
    """By size, seconds to train the whole network on one image."""
    forward_s: dict[int, float]
    """By size, seconds to ask it about one image."""
    load_s: float
    """To load what a worker needs: the part of a start that a slow machine makes longer."""

    def whole(self, size: int) -> float:
        """Seconds to train the whole network on one image."""
        return _at(size, self.whole_s)

    def forward(self, size: int) -> float:
        """Seconds to ask the network about one image."""
        return _at(size, self.forward_s)


def _at(size: int, measured_s: dict[int, float]) -> float:
    """In proportion to pixels, from the nearest size measured."""
    nearest = min(measured_s, key=lambda measured: abs(measured - size))
    return measured_s[nearest] * (size / nearest) ** 2


def measure(
    backbone: str,
    *,
    slots: Sequence[Slot],
    environment: Environment,
    batch_size: int,
    num_classes: int,
    sizes: Sequence[int],
) -> Speed:
    """Times a few steps of training at each size, on all slots that the study will have; takes some seconds.

    One alone would be quicker than each of several, which share the memory's bus and whatever else the machine does.

    Args:
        sizes: pixels of a side.

    Raises:
        ConfigError: such a step does not work here.
    """
    values = {"backbone": backbone, "weights": "none", "optimizer": "adam", "lr": 1e-4, "epochs": 1}
    trial = TrialConfig.model_validate(values | {"batch_size": batch_size})
    whole_s, forward_s = {}, {}
    with tempfile.TemporaryDirectory(prefix="sweeps-") as folder:
        began = time.perf_counter()
        executor = make_executor("local", slots, Path(folder) / "scratch")
        try:
            on_all(executor, WarmUp())
            load_s = time.perf_counter() - began
            for size in sizes:
                data = _made_up(Path(folder) / str(size), size, batch_size, min(num_classes, MOST_CLASSES))
                runs = (Member(trial=trial, seed=0),)
                train = Train(runs=runs, data=data, environment=environment, features=None)
                times = [each for _, each in on_all(executor, TimeSteps(train=train))]
                whole_s[size] = mean((each.inputs_s + each.step_s) / each.batch for each in times)
                forward_s[size] = mean((each.inputs_s + each.scored_s) / each.batch for each in times)
        except CannotTime as error:
            raise ConfigError(
                f"`backbone` must be one that trains here, but a step of {backbone} in batches of {batch_size} failed "
                f"on {slots[0].device}: {error}. Give a smaller backbone=, fewer run.workers= or another run.device=."
            ) from error
        finally:
            executor.close()
    return Speed(whole_s=whole_s, forward_s=forward_s, load_s=load_s)


def _made_up(folder: Path, size: int, batch_size: int, num_classes: int) -> Prepared:
    """Noise with labels, whose training images fill their batches."""
    draws = np.random.default_rng(0)
    root = folder / "arrays"
    root.mkdir(parents=True)
    for split, count in (
        ("train", batch_size * -(-num_classes // batch_size)),
        ("val", num_classes),
        ("test", num_classes),
    ):
        np.save(root / f"x_{split}.npy", draws.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
        np.save(root / f"y_{split}.npy", np.arange(count) % num_classes)
    return prepare(DataConfig(source="arrays", root=str(root)), folder / "cache")
