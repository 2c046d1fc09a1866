"""What a worker does: a job in, a result out. Nothing here knows of studies, databases or MLflow."""

import contextlib
import json
import os
import signal
import threading
import warnings
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.fingerprint import Environment
from resnet_tl.result import Epoch, FitResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One seed run."""

    trial: TrialConfig
    data: Prepared
    seed: int
    environment: Environment
    device: str
    folder: str
    """Where the training state, the progress and the network of this run are kept."""


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


def _die_with_driver() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Progress:
    """Epochs of a running job, one JSON line each, for the driver to follow from any machine that shares the folder."""

    def __init__(self, folder: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._path = Path(folder) / "progress.jsonl"
        self._path.write_text("")

    def __call__(self, epoch: Epoch) -> None:
        """Adds an epoch."""
        with self._path.open("a") as stream:
            stream.write(json.dumps(asdict(epoch)) + "\n")


def read_progress(folder: Path) -> list[Epoch]:
    """The epochs that a job has finished so far; a line still being written is left for the next look."""
    try:
        text = (folder / "progress.jsonl").read_text()
    except FileNotFoundError:
        return []
    epochs = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            with contextlib.suppress(ValueError):
                epochs.append(Epoch(**json.loads(line)))
    return epochs


def run_seed(job: Job) -> FitResult:
    """Trains one network with one seed."""
    from resnet_tl.fit import fit

    warnings.filterwarnings("ignore", message="the frozen part")  # the driver says it once for the study
    return fit(
        job.trial,
        job.data,
        seed=job.seed,
        environment=job.environment,
        device=job.device,
        folder=Path(job.folder),
        on_epoch=Progress(job.folder),
    )


def run_pretrain(job: PretrainJob) -> str:
    """Makes starting weights; returns their checkpoint folder."""
    from resnet_tl.pretrain import pretrain

    folder = pretrain(
        job.trial,
        job.data,
        seed=job.seed,
        environment=job.environment,
        device=job.device,
        cache=Path(job.cache),
        on_epoch=Progress(job.folder),
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

    from resnet_tl.rebuild import export

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


def cuda_devices() -> int:
    """How many GPUs torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
