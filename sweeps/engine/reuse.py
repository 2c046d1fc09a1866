"""What is computed once for many seed runs, and whether that pays. Decides; computes nothing.

A front's outputs are stored when that saves more than it costs: forward passes against passes, reading against
computing, and room on the disk. The answer changes no number, only the time.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_tl.architecture import BACKBONES, MAX_PRODUCT_PX, backbone_parameters, piece_costs, pieces
from resnet_tl.batching import EVAL_BATCH, SCORED_AT_ONCE
from resnet_tl.cache import hold, room
from resnet_tl.config import FINITE_AUGMENTATIONS, TrialConfig
from resnet_tl.data.views import View, finite_views
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.features.store import num_rows
from resnet_tl.freezing import is_head_only
from resnet_tl.head_spec import spec_of
from sweeps.engine.batch import MOST_HEADS
from sweeps.engine.session import Session

MACS_PER_S = {"cpu": 1e11, "cuda": 5e12}
"""Of one worker. A ResNet-18 at 64 pixels, 149 million a forward pass, ran 460 to 970 images a second with one thread
of a CPU; the figure for GPUs is a guess, on the low side of what they are sold for."""
READ_PER_S = 5e8
"""Bytes a second from a disk; from memory it is ten times that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is done about one front."""

    front: FrozenPrefix
    views: tuple[View, ...]
    trial: TrialConfig
    """One that has this front."""
    missing: tuple[View, ...]
    """Faces of the images whose outputs are not there yet."""
    seed_runs: float
    """Expected, where trials are yet to be proposed."""
    passes: int
    """Images through the front without reuse: every epoch of every seed run, and the final scores."""
    passes_once: int
    """The same with reuse."""
    num_bytes: int
    """Of what is still to be stored."""
    reuse: bool
    why: str

    def describe(self) -> str:
        """One line for a dry run."""
        what = f"{self.front.describe()}: {self.seed_runs:.3g} seed runs need {self.passes:,} passes through it"
        if not self.reuse:
            return f"{what}; computed each time, since {self.why}"
        if not self.missing:
            return f"{what}; all outputs are in the cache"
        return f"{what}; stored after {self.passes_once:,}, {_size(self.num_bytes)}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reuse:
    """All decisions of a study."""

    decisions: tuple[Decision, ...]

    def of(self, front: FrozenPrefix | None) -> Decision | None:
        """What is done about a front; None where nothing was decided."""
        return next((d for d in self.decisions if d.front == front), None)

    def without(self, front: FrozenPrefix) -> "Reuse":
        """The same, but with nothing stored of one front."""
        changed = (replace(d, reuse=False, why="its check failed") if d.front == front else d for d in self.decisions)
        return Reuse(decisions=tuple(changed))


def decide(session: Session, runs: Iterable[tuple[TrialConfig, float]]) -> Reuse:
    """Decides about the fronts of planned trials.

    Args:
        runs: configurations, each with its number of seed runs still to do.
    """
    counts: dict[FrozenPrefix, list[tuple[TrialConfig, float]]] = {}
    for config, seed_runs in runs:
        front = session.front(config)
        if front is not None and seed_runs:
            counts.setdefault(front, []).append((config, seed_runs))
    # neither the images of this study nor what is stored of them already is to make room for more
    with hold([Path(session.data.folder), *present(session, counts)]):
        free = room(session.cache, session.definition.run.cache_gb)
    found = [_decide(session, front, trials) for front, trials in counts.items()]
    # where room is short, what saves most work for each byte comes first
    found.sort(key=lambda d: -(d.passes - d.passes_once) * d.front.macs / max(d.num_bytes, 1))
    decisions = []
    for decision in found:
        if decision.reuse and decision.num_bytes > free:
            why = f"its outputs need {_size(decision.num_bytes)} and the cache has room for {_size(max(free, 0))}"
            decision = replace(decision, reuse=False, why=why)
        if decision.reuse:
            free -= decision.num_bytes
        decisions.append(decision)
    return Reuse(decisions=tuple(decisions))


def planned(session: Session, todo: Iterable[tuple[TrialConfig, int]], to_ask: int) -> list[tuple[TrialConfig, float]]:
    """Configurations with their seed runs still to do; of trials that are yet to be proposed, an even share for each
    kind that the space shows.

    Args:
        todo: of the trials that are known.
        to_ask: trials that a sampler has yet to propose.
    """
    runs: list[tuple[TrialConfig, float]] = list(todo)
    if to_ask:
        probes = [session.definition.trial(params) for params in session.definition.space.probes()]
        share = to_ask * len(session.study.seeds) / len(probes)
        runs += [(config, share) for config in probes]
    return runs


def _decide(session: Session, front: FrozenPrefix, trials: Sequence[tuple[TrialConfig, float]]) -> Decision:
    images = session.data.num_images
    seen: dict[View, None] = {}
    expected = 0.0
    for config, seed_runs in trials:
        seen |= dict.fromkeys(finite_views(config.augment) or ())
        final = images["val"] + images["test"]
        expected += seed_runs * (config.epochs * (images["train"] + images["val"]) + final)
    passes = round(expected)
    views = tuple(seen)
    missing = tuple(view for view in views if not _there(front, view, session.cache))
    once = sum(num_rows(view, images) for view in missing)
    num_bytes = once * front.num_bytes
    compute_s = (passes - once) * front.macs / MACS_PER_S[session.environment.device]
    read_s = passes * front.num_bytes / READ_PER_S
    decision = Decision(
        front=front,
        views=views,
        trial=trials[0][0],
        missing=missing,
        seed_runs=sum(seed_runs for _, seed_runs in trials),
        passes=passes,
        passes_once=once,
        num_bytes=num_bytes,
        reuse=True,
        why="",
    )
    if missing and session.cache.exists() and not os.access(session.cache, os.W_OK):
        return replace(decision, reuse=False, why=f"the cache {session.cache} cannot be written")
    if session.definition.run.reuse == "off":
        return replace(decision, reuse=False, why="run.reuse is off")
    if is_head_only(trials[0][0], session.data.channels):
        held = session.num_workers() * sum(num_rows(view, images) for view in views) * front.num_bytes
        if held > MOST_OF_MEMORY * memory_bytes():
            return replace(decision, reuse=False, why=f"{_size(held)} of them would not fit into memory")
    if passes <= once:
        return replace(decision, reuse=False, why=f"storing them would take {once:,} passes")
    if read_s > compute_s:
        return replace(decision, reuse=False, why="reading them back would take longer")
    return replace(decision, why=f"{passes / max(once, 1):,.0f} times fewer passes")


def present(session: Session, fronts: Iterable[FrozenPrefix]) -> list[Path]:
    """Folders of what is stored of fronts already."""
    found = [folder for front in fronts for folder in sorted(_folders(session, front)) if folder.exists()]
    return list(dict.fromkeys(found))


def _folders(session: Session, front: FrozenPrefix) -> set[Path]:
    return {front.folder(view, session.cache) for view in finite_views(FINITE_AUGMENTATIONS) or ()}


MOST_OF_MEMORY = 0.5
"""Share of the machine's memory that the features of heads may take, in all workers together."""


def memory_bytes() -> int:
    """Of this machine."""
    if not hasattr(os, "sysconf"):  # Windows
        return 1 << 40
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _there(front: FrozenPrefix, view: View, cache: Path) -> bool:
    return (front.folder(view, cache) / "features.json").exists()


def _size(num_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


# -- memory -----------------------------------------------------------------------------------------------------------

WORKER_BYTES = 900_000_000
"""Of a worker with torch and torchvision loaded and a batch of a ResNet-18 at 64 pixels; measured, rounded up."""


def worker_bytes(session: Session, trial: TrialConfig, decision: Decision | None) -> int:
    """The most memory that a worker takes for a trial, mapped files included; an upper bound."""
    data = session.data
    pixels = sum(data.num_images.values()) * data.channels * data.size[0] * data.size[1]
    total = WORKER_BYTES + 4 * pixels
    parameters = sum(count for _, count in backbone_parameters(trial.backbone, data.channels))
    moving = session.num_trainable(trial)
    # weights as loaded and as trained; gradient, two optimiser states, the best epoch, and one being saved
    total += 4 * (3 * parameters + 6 * moving)
    rows = sum(data.num_images.values())
    if decision is not None and decision.reuse:
        # mapped, and for heads in memory once more
        stored = sum(num_rows(view, data.num_images) for view in decision.views) * decision.front.num_bytes
        total += 2 * stored if is_head_only(trial, data.channels) else stored
    if is_head_only(trial, data.channels):
        features = BACKBONES[trial.backbone].num_features
        width = features + (spec_of(trial).width or 0)
        # members: parameters, gradient, optimiser, the best; a batch of features; numbers of an epoch; then scores
        most = MOST_HEADS[session.environment.device]
        total += most * (4 * 6 * moving + 4 * 2 * max(trial.batch_size, 256) * width + 8 * 6 * rows)
        total += 12 * 8 * min(max(SCORED_AT_ONCE, 2 * rows * len(data.classes)), most * rows * len(data.classes))
    cut = decision.front.cut if decision is not None and decision.reuse else 0
    costs = piece_costs(trial.backbone, data.channels, data.input_size)
    after = list(zip(pieces(trial.backbone), costs, strict=True))[cut:]
    shapes = [cost.shape for name, cost in after if ".conv" not in name]
    maps = sum(math.prod(shape) for shape in shapes)
    # six maps a block are kept for the backward pass of a batch; in an evaluation three of the stem's pass by, which
    # are four times as large as the one after its pooling
    stem = 4 * 64 * data.input_size[0] * data.input_size[1] // 16
    total += 4 * max(6 * maps * trial.batch_size, 0 if cut else 3 * stem * EVAL_BATCH)
    # a matrix product keeps the windows of its input: nine taps of two bytes, twice a block
    small = [shape for shape in shapes if max(shape[1:], default=math.inf) <= MAX_PRODUCT_PX[trial.precision]]
    total += 36 * sum(math.prod(shape) for shape in small) * trial.batch_size
    return total
