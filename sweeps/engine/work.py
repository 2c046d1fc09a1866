"""What a worker does: a job in, a result out. Nothing here knows of studies, databases or MLflow."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.features.store import Making, Stored
from resnet_tl.fingerprint import Environment
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.member import Member

if TYPE_CHECKING:
    from resnet_tl.model.starting_point import StartingPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One seed run, or several that train their heads side by side."""

    runs: tuple[Member, ...]
    data: Prepared
    environment: Environment
    device: str
    features: Stored | None
    """Outputs of the frozen front; None computes them as they are needed."""
    progress: str
    """File to which epochs are added, for the driver to follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesJob:
    """A part of one pass over the images, through the front of a network."""

    trial: TrialConfig
    """Whose backbone is frozen at least up to the last cut."""
    making: Making
    data: Prepared
    environment: Environment
    device: str
    first: int
    end: int
    """Rows to fill."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainJob:
    """One pretrain stage."""

    trial: TrialConfig
    data: Prepared
    seed: int
    environment: Environment
    device: str
    cache: str
    folder: str


def start_worker() -> None:
    """Prepares a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    threading.Thread(target=_die_with_driver, daemon=True).start()
    from resnet_tl.model.runtime import own_process

    own_process()


def _die_with_driver() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Progress:
    """Epochs of a running job, one JSON line each, for the driver to follow from any machine that shares the folder.

    Args:
        every_s: the least seconds between two writes; epochs met meanwhile go together.
    """

    def __init__(self, path: Path, every_s: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._every_s = path, every_s
        self._lines: list[str] = []
        self._written = time.monotonic()
        self._path.write_text("")

    def __call__(self, run: int, epoch: Epoch) -> None:
        """Adds an epoch of a run, by its number in the job."""
        self._lines.append(json.dumps([run, asdict(epoch)]) + "\n")
        if time.monotonic() - self._written >= self._every_s:
            with self._path.open("a") as stream:
                stream.write("".join(self._lines))
            self._lines.clear()
            self._written = time.monotonic()


def read_progress(path: Path) -> dict[int, list[Epoch]]:
    """The epochs that each run of a job has finished so far; a line still being written is left for the next look."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    epochs: dict[int, list[Epoch]] = {}
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            with contextlib.suppress(ValueError):
                run, epoch = json.loads(line)
                epochs.setdefault(run, []).append(Epoch(**epoch))
    return epochs


GROUP_PROGRESS_S = 1.0
"""Heads side by side finish hundreds of epochs a second, which nobody reads one by one."""


def run_job(job: Job) -> list[FitResult]:
    """Trains the networks of a job."""
    warnings.filterwarnings("ignore", message="the frozen part")  # the driver says it once for the study
    progress = Progress(Path(job.progress), 0.0 if len(job.runs) == 1 else GROUP_PROGRESS_S)
    begun = _begun(job.runs[0].trial, job.data)
    if len(job.runs) > 1:
        from resnet_tl.training.seed_run import fit_heads

        return fit_heads(
            job.runs,
            job.data,
            environment=job.environment,
            device=job.device,
            features=job.features,
            start=begun,
            on_epoch=progress,
        )
    from resnet_tl.training.seed_run import fit

    (run,) = job.runs
    return [
        fit(
            run.trial,
            job.data,
            seed=run.seed,
            environment=job.environment,
            device=job.device,
            features=job.features,
            start=begun,
            folder=run.folder,
            on_epoch=lambda epoch: progress(0, epoch),
        )
    ]


_loaded: "list[tuple[object, StartingPoint]]" = []


def _begun(trial: TrialConfig, data: Prepared) -> "StartingPoint":
    """Images and weights of a job; those of the last one are kept, since the next one mostly needs the same."""
    from resnet_tl.model.starting_point import starting_point

    name = (data.fingerprint, data.folder, trial.backbone, trial.weights, trial.first_layer, trial.criterion)
    if not _loaded or _loaded[0][0] != name:
        _loaded[:] = [(name, starting_point(trial, data))]
    return _loaded[0][1]


def run_features(job: FeaturesJob) -> int:
    """Fills a part of the outputs; returns how many images passed through the front."""
    import torch

    from resnet_tl.features.compute import compute

    begun = _begun(job.trial, job.data)
    network = begun.network(job.trial, 0, torch.device(job.device))
    return compute(
        job.making,
        begun.images,
        network,
        begun.normalisation,
        crop=job.data.crop,
        first=job.first,
        end=job.end,
    )


def run_check(job: Job) -> str | None:
    """Compares the training of a job on stored outputs with that on computed ones; returns what differs."""
    from resnet_tl.training.check import compare

    warnings.filterwarnings("ignore", message="the frozen part")
    assert job.features is not None
    return compare(
        job.runs,
        _begun(job.runs[0].trial, job.data),
        environment=job.environment,
        device=job.device,
        features=job.features,
    )


def run_pretrain(job: PretrainJob) -> str:
    """Makes starting weights; returns their checkpoint folder."""
    from resnet_tl.training.pretraining import pretrain

    progress = Progress(Path(job.folder) / "progress.jsonl")
    folder = pretrain(
        job.trial,
        job.data,
        seed=job.seed,
        environment=job.environment,
        device=job.device,
        cache=Path(job.cache),
        on_epoch=lambda epoch: progress(0, epoch),
    )
    return str(folder)


def fetch_weights(spec: str, backbone: str) -> str:
    """Makes sure that starting weights can be had, before any training; returns their sha256."""
    from resnet_tl.model.weights import load

    return load(spec, backbone).sha256


def export_network(checkpoint: str, destination: str, data: Prepared) -> None:
    """Writes a network that needs no other file, with one test image of each class to try it on."""
    import numpy as np
    from PIL import Image

    from resnet_tl.inference.export import export

    folder = Path(destination)
    export(Path(checkpoint), folder)
    (folder / "samples").mkdir()
    images = data.load()
    test = images.splits["test"]
    for label, name in enumerate(data.classes):
        pixels_CHW = images.pixels_NCHW[test[images.labels_N[test] == label][0]]
        if pixels_CHW.dtype != np.uint8:
            pixels_CHW = np.round(pixels_CHW * 255).astype(np.uint8)
        pixels_HWC = pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
        safe = "".join(c if c.isalnum() else "_" for c in name)
        Image.fromarray(np.ascontiguousarray(pixels_HWC)).save(folder / "samples" / f"{label}_{safe}.png")


def warm_up() -> None:
    """Loads what every job needs."""
    import resnet_tl.training.seed_run  # noqa: F401


def cuda_devices() -> int:
    """How many GPUs torch can use; without loading torch where the system has no driver for one."""
    if sys.platform == "linux" and not any(Path(name).exists() for name in GPU_FILES):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/proc/driver/nvidia")
"""What the drivers of NVIDIA, AMD and Windows' Linux leave; loading torch to find none takes 1.5 s."""
