"""What workers do: a task in, a result out. Nothing here knows of studies, databases or MLflow.

Each says which files it needs and leaves, for machines that do not see them.
"""

import functools
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.synthetic import sheet_of
from resnet_tl.features.store import Making, Stored
from resnet_tl.freezing import head_phase, is_head_only
from resnet_tl.identity import Environment
from resnet_tl.model import weights
from resnet_tl.predictions import FILE as PREDICTIONS
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training import stage
from resnet_tl.training.member import Member
from sweeps.execution.downloads import while_growing
from sweeps.execution.executor import Report
from sweeps.execution.task_files import Files, Part, Workplace

if TYPE_CHECKING:
    from resnet_tl.model.starting_point import StartingPoint
    from resnet_tl.training.timing import StepTimes


@dataclass(frozen=True, kw_only=True, slots=True)
class Train:
    """Trains the network of one seed run, the heads of several side by side, or several with a common beginning."""

    runs: tuple[Member, ...]
    data: Prepared
    environment: Environment
    features: Stored | None
    """Outputs of the frozen prefix; None computes them as they are needed."""
    head_features: Stored | None = None
    """The same of the whole backbone, for a first phase that trains the head alone."""

    def phases(self) -> tuple["Train", ...]:
        """What it trains one after the other, each with the features that it needs."""
        first = head_phase(self.runs[0].trial)
        own = replace(self, head_features=None)
        if first is None:
            return (own,)
        # runs in turn have one first phase
        run = replace(self.runs[0], trial=first)
        return (replace(own, runs=(run,), features=self.head_features), own)

    def files(self) -> Files:
        """See `HasFiles`."""
        given = self.given()
        own = (
            Workplace(
                root=run.folder,
                leaves=(PREDICTIONS, "checkpoint"),
                state="state.pt",
                pauses=run.until is not None,
            )
            for run in self.runs
            if run.folder is not None
        )
        return Files(reads=given.reads, workplaces=(*given.workplaces, *own))

    def given(self) -> Files:
        """What it starts from."""
        started = _files_of_start(self.runs[0].trial, self.data)
        found = [features for features in (self.features, self.head_features) if features]
        stored = {folder: Path(folder) for features in found for folder in features.places}
        return Files(reads={**started.reads, **stored}, workplaces=started.workplaces)

    def __call__(self, device: str, report: Report) -> list[FitResult]:
        """Returns one result for each run."""
        warnings.filterwarnings("ignore", message="the frozen part")  # the driver says it once for the study
        begun = _begun(self.runs[0].trial, self.data, self.environment, device)
        if len(self.runs) > 1:
            from resnet_tl.training.seed_run import fit_heads, fit_in_turn

            if is_head_only(self.runs[0].trial, self.data.channels):
                together = fit_heads
            else:
                together = functools.partial(fit_in_turn, head_features=self.head_features)
            return together(
                self.runs,
                self.data,
                environment=self.environment,
                device=device,
                features=self.features,
                start=begun,
                on_epoch=report,
            )
        from resnet_tl.training.seed_run import fit

        (run,) = self.runs
        result = fit(
            run.trial,
            self.data,
            seed=run.seed,
            environment=self.environment,
            device=device,
            features=self.features,
            head_features=self.head_features,
            start=begun,
            folder=run.folder,
            until=run.until,
            on_epoch=lambda epoch: report(0, epoch),
        )
        return [result]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Compares training on stored features with training on computed ones."""

    train: Train

    def files(self) -> Files:
        """See `HasFiles`."""
        return self.train.given()

    def __call__(self, device: str, report: Report) -> str | None:
        """Returns what differs; None when every bit agrees."""
        from resnet_tl.training.check import compare

        warnings.filterwarnings("ignore", message="the frozen part")
        train = self.train
        assert train.features is not None
        return compare(
            train.runs,
            _begun(train.runs[0].trial, train.data, train.environment, device),
            environment=train.environment,
            device=device,
            features=train.features,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSteps:
    """Times the steps of a training, without storing anything."""

    train: Train

    def files(self) -> Files:
        """See `HasFiles`."""
        return self.train.given()

    def __call__(self, device: str, report: Report) -> "tuple[float, StepTimes]":
        """Returns the seconds in which images and weights were loaded, and the times."""
        from resnet_tl.training.timing import time_steps

        warnings.filterwarnings("ignore", message="the frozen part")
        train, begun = self.train, time.perf_counter()
        start = _begun(train.runs[0].trial, train.data, train.environment, device)
        load_s = time.perf_counter() - begun
        return load_s, time_steps(train.runs, start, environment=train.environment, device=device)


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeFeatures:
    """Fills a part of the stored outputs of a frozen prefix."""

    trial: TrialConfig
    """Whose backbone is frozen at least up to the last cut."""
    making: Making
    data: Prepared
    environment: Environment
    first: int
    end: int
    """Rows to fill."""

    def files(self) -> Files:
        """See `HasFiles`."""
        started = _files_of_start(self.trial, self.data)
        parts = (
            Workplace(
                root=Path(folder),
                parts=(
                    Part(
                        name="outputs.bin",
                        num_bytes=self.making.rows * prefix.num_bytes,
                        first=self.first * prefix.num_bytes,
                        end=self.end * prefix.num_bytes,
                    ),
                ),
            )
            for prefix, folder in zip(self.making.prefixes, self.making.folders, strict=True)
        )
        return Files(reads=started.reads, workplaces=(*started.workplaces, *parts))

    def __call__(self, device: str, report: Report) -> int:
        """Returns how many images passed through the prefix."""
        import torch

        from resnet_tl.features.compute import compute

        begun = _begun(self.trial, self.data, self.environment, device)
        network = begun.network(self.trial, 0, torch.device(device))
        return compute(
            self.making,
            begun.images,
            network,
            begun.normalisation,
            crop=self.data.crop,
            first=self.first,
            end=self.end,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretrain:
    """Makes the starting weights of a pretrain stage."""

    trial: TrialConfig
    data: Prepared
    seed: int
    environment: Environment
    cache: Path

    def files(self) -> Files:
        """See `HasFiles`."""
        made = stage.place(stage.stage_fingerprint(self.trial, self.data, self.seed, self.environment), self.cache)
        own = Workplace(
            root=self.cache,
            inside=str(made.parent.relative_to(self.cache)),
            leaves=(stage.HISTORY, made.name),
            state="work/state.pt",
            is_shared=True,
        )
        started = _files_of_start(self.trial, self.data)
        return Files(reads=started.reads, workplaces=(*started.workplaces, own))

    def __call__(self, device: str, report: Report) -> Path:
        """Returns their checkpoint folder."""
        from resnet_tl.model.runtime import own_process
        from resnet_tl.training.pretraining import pretrain

        own_process()
        return pretrain(
            self.trial,
            self.data,
            seed=self.seed,
            environment=self.environment,
            device=device,
            cache=self.cache,
            on_epoch=lambda epoch: report(0, epoch),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate:
    """Makes the generated images of a data set."""

    data: Prepared

    def files(self) -> Files:
        """See `HasFiles`."""
        return _files_of_data(self.data)

    def __call__(self, device: str, report: Report) -> None:
        """Returns nothing; the images are there."""
        from resnet_tl.model.runtime import own_process
        from resnet_tl.training.generating import make_generated

        def tell(step: int, loss: float) -> None:
            report(0, Epoch(epoch=step, lr=0.0, metrics={"loss": loss}, wall_s=0.0))

        own_process()
        make_generated(self.data, device=device, on_step=tell)


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchWeights:
    """Makes sure that starting weights can be had, before any training."""

    weights: str
    backbone: str

    def files(self) -> Files:
        """See `HasFiles`."""
        return Files(reads=weights.files_of(self.weights, self.backbone))

    def __call__(self, device: str, report: Report) -> tuple[str, ...]:
        """Returns what the user may not expect of them."""
        import torch

        with while_growing(Path(torch.hub.get_dir()) / "checkpoints"):  # where torchvision puts what it downloads
            return weights.load(self.weights, self.backbone).said


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """Writes a network that needs no other file, with one test image of each class that has any, to try it on."""

    checkpoint: Path
    destination: Path
    data: Prepared

    def files(self) -> Files:
        """See `HasFiles`."""
        reads = weights.files_of(str(self.checkpoint), weights.backbone_of(self.checkpoint))
        place = Workplace(root=self.destination.parent, leaves=(self.destination.name,))
        started = _files_of_data(self.data)
        return Files(reads={**reads, **started.reads}, workplaces=(*started.workplaces, place))

    def __call__(self, device: str, report: Report) -> None:
        """Returns nothing; the folder is there, whole."""
        import numpy as np
        from PIL import Image

        from resnet_tl.inference.export import export

        export(self.checkpoint, self.destination)
        (self.destination / "samples").mkdir()
        images = self.data.load()
        test = images.splits["test"]
        for label, name in enumerate(self.data.classes):
            of_class = test[images.labels_N[test] == label]
            if not len(of_class):
                continue
            pixels_CHW = images.pixels_NCHW[of_class[0]]
            if pixels_CHW.dtype != np.uint8:
                pixels_CHW = np.round(pixels_CHW * 255).astype(np.uint8)
            pixels_HWC = pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
            safe = "".join(c if c.isalnum() else "_" for c in name)[:40]  # a file's name has 255 bytes at most
            place = self.destination / "samples" / f"{label}_{safe}.png"
            Image.fromarray(np.ascontiguousarray(pixels_HWC)).save(place)


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """Loads what every task needs."""

    def __call__(self, device: str, report: Report) -> None:
        """Returns nothing."""
        import resnet_tl.training.seed_run  # noqa: F401


def _files_of_start(trial: TrialConfig, data: Prepared) -> Files:
    """Images and weights; see `_begun`."""
    of_data = _files_of_data(data)
    return Files(
        reads={**of_data.reads, **weights.files_of(trial.weights, trial.backbone)}, workplaces=of_data.workplaces
    )


def _files_of_data(data: Prepared) -> Files:
    """Images, or what they are to be made of."""
    # the draws of all seeds: images are kept for the next task, which has another one
    paths = [data.names_file, *(path for _, path in data.draws)]
    if data.is_made:
        return Files(reads={path: Path(path) for path in (data.folder, *paths)})
    made = data.generated
    assert made is not None, "real images are made when they are prepared"
    place = Workplace(root=Path(data.folder), leaves=("images.npy", sheet_of(data).name, "data.json"), is_shared=True)
    paths += [made.real.folder, made.real.names_file]
    return Files(reads={path: Path(path) for path in paths}, workplaces=(place,))


_loaded: "list[tuple[object, StartingPoint]]" = []


def _begun(trial: TrialConfig, data: Prepared, environment: Environment, device: str) -> "StartingPoint":
    """Images and weights of a task; those of the last one are kept, since the next one mostly needs the same."""
    from resnet_tl.model.runtime import computing, own_process
    from resnet_tl.model.starting_point import starting_point

    own_process()
    of_trial = (trial.backbone, trial.weights, trial.first_layer, trial.criterion)
    name = (data.fingerprint, data.folder, *of_trial, environment)
    if not data.is_made:  # of a size that nobody could know of before a sampler proposed it
        from resnet_tl.training.generating import make_generated

        make_generated(data, device=device)
    if not _loaded or _loaded[0][0] != name:
        with computing(device=environment.device, threads=environment.threads):
            _loaded[:] = [(name, starting_point(trial, data))]
    return _loaded[0][1]
