"""Measures on a GPU and writes reports/gpu.md, with the card's name.

    make bench-gpu                                        (or: python -m benchmarks.gpu)
    python -m benchmarks.gpu device=cpu small=true        tries all of it on a CPU; prints, and writes nothing

Our fine-tuning against the tuned loop of `benchmarks.peers` (bf16, channels last, images on the device, a fused
optimiser) and the same under torch.compile; frozen networks with reuse on and off; heads side by side and alone; and
the peak memory of each against what a dry run announces. Images are drawn at random, since only time is measured.
All run in one process and take turns. Exit status 2 where there is no GPU.
"""

import gc
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import ratio, shown
from resnet_tl.device import REPEATABLE_CUBLAS, num_gpus

NUM_CLASSES = 9
NO_GPU = """error: torch finds no CUDA device here, and figures of a CPU say nothing of a GPU.
To try the benchmark itself without one:  python -m benchmarks.gpu device=cpu small=true"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Which network on which images."""

    backbone: str
    side: int
    """Pixels of the square images."""
    train: int
    """Images; val and test have a quarter of them each. A multiple of the batch, so that all steps are alike."""
    batch: int
    epochs: int

    @property
    def name(self) -> str:
        """`ResNet-18, 64 pixels`."""
        return f"ResNet-{self.backbone.removeprefix('resnet')}, {self.side} pixels"


CASES = (
    Case(backbone="resnet18", side=64, train=8192, batch=128, epochs=6),
    Case(backbone="resnet50", side=224, train=2048, batch=128, epochs=4),
)
SMALL = (Case(backbone="resnet18", side=32, train=64, batch=16, epochs=2),)


@dataclass(kw_only=True)
class Bench:
    """One run of all measurements."""

    device: str
    work: Path
    repeats: int
    heads: int
    figures: dict[str, list[float]] = field(default_factory=dict)
    memory: list[list[str]] = field(default_factory=list)
    """Rows: what ran, its peak, what was announced; in GB."""
    said: list[str] = field(default_factory=list)
    """What stands below the tables."""

    def add(self, name: str, value: float) -> None:
        """Keeps one repetition of a figure."""
        self.figures.setdefault(name, []).append(value)
        print(f"{time.strftime('%H:%M:%S')}  {name}: {value:.4g}", flush=True)

    def shown(self, name: str) -> str:
        """Median and range of a figure; `/` where it could not be measured."""
        return shown(self.figures[name]) if name in self.figures else "/"

    def ratio(self, above: str, below: str) -> str:
        """How many times one figure is the other, by their medians."""
        if above not in self.figures or below not in self.figures:
            return "/"
        return ratio(statistics.median(self.figures[above]), statistics.median(self.figures[below]))

    # -- one case -----------------------------------------------------------------------------------------------------

    def measure(self, case: Case) -> None:
        """All measurements of one network on one kind of images."""
        from resnet_tl.config import DataConfig, TrialConfig
        from resnet_tl.data.prepare import prepare
        from resnet_tl.identity import Environment

        folder = self.work / f"{case.backbone}_{case.side}"
        draw(folder, case)
        data = prepare(DataConfig(source="arrays", root=str(folder)), self.work / "cache")
        trial = TrialConfig(
            backbone=case.backbone, weights=str(folder / "weights.pth"), optimizer="sgd", lr=1e-3, epochs=case.epochs,
            batch_size=case.batch, precision="bf16",
        )  # fmt: skip
        environment = Environment(device=self.device, threads=2)
        for repetition in range(self.repeats):
            self.whole(case, trial, data, environment, compiled=repetition == 0)
        for freeze in ("layer3", "all"):
            self.frozen(case, trial.model_copy(update={"freeze": freeze}), data, environment)

    def whole(self, case: Case, trial: Any, data: Any, environment: Any, *, compiled: bool) -> None:
        """Nothing frozen: images trained a second, each epoch's validation included, behind the first epoch.

        Args:
            compiled: whether torch.compile has its turn, which takes a minute.
        """
        from benchmarks import peers
        from resnet_tl.training.seed_run import fit

        self.timed(f"{case.name}/ours", case, lambda mark: fit(
            trial, data, seed=0, environment=environment, on_epoch=lambda _: mark()
        ))  # fmt: skip
        self.remember(f"{case.name}, nothing frozen", trial, data, None)
        task = peers.Task(
            name="tuned", freeze=0.0, epochs=case.epochs, data=data.folder, root="", weights=trial.weights,
            batch_size=case.batch, backbone=case.backbone, device=self.device,
        )  # fmt: skip
        table = peers.Table(task)
        images = table.decoded().to(self.device)
        self.timed(f"{case.name}/tuned", case, lambda mark: tuned(task, table, images, mark))
        if compiled:
            made = replace(task, compiled=True)
            try:
                self.timed(f"{case.name}/compiled", case, lambda mark: tuned(made, table, images, mark))
            except RuntimeError as error:  # it needs Triton and a C compiler
                self.said.append(f"{case.name}: torch.compile failed: {str(error).splitlines()[0]}")

    def timed(self, name: str, case: Case, run: Callable[[Callable[[], None]], object]) -> None:
        """Runs a fit that calls `mark` behind each epoch."""
        self.forget()
        started, ends = time.perf_counter(), []
        run(lambda: ends.append(time.perf_counter()))
        assert len(ends) == case.epochs
        self.add(f"{name}, images/s", (case.epochs - 1) * case.train / (ends[-1] - ends[0]))
        self.add(f"{name}, first epoch, s", ends[0] - started)

    def frozen(self, case: Case, trial: Any, data: Any, environment: Any) -> None:
        """Reuse on and off; where all is frozen, heads side by side and alone too."""
        from resnet_tl.training.member import Member
        from resnet_tl.training.seed_run import fit, fit_heads

        name = f"{case.name}, freeze {trial.freeze}"
        started = time.perf_counter()
        place = features_of(trial, data, environment, self.work / "cache")
        self.add(f"{name}/features, s", time.perf_counter() - started)
        results: list[Any] = []
        for _ in range(self.repeats):
            for way, features in (("off", None), ("on", place)):
                self.forget()
                started = time.perf_counter()
                results.append(fit(trial, data, seed=0, environment=environment, features=features))
                self.add(f"{name}/reuse {way}, s", time.perf_counter() - started)
        self.remember(name, trial, data, place)
        self.verdict(f"{name}: reuse on and off", [result.metrics for result in results])
        if trial.freeze != "all":
            return
        members = [
            Member(trial=trial.model_copy(update={"lr": 1e-4 * 1.01**number}), seed=number)
            for number in range(self.heads)
        ]
        for _ in range(self.repeats):
            self.forget()
            started = time.perf_counter()
            together = fit_heads(members, data, environment=environment, features=place)
            self.add(f"{name}/heads together, ms each", 1000 * (time.perf_counter() - started) / len(members))
            self.remember(f"{name}, {len(members)} heads", trial, data, place)
            started = time.perf_counter()
            (alone,) = fit_heads(members[-1:], data, environment=environment, features=place)
            self.add(f"{name}/a head alone, ms", 1000 * (time.perf_counter() - started))
            self.verdict(f"{name}: a head among {len(members)} and alone", [together[-1].metrics, alone.metrics])

    # -- memory and bits ----------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Begins to count memory anew."""
        if self.device == "cuda":
            import torch

            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def remember(self, name: str, trial: Any, data: Any, place: Any) -> None:
        """Keeps the peak since `forget` beside what a dry run announces for a worker."""
        from sweeps.planning.feature_reuse import Decision, worker_bytes

        decision = None
        if place is not None:
            decision = Decision(
                prefix=place.prefix, views=place.views, trial=trial, missing=(), seed_runs=1, passes=1, passes_once=1,
                num_bytes=1, reuse=True, why="",
            )  # fmt: skip
        announced = worker_bytes(trial, data, decision, device=self.device) / 1e9
        peak = "not measured"
        if self.device == "cuda":
            import torch

            peak = f"{torch.cuda.max_memory_reserved() / 1e9:.2f}"
        if name not in [row[0] for row in self.memory]:
            self.memory.append([name, peak, f"{announced:.2f}"])

    def verdict(self, what: str, scores: Sequence[object]) -> None:
        """Says whether results that should be the same are."""
        said = f"{what}: {'the same scores' if all(s == scores[0] for s in scores) else '**other scores**'}"
        if said not in self.said:
            self.said.append(said)

    # -- the page -----------------------------------------------------------------------------------------------------

    def page(self, cases: Sequence[Case]) -> str:
        """The report."""
        from resnet_tl.identity import version_of
        from sweeps.engine.code_version import git_commit
        from sweeps.execution.devices import hardware

        lines = [
            "# On a GPU",
            "",
            f"{hardware(self.device)}; torch {version_of('torch')}, torchvision {version_of('torchvision')}; commit "
            f"{git_commit()}, {time.strftime('%Y-%m-%d')}. Made by `make bench-gpu`.",
            "",
            "Medians with the range of the repetitions, which took turns in one process. bf16 and channels last "
            "everywhere; images are drawn at random and are on the device.",
            "",
            "Fine-tuning with nothing frozen: images trained a second with each epoch's validation, and the first "
            "epoch, in which libraries choose kernels and torch.compile compiles.",
            "",
            "| | ours, images/s | tuned loop | tuned, compiled | ours : tuned | ours : compiled | first epoch: ours, s "
            "| tuned, s | compiled, s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for case in cases:
            speeds = [f"{case.name}/{way}, images/s" for way in ("ours", "tuned", "compiled")]
            firsts = [f"{case.name}/{way}, first epoch, s" for way in ("ours", "tuned", "compiled")]
            ratios = [self.ratio(speeds[0], other) for other in speeds[1:]]
            lines.append(row([case.name, *map(self.shown, speeds), *ratios, *map(self.shown, firsts)]))
        lines += [
            "",
            "Frozen networks: seconds of one fit.",
            "",
            "| | reuse off | reuse on | off : on | features, once |",
            "| --- | --- | --- | --- | --- |",
        ]
        for case in cases:
            for freeze in ("layer3", "all"):
                name = f"{case.name}, freeze {freeze}"
                off, on = f"{name}/reuse off, s", f"{name}/reuse on, s"
                share = self.ratio(off, on)
                lines.append(row([name, self.shown(off), self.shown(on), share, self.shown(f"{name}/features, s")]))
        lines += [
            "",
            f"Heads on stored features: {self.heads} side by side, and one alone; milliseconds a head.",
            "",
            "| | together | alone | alone : together |",
            "| --- | --- | --- | --- |",
        ]
        for case in cases:
            name = f"{case.name}, freeze all"
            together, alone = f"{name}/heads together, ms each", f"{name}/a head alone, ms"
            share = self.ratio(alone, together)
            lines.append(row([case.name, self.shown(together), self.shown(alone), share]))
        lines += ["", "Memory of the device, GB: the most that torch held, and what a dry run announces.", ""]
        lines += ["| | peak | announced |", "| --- | --- | --- |", *map(row, self.memory), ""]
        return "\n".join([*lines, *(f"- {said}" for said in self.said), ""])


def row(cells: Sequence[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"


def tuned(task: Any, table: Any, images: Any, mark: Callable[[], None]) -> float:
    """The tuned loop, with kernels chosen by trial, as such loops have it."""
    import torch

    from benchmarks import peers

    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        return peers.tuned(task, table, 0, channels_last=True, images=images, on_epoch=mark)
    finally:
        torch.backends.cudnn.benchmark = before


def draw(folder: Path, case: Case) -> None:
    """Arrays of images for `data.source: arrays`, no two alike, and weights drawn at random."""
    import torch
    import torchvision

    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for split, count in (("train", case.train), ("val", case.train // 4), ("test", case.train // 4)):
        labels = np.arange(count) % NUM_CLASSES
        coarse = draws.integers(0, 200, (count, 8, 8, 3), dtype=np.uint8)
        scale = case.side // 8
        x = coarse.repeat(scale, 1).repeat(scale, 2)
        stripes = np.arange(case.side) % (2 + labels[:, None]) == 0  # the class is their distance
        np.save(folder / f"x_{split}.npy", x + 50 * stripes[:, :, None, None].astype(np.uint8))
        np.save(folder / f"y_{split}.npy", labels)
    torch.manual_seed(0)
    state = getattr(torchvision.models, case.backbone)().state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, folder / "weights.pth")


def features_of(trial: Any, data: Any, environment: Any, cache: Path) -> Any:
    """Computes and stores what a trial can reuse, as the engine does."""
    import torch

    from resnet_tl.data.views import PLAIN
    from resnet_tl.features.compute import compute
    from resnet_tl.features.key import frozen_prefix_of
    from resnet_tl.features.store import begin, finish, num_rows, stored
    from resnet_tl.model.starting_point import starting_point
    from resnet_tl.model.weights import identity

    prefix = frozen_prefix_of(trial, data, identity(trial.weights, trial.backbone), environment)
    assert prefix is not None
    start = starting_point(trial, data)
    network = start.network(trial, 0, torch.device(environment.device))
    making = begin([prefix], PLAIN, num_rows(PLAIN, data), cache)
    compute(making, start.images, network, start.normalisation, crop=data.crop, first=0, end=making.rows)
    finish(making, cache)
    return stored(prefix, (PLAIN,), cache)


def main(words: Sequence[str]) -> int:
    """Runs everything."""
    import os

    known = {"device": "cuda", "small": "false"}
    given = dict(word.partition("=")[::2] for word in words)
    if set(given) - set(known) or not {given.get("device", "cuda")} <= {"cuda", "cpu"}:
        print("error: the words are device=cuda|cpu and small=true|false", file=sys.stderr)
        return 2
    options = known | given
    device, small = options["device"], options["small"] == "true"
    if device == "cuda" and not num_gpus():
        print(NO_GPU, file=sys.stderr)
        return 2
    os.environ.setdefault(*REPEATABLE_CUBLAS)
    warnings.filterwarnings("ignore")
    import torch

    torch.zeros(1, device=device)  # the first use of a GPU takes seconds, which are nobody's
    cases = SMALL if small else CASES
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(device=device, work=Path(work), repeats=1 if small else 3, heads=8 if small else 240)
        for case in cases:
            bench.measure(case)
        page = bench.page(cases)
    print(page)
    if device == "cuda":
        Path("reports").mkdir(exist_ok=True)
        Path("reports/gpu.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
