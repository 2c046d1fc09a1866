"""What is computed once for many seed runs, and whether that pays. Decides; computes nothing.

A prefix's outputs are stored when that saves more than it costs: forward passes against passes, reading against
computing, and room on the disk. The answer changes no number, only the time.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from resnet_tl.architecture import BACKBONES, MAX_PRODUCT_PX, backbone_parameters, piece_costs, pieces
from resnet_tl.batching import EVAL_BATCH, SCORED_AT_ONCE
from resnet_tl.config import FINITE_AUGMENTATIONS, TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import View, finite_views
from resnet_tl.device import MACS_PER_S, MOST_HEADS, WORKER_BYTES
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.features.store import num_rows
from resnet_tl.freezing import is_head_only, num_frozen, num_trained
from resnet_tl.head_spec import spec_of
from resnet_tl.predictions import FULL_CLASSES

READ_PER_S = 5e8
"""Bytes a second from a disk; from memory it is ten times that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is done about one prefix."""

    prefix: FrozenPrefix
    views: tuple[View, ...]
    trial: TrialConfig
    """One that has this prefix."""
    missing: tuple[View, ...]
    """Faces of the images whose outputs are not there yet."""
    seed_runs: float
    """Expected, where trials are yet to be proposed."""
    passes: int
    """Images through the prefix without reuse: every epoch of every seed run, and the final scores."""
    passes_once: int
    """The same with reuse."""
    num_bytes: int
    """Of what is still to be stored."""
    reuse: bool
    why: str

    def describe(self) -> str:
        """One line for a dry run."""
        runs = f"{self.seed_runs:,.0f} seed run{'s' if round(self.seed_runs) != 1 else ''}"
        what = f"{self.prefix.describe()}: {runs} would send {self.passes:,} images through it"
        if not self.reuse:
            return f"{what}, and will, since {self.why}"
        if not self.missing:
            return f"{what}; what it makes of them is in the cache already"
        stored = (
            f"{self.passes_once:,} go through once and what it makes of them is stored ({size_text(self.num_bytes)})"
        )
        return f"{what}; instead {stored}, {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reuse:
    """All decisions of a study."""

    decisions: tuple[Decision, ...]

    def of(self, prefix: FrozenPrefix | None) -> Decision | None:
        """What is done about a prefix; None where nothing was decided."""
        return next((d for d in self.decisions if d.prefix == prefix), None)

    def without(self, prefix: FrozenPrefix) -> "Reuse":
        """The same, but with nothing stored of one prefix."""
        changed = (replace(d, reuse=False, why="its check failed") if d.prefix == prefix else d for d in self.decisions)
        return Reuse(decisions=tuple(changed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What the decisions depend on beside the trials."""

    device: str
    """`cpu` or `cuda`."""
    num_workers: int
    memory_bytes: int
    """For the features of heads, of this machine or of its GPUs."""
    free_bytes: int
    """Room in the cache, if all that may go went."""
    writable: bool
    """Whether something can be stored in the cache."""
    off: bool
    """Whether the user wants everything computed each time."""
    is_stored: Callable[[FrozenPrefix, View], bool]
    """Whether outputs are in the cache already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """Seed runs still to do, of one trial or of the first phase of one."""

    config: TrialConfig
    data: Prepared
    prefix: FrozenPrefix | None
    seed_runs: float
    is_scored: bool
    """Whether its network is scored at the end: a first phase is followed by another."""


def decide(runs: Iterable[Planned], conditions: Conditions) -> Reuse:
    """Decides about the prefixes of planned trials."""
    counts: dict[FrozenPrefix, list[Planned]] = {}
    for run in runs:
        if run.prefix is not None and run.seed_runs:
            counts.setdefault(run.prefix, []).append(run)
    found = [_decide(prefix, planned, conditions) for prefix, planned in counts.items()]
    # where room is short, what saves most work for each byte comes first
    found.sort(key=lambda d: -(d.passes - d.passes_once) * d.prefix.macs / max(d.num_bytes, 1))
    free = conditions.free_bytes
    decisions = []
    for decision in found:
        if decision.reuse and decision.num_bytes > free:
            why = (
                f"its outputs need {size_text(decision.num_bytes)} and the cache has room for {size_text(max(free, 0))}"
            )
            decision = replace(decision, reuse=False, why=why)
        if decision.reuse:
            free -= decision.num_bytes
        decisions.append(decision)
    return Reuse(decisions=tuple(decisions))


def _decide(prefix: FrozenPrefix, runs: Sequence[Planned], conditions: Conditions) -> Decision:
    # trials that share one are shown the same pixels in the same splits
    trial, data = runs[0].config, runs[0].data
    images = data.num_images
    # with folds each image trains all fits but two, and is val in one and test in another
    met = data.folds * images["train"] - images["test"] if data.folds else images["train"] + images["val"]
    seen: dict[View, None] = {}
    expected = 0.0
    for run in runs:
        seen |= dict.fromkeys(finite_views(run.config.augment) or ())
        final = sum(images[split] for split in data.scored) if run.is_scored else 0
        expected += run.seed_runs * (run.config.epochs * met + final)
    passes = round(expected)
    views = tuple(seen)
    missing = tuple(view for view in views if not conditions.is_stored(prefix, view))
    once = sum(num_rows(view, data) for view in missing)
    num_bytes = once * prefix.num_bytes
    compute_s = (passes - once) * prefix.macs / MACS_PER_S[conditions.device]
    read_s = passes * prefix.num_bytes / READ_PER_S
    decision = Decision(
        prefix=prefix,
        views=views,
        trial=trial,
        missing=missing,
        seed_runs=sum(run.seed_runs for run in runs),
        passes=passes,
        passes_once=once,
        num_bytes=num_bytes,
        reuse=True,
        why="",
    )
    if missing and not conditions.writable:
        return replace(decision, reuse=False, why="the cache cannot be written")
    if conditions.off:
        return replace(decision, reuse=False, why="run.reuse is off")
    if is_head_only(trial, data.channels):
        held = conditions.num_workers * sum(num_rows(view, data) for view in views) * prefix.num_bytes
        if held > MOST_OF_MEMORY * conditions.memory_bytes:
            return replace(decision, reuse=False, why=f"{size_text(held)} of them would not fit into memory")
    if passes <= once:
        return replace(decision, reuse=False, why=f"storing them would take {once:,} passes")
    if read_s > compute_s:
        return replace(decision, reuse=False, why="reading them back would take longer")
    return replace(decision, why=f"{passes / max(once, 1):,.0f} times fewer")


def why_nothing(trials: Iterable[TrialConfig], channels: int) -> str:
    """Why trials without a prefix to share have none, as the end of a sentence; each reason once."""
    return "; ".join(dict.fromkeys(_why_nothing(trial, channels) for trial in trials))


def _why_nothing(trial: TrialConfig, channels: int) -> str:
    if not num_frozen(trial, channels):
        return "nothing is frozen"
    if trial.weights == "none":
        return "the frozen part has random weights, which each seed draws anew"
    if trial.bn != "frozen_eval":
        return f"what the frozen part makes of an image changes with training (bn: {trial.bn})"
    if trial.endless_views:
        endless = ", ".join(name for name in trial.augment if name not in FINITE_AUGMENTATIONS)
        return f"no image is seen twice in the same way (augment: {endless})"
    return "the frozen part ends within the first layer"


MOST_OF_MEMORY = 0.5
"""Share of `Conditions.memory_bytes` that the features of heads may take, in all workers together."""


def size_text(num_bytes: float) -> str:
    """A number of bytes in three digits, `1.2 GB` say."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


# -- memory -----------------------------------------------------------------------------------------------------------


def worker_bytes(trial: TrialConfig, data: Prepared, decision: Decision | None, *, device: str) -> int:
    """The most memory that a worker takes for a trial, mapped files included; on a GPU of both; an upper bound."""
    return WORKER_BYTES[device] + held_bytes(trial, data, decision, device=device)


def held_bytes(trial: TrialConfig, data: Prepared, decision: Decision | None, *, device: str) -> int:
    """The part of it that grows with the trial: images, features, weights, and what a step or a scoring makes."""
    pixels = data.num_stored * data.channels * data.size[0] * data.size[1]
    total = 4 * pixels
    parameters = sum(count for _, count in backbone_parameters(trial.backbone, data.channels))
    moving = num_trained(trial, channels=data.channels, num_classes=len(data.classes))
    # weights as loaded and as trained; gradient, two optimiser states, the best epoch, and one being saved
    total += 4 * (3 * parameters + 6 * moving)
    rows = data.num_stored
    if decision is not None and decision.reuse:
        # mapped, and for heads in memory once more
        stored = sum(num_rows(view, data) for view in decision.views) * decision.prefix.num_bytes
        total += 2 * stored if is_head_only(trial, data.channels) else stored
    if is_head_only(trial, data.channels):
        features = BACKBONES[trial.backbone].num_features
        width = features + (spec_of(trial).width or 0)
        # members: parameters, gradient, optimiser, the best; a batch of features; numbers of an epoch; then scores
        most = MOST_HEADS[device]
        total += most * (4 * 6 * moving + 4 * 2 * max(trial.batch_size, 256) * width + 8 * 6 * rows)
        total += 12 * 8 * min(max(SCORED_AT_ONCE, rows * len(data.classes)), most * rows * len(data.classes))
    cut = decision.prefix.cut if decision is not None and decision.reuse else 0
    costs = piece_costs(trial.backbone, data.channels, data.input_size)
    after = list(zip(pieces(trial.backbone), costs, strict=True))[cut:]
    shapes = [cost.shape for name, cost in after if ".conv" not in name]
    maps = sum(math.prod(shape) for shape in shapes)
    # so many maps a block are kept for the backward pass of a batch, eight of them as wide as a bottleneck is inside;
    # in an evaluation three of the stem's pass by, which are four times as large as the one after its pooling
    arch = BACKBONES[trial.backbone]
    kept = 6 if arch.expansion == 1 else 4 + 8 * arch.inner_width(1) // (64 * arch.expansion)
    stem = 4 * 64 * data.input_size[0] * data.input_size[1] // 16
    total += 4 * max(kept * maps * trial.batch_size, 0 if cut else 3 * stem * EVAL_BATCH)
    # a matrix product keeps the windows of its input: nine taps of two bytes, twice a block
    small = [shape for shape in shapes if max(shape[1:], default=math.inf) <= MAX_PRODUCT_PX[trial.precision]]
    total += 36 * sum(math.prod(shape) for shape in small) * trial.batch_size
    return total


# -- disk -------------------------------------------------------------------------------------------------------------


def predictions_bytes(data: Prepared) -> int:
    """Of a seed run's predictions on the disk, which are kept whatever becomes of its network."""
    num_classes = len(data.classes)
    scored = sum(data.num_images[split] for split in data.scored)
    return scored * num_classes * (4 if num_classes <= FULL_CLASSES else 2)


def kept_bytes(trial: TrialConfig, data: Prepared, *, whole: bool = False) -> int:
    """Of a seed run's network on the disk: what moved, or all of it where nothing names its starting weights.

    Args:
        whole: all of it in any case.
    """
    whole = whole or trial.weights == "none" or not num_frozen(trial, data.channels)
    parameters = sum(count for _, count in backbone_parameters(trial.backbone, data.channels))
    return 4 * (
        max(parameters, num_trained(trial, channels=data.channels, num_classes=len(data.classes)))
        if whole
        else num_trained(trial, channels=data.channels, num_classes=len(data.classes))
    )


def state_bytes(trial: TrialConfig, data: Prepared) -> int:
    """Of a training state on the disk: what moves, as it is and as selected, and what the optimiser keeps of it."""
    of_optimizer = 2 if trial.optimizer in ("adam", "adamw") else 1 if trial.momentum else 0
    return 4 * (2 + of_optimizer) * num_trained(trial, channels=data.channels, num_classes=len(data.classes))
