"""Makes the tables of learning curves that `benchmarks.search` draws studies from: benchmarks/tables/NAME.npz.

    python -m benchmarks.curves heads      504 configurations × 50 seeds × 20 epochs, about 15 minutes on two cores
    python -m benchmarks.curves full        60 configurations ×  5 seeds ×  8 epochs, about 30 minutes

`heads`: heads on the outputs of a frozen ResNet-18, 120 drawings of each of nine classes of Debian's openclipart-png at
64 pixels. `full`: whole ResNet-18s, 60 drawings a class at 32 pixels. Both start from weights that learnt digits.

A table holds how many images of `val` were right, [C, S, E]: configurations, seeds, epochs; the most of 16 bits where a
run diverged. Every number is what `sweeps.run` gives for the same trial and seed.
"""

import itertools
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import lay_out

PLACE = Path(__file__).parent / "tables"
DIVERGED = np.iinfo(np.uint16).max
WORKERS = 2

SPACES: dict[str, dict[str, list[Any]]] = {
    "heads": {
        "head": ["linear", "mlp", "mlp with dropout", "mlp with batch norm"],
        "optimizer": ["sgd", "adam"],
        "batch_size": [16, 32, 128],
        "weight_decay": [0.0, 1e-3, 1e-2],
        "lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    },
    "full": {
        "optimizer": ["sgd", "adam"],
        "batch_size": [16, 32, 64],
        "schedule": ["constant", "cosine"],
        "lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
    },
}
HEADS: dict[str, dict[str, Any]] = {
    "linear": {"head": "linear"},
    "mlp": {"head": "mlp", "head_width": 32},
    "mlp with dropout": {"head": "mlp", "head_width": 32, "head_activation": "leaky_relu", "dropout": 0.5},
    "mlp with batch norm": {"head": "mlp", "head_width": 32, "head_norm": "batch"},
}
SEEDS = {"heads": 50, "full": 5}
EPOCHS = {"heads": 20, "full": 8}
IMAGES = {"heads": 120, "full": 60}
"""Of a class, at most."""
DATA: dict[str, dict[str, Any]] = {
    "heads": {"source": "image_folder", "size": 64},
    "full": {"source": "image_folder", "size": 32, "val_fraction": 0.3, "test_fraction": 0.1},
}
PRETRAIN = {
    "trial": {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "lr": 1e-2, "epochs": 3, "batch_size": 32},
    "data": {"source": "digits", "size": 32, "channels": 3},
}


def points(name: str) -> list[dict[str, Any]]:
    """The configurations of a table, in the order of a grid."""
    space = SPACES[name]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


class _Maker:
    """What all seed runs of a table start from, in one process."""

    def __init__(self, name: str, base: Path) -> None:
        from resnet_tl.config import DataConfig, TrialConfig
        from resnet_tl.data.prepare import prepare
        from resnet_tl.identity import Environment
        from resnet_tl.model.runtime import own_process
        from resnet_tl.model.starting_point import starting_point
        from resnet_tl.training.pretraining import pretrain

        own_process()
        self.name, self._cache = name, base / "cache"
        self.environment = Environment(device="cpu", threads=1)
        self.data = prepare(DataConfig(root=str(base / "images"), **DATA[name]), self._cache)
        learnt = prepare(DataConfig(**PRETRAIN["data"]), self._cache)
        weights = pretrain(
            TrialConfig(**PRETRAIN["trial"]), learnt, seed=0, environment=self.environment, cache=self._cache
        )
        common = {"backbone": "resnet18", "weights": str(weights), "epochs": EPOCHS[name]}
        common["freeze"] = "all" if name == "heads" else "none"
        self.trials = [
            TrialConfig(**common, **(point | HEADS.get(point.get("head", ""), {}))) for point in points(name)
        ]
        self.start = starting_point(self.trials[0], self.data)
        self.features = self._features() if name == "heads" else None

    def _features(self) -> Any:
        import torch

        from resnet_tl.data.views import finite_views
        from resnet_tl.features.compute import compute
        from resnet_tl.features.key import frozen_prefix_of
        from resnet_tl.features.store import begin, finish, num_rows, stored

        prefix = frozen_prefix_of(self.trials[0], self.data, "sha256:benchmark", self.environment)
        (view,) = finite_views(self.trials[0].augment) or ()
        assert prefix is not None
        found = stored(prefix, (view,), self._cache)
        if not all(Path(place).exists() for place in found.places):
            network = self.start.network(self.trials[0], 0, torch.device("cpu"))
            making = begin([prefix], view, num_rows(view, self.data), self._cache)
            compute(making, self.start.images, network, self.start.normalisation, crop=None, first=0, end=making.rows)
            finish(making, self._cache)
        return found

    def jobs(self) -> Iterator[list[tuple[int, int]]]:
        """Configurations and seeds that are trained together."""
        from resnet_tl.training.member import head_group

        seeds = range(SEEDS[self.name])
        if self.name == "full":
            yield from ([(c, s)] for c in range(len(self.trials)) for s in seeds)
            return
        groups: dict[str, list[tuple[int, int]]] = {}
        for c, trial in enumerate(self.trials):
            groups.setdefault(head_group(trial), []).extend((c, s) for s in seeds)
        for members in groups.values():
            yield from (members[first : first + 48] for first in range(0, len(members), 48))

    def run(self, job: list[tuple[int, int]]) -> list[list[int]]:
        """How many of val were right after each epoch, for each."""
        from resnet_tl.training.member import Member
        from resnet_tl.training.seed_run import fit, fit_heads

        if self.name == "heads":
            members = [Member(trial=self.trials[c], seed=s) for c, s in job]
            results = fit_heads(
                members, self.data, environment=self.environment, features=self.features, start=self.start
            )
        else:
            ((c, s),) = job
            results = [fit(self.trials[c], self.data, seed=s, environment=self.environment, start=self.start)]
        of = self.data.num_images["val"]
        told = []
        for result in results:
            right = [round(epoch.metrics["val/accuracy"] * of) for epoch in result.history]
            told.append(right + [int(DIVERGED)] * (EPOCHS[self.name] - len(right)))
        return told


_maker: _Maker | None = None


def _begin(name: str, base: str) -> None:
    global _maker
    _maker = _Maker(name, Path(base))


def _work(job: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[list[int]]]:
    assert _maker is not None
    return job, _maker.run(job)


def main() -> None:
    """Makes one table."""
    (name,) = sys.argv[1:]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="curves-") as folder:
        base = Path(folder)
        lay_out(base / "images", IMAGES[name])
        maker = _Maker(name, base)  # makes what all of them load
        jobs = list(maker.jobs())
        right_CSE = np.full((len(maker.trials), SEEDS[name], EPOCHS[name]), DIVERGED, dtype=np.uint16)
        with multiprocessing.get_context("spawn").Pool(WORKERS, _begin, (name, folder)) as pool:
            for number, (job, told) in enumerate(pool.imap_unordered(_work, jobs)):
                for (c, s), own in zip(job, told, strict=True):
                    right_CSE[c, s] = own
                if number % 20 == 0:
                    print(f"{number + 1} of {len(jobs)}, {time.monotonic() - begun:.0f} s", flush=True)
        about = {
            "points": points(name),
            "num_val": maker.data.num_images["val"],
            "num_train": maker.data.num_images["train"],
            "minutes": round((time.monotonic() - begun) / 60, 1),
        }
    PLACE.mkdir(exist_ok=True)
    np.savez_compressed(PLACE / f"{name}.npz", right_CSE=right_CSE, about=json.dumps(about))


if __name__ == "__main__":
    main()
