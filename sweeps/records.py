"""What is known of a study, its trials and its seed runs: the nouns that planning, storage, tracking and reports share.

Typed from the ledger's edge on: no other module reads these things by string keys.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from resnet_tl.config import TrialConfig
from resnet_tl.result import Epoch

NAMING = 2
"""Which rule named the trials of a study. 1 named every option; 2 leaves out those that stand at their default or have
no effect, so that a new option renames nothing. Studies of another rule are read and reported, but cannot go on."""


ASK_AHEAD = 4
"""A Bayesian proposal, and all else that is decided while such a search goes on, hangs on all trials but the last three
before it, so that four can run at once. A constant, not the number of workers, since it decides what is tried."""

OWN_MEMBERS = ("bagging", "boosting")
"""Methods that train members of their own, as the seeds of a study `NAME/METHOD`."""


def folder_of_study(name: str) -> str:
    """A study's name as that of a file or folder; members of an ensemble are a study `NAME/METHOD`."""
    return name.replace("/", "+")


class RunState(StrEnum):
    """How a seed run ended."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    """A loss or an output stopped being finite: a result."""
    PRUNED = "pruned"
    """It was stopped before its last epoch because it could hardly win: a result, until the study wants it whole."""
    PAUSED = "paused"
    """It has come to a rung and waits for what is decided there: no result, and shown nowhere."""
    FAILED = "failed"
    """It ended in an error, and is tried again at the next start."""
    CANCELLED = "cancelled"
    """It was stopped from outside before it ended; it goes on at the next start."""

    @property
    def is_result(self) -> bool:
        """Whether the seed run is done, and not to be run again."""
        return self in (RunState.COMPLETE, RunState.DIVERGED, RunState.PRUNED)


class Cause(StrEnum):
    """Why a seed run failed; what is done then stands in `sweeps.engine.failures`."""

    OUT_OF_MEMORY = "out of memory"
    BAD_DATA = "bad data"
    WORKER_LOST = "worker lost"
    """Its process ended without an answer: killed, crashed, or with its machine."""
    HUNG = "hung"
    """It showed no sign of life and was ended."""
    ERROR = "error"
    """Any other, with its traceback."""


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def seed_runs_told(searched: int, fresh: int) -> str:
    """`18 seed runs and 6 on fresh seeds`."""
    return f"{count(searched, 'seed run')}{f' and {fresh} on fresh seeds' if fresh else ''}"


def progress_told(done: int, total: int, *, fresh_done: int, fresh: int) -> str:
    """How many seed runs are done, those on fresh seeds apart: `18 of 18 seed runs and 2 of 6 on fresh seeds`.

    Args:
        done: of the search.
        total: of the search.
        fresh_done: of the confirmation.
        fresh: of the confirmation; 0 where nothing is confirmed.
    """
    said = f"{done} of {total} seed runs"
    return f"{said} and {fresh_done} of {fresh} on fresh seeds" if fresh else said


class TrialState(StrEnum):
    """What the seed runs of a trial amount to."""

    PLANNED = "planned"
    """None of them has ended."""
    INCOMPLETE = "incomplete"
    """Some have, and all of these are complete."""
    COMPLETE = "complete"
    DIVERGED = "diverged"
    FAILED = "failed"
    PRUNED = "pruned"


def state_of_trial(states: Iterable[RunState | str], num_planned: int) -> TrialState:
    """The state of a trial: the worst that happened to its seed runs, or how many there are.

    Args:
        states: of its seed runs that have ended.
        num_planned: seeds of the study.
    """
    ended = Counter(map(str, states))
    if not ended:
        return TrialState.PLANNED
    for bad in (RunState.FAILED, RunState.DIVERGED, RunState.PRUNED):
        if bad in ended:
            return TrialState(bad.value)
    whole = ended[RunState.COMPLETE] >= num_planned
    return TrialState.COMPLETE if whole else TrialState.INCOMPLETE


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRecord:
    """The images of a study, by name and number."""

    source: str
    options: Mapping[str, Any]
    """`data.*` as given, without the place of the images and without options at their default."""
    classes: tuple[str, ...]
    num_images: Mapping[str, int]
    """Images in each split."""
    test_name: str
    """Names the test images: scores on the same ones may be compared."""
    images_name: str
    """Names all images with their splits."""
    presentation_name: str
    """Names how they are presented: size, crop, channels, balance."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Broken images that were left out, with the reason."""
    num_contradicting: int = 0
    """Images whose very pixels stand in another class too."""
    num_leaked: int = 0
    """Images of val and test that are exact duplicates of training images."""
    notes: tuple[str, ...] = ()
    """What was decided while reading the images that a reader may not expect: one sentence each."""
    cut: str = ""
    """How val and test were cut off train; empty where the data states both, or it was not noted."""
    shifted: Mapping[str, str] = field(default_factory=dict)
    """Sets under other conditions, each a split beside test, with a name of their images."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Images of each class in each split; empty in studies of versions that did not note it."""
    channels: int | None = None
    """C of the images as networks get them; None in studies of versions that did not note it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentRecord:
    """What of the machine and the code changes the bits of a result."""

    numerics: int
    torch: str
    torchvision: str
    device: Literal["cpu", "cuda"]
    threads: int
    """CPU threads per fit."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Sources, heads, metrics and backbones that other distributions brought, each with what names its code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """A pretrain stage, as given, and what it came to."""

    trial: Mapping[str, Any]
    seed: int
    data: Mapping[str, Any]
    num_train: int | None = None
    """Images that it learns from; None where no trial starts from it, or the version that ran noted none."""
    monitor: str = "val/accuracy"
    """By what its epoch is selected."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Value of `monitor` of the network of each depth; empty before it is trained."""
    num_classes: int | None = None
    """Of its images; None where `num_train` is, or where the version that ran noted none."""
    best_epochs: Mapping[str, int] = field(default_factory=dict)
    """The selected epoch of each depth; empty before it is trained, or where the version that ran noted none."""
    wall_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of training of each depth, wherever that was; lacks those trained by a version that noted none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmRecord:
    """Which trials are run again, and on which seeds."""

    top: int
    seeds: tuple[int, ...]

    def num_runs(self, *, planned: int, scored: int, has_ended: bool) -> int:
        """Seed runs on fresh seeds in all.

        Args:
            planned: trials of the search.
            scored: those that have a value; one that diverged is not run again.
            has_ended: whether the search has, so that it is known which do.
        """
        return min(self.top, scored if has_ended else planned) * len(self.seeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """One study as it last ran: what decides its numbers, and what reports say about it."""

    name: str
    created: str
    """ISO time, UTC."""
    naming: int
    """See `NAMING`."""
    question: str
    about: str
    hypotheses: tuple[Any, ...]
    """As written in the study file."""
    hypotheses_changed: str | None
    """Day on which they were last changed when seed runs had been seen already."""
    method: str
    metric: str
    direction: Literal["maximize", "minimize"]
    seeds: tuple[int, ...]
    space: Mapping[str, Any]
    """The search space, as written."""
    base: Mapping[str, Any]
    """The `trial:` block, as written."""
    base_weights: str | None
    """Names the content of the starting weights, where all trials share them."""
    pretrain: Mapping[str, StageRecord]
    data: DataRecord
    environment: EnvironmentRecord
    tables: tuple[Any, ...]
    """As written in the study file."""
    figures: tuple[Any, ...]
    confirm: ConfirmRecord | None
    num_trials: int
    """Planned in all."""
    command: str
    """As the user gave it."""
    out: str
    """`run.out`, relative to where the command was given."""
    coinciding: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = ()
    """Points of the space that mean the same network as another one: what was left out, and what was run for it."""
    hardware: tuple[str, ...] = ()
    """What it ran on: a sentence for each machine."""
    invalid: Mapping[int, int] = field(default_factory=dict)
    """Points that the sampler met on its way to a trial and that are no valid trials, by the trial's number."""
    pruner: tuple[Mapping[str, Any], ...] = ()
    """Its rules, each with all its options; empty where every trial gets every seed."""
    ended: str = ""
    """Why the search ended before all trials that it was to try; empty where it did not."""
    folds: int = 0
    """Into which each seed cut all images, for a fit with each; 0: the splits were the same for all seeds."""
    aims: tuple[str, ...] = ()
    """What it aims at beside its metric."""


_STUDY = TypeAdapter(StudyRecord)


def study_to_json(record: StudyRecord) -> dict[str, Any]:
    """A record as JSON content."""
    content: dict[str, Any] = _STUDY.dump_python(record, mode="json")
    return content


def study_from_json(content: Mapping[str, Any]) -> StudyRecord:
    """A record from JSON content.

    Args:
        content: from `study_to_json`, of this version or an older one.

    Raises:
        ValueError: it is no record of a study.
    """
    if "naming" not in content and "identity" in content:
        content = of_first_version(content)
    content = dict(content)
    if isinstance(rule := content.get("pruner", ()), Mapping) or rule is None:  # as it was while there was one at most
        content["pruner"] = [rule] if rule else []
    try:
        return _STUDY.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"it is no record of a study: {place} {first['msg'].lower()}") from None


def of_first_version(row: Mapping[str, Any]) -> dict[str, Any]:
    """What version 0.1.0 stored of a study, as `study_from_json` reads it."""
    identity, description = row["identity"], row["description"]
    data = dict(identity["data"])
    name = data.pop("fingerprint")
    classes, images, source = data.pop("classes"), data.pop("images"), data["source"]
    environment = dict(identity["environment"])
    return {
        "name": row["name"],
        "created": row["created"],
        "naming": 1,
        "question": description["question"],
        "about": description.get("about") or "",
        "hypotheses": description.get("hypotheses") or [],
        "hypotheses_changed": description.get("hypotheses_changed"),
        "method": identity["method"],
        "metric": identity["metric"],
        "direction": identity["direction"],
        "seeds": identity["seeds"],
        "space": identity["space"],
        "base": identity["trial"],
        "base_weights": environment.pop("weights", None),
        "pretrain": identity.get("pretrain") or {},
        "data": {
            "source": source,
            "options": {key: value for key, value in data.items() if value is not None},
            "classes": classes,
            "num_images": images,
            # that version had one name for all three
            "test_name": name,
            "images_name": name,
            "presentation_name": name,
            "skipped": description.get("skipped") or {},
            "num_contradicting": description.get("num_contradicting") or 0,
            "num_leaked": description.get("num_leaked") or 0,
        },
        "environment": environment,
        "tables": description.get("tables") or [],
        "figures": description.get("figures") or [],
        "confirm": description.get("confirm"),
        "num_trials": description.get("trials") or 0,
        "command": description.get("command") or "",
        "out": description.get("out") or ".",
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """When, and by which rule of the pruner, a trial was stopped."""

    by: Literal["rungs", "race"]
    seeds: int
    """How many of the planned seeds it has had."""
    epoch: int | None = None
    """The rung after which it was stopped; None where a race did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One point of a study's space, with its stable number."""

    number: int
    params: Mapping[str, Any]
    """Parameters of the space, those that exist at this point."""
    config: TrialConfig
    fingerprint: str
    state: TrialState = field(default=TrialState.PLANNED, compare=False)
    """What the ledger's seed runs amounted to when this was read."""
    stop: Stop | None = field(default=None, compare=False)
    """Of one that was stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRun:
    """One seed run that has ended."""

    study: str
    fingerprint: str
    seed: int
    state: RunState
    max_epoch: int
    best_epoch: int | None
    metrics: Mapping[str, float]
    """`split/name`; fractions."""
    wall_s: float
    reason: str | None
    """Why it diverged or failed."""
    started: str
    finished: str
    """ISO times, UTC."""
    commit: str | None
    """git commit of the code that ran, where there is one."""
    reused_from: str | None = None
    """The study whose result this is, if it was not run for this one."""
    network: str | None = None
    """Folder of the selected network, relative to `run.out`; None where none was kept."""
    tracked: bool = False
    """Whether the tracker has all of it."""
    cause: Cause | None = None
    """Why it failed; None where it did not, or where the version that ran noted none."""
    repeated_s: float = 0.0
    """Seconds of its earlier tries, which ended in an error."""
    history: tuple[Epoch, ...] | None = None
    """The learning curve; None where it was not asked for."""
    compact: Mapping[str, bytes] | None = None
    """By split, for each image whether it was right and the probability of its class; see `resnet_tl.predictions`. None
    where it was not asked for, or where the version that ran kept none."""
    confusion: Mapping[str, list[list[int]]] | None = None
    reliability: list[list[float]] | None = None
    """Both of versions that kept no predictions; see `resnet_tl.predictions` for what they are derived from since."""

    @property
    def owns_network(self) -> bool:
        """Whether our own store is to have its network; those of older versions are the tracker's, `runs:/…`."""
        return self.network is not None and not self.network.startswith("runs:/")


def cause_told(run: SeedRun) -> str:
    """` (out of memory)`, to stand behind the state of a seed run; empty where the reason says it all."""
    return f" ({run.cause})" if run.cause not in (None, Cause.ERROR) else ""


def mean_curve(runs: Sequence[SeedRun], metric: str) -> dict[int, float]:
    """A metric by epoch, mean over the seed runs of a trial, for the epochs that all of them have.

    Args:
        runs: with their learning curves.
    """
    curves = [{epoch.epoch: epoch.metrics.get(metric) for epoch in run.history or ()} for run in runs]
    found: dict[int, float] = {}
    for epoch in curves[0] if curves else ():
        values = [value for curve in curves if (value := curve.get(epoch)) is not None and math.isfinite(value)]
        if len(values) == len(curves):
            found[epoch] = math.fsum(values) / len(values)
    return found
