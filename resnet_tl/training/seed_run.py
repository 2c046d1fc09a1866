"""Seed runs: one network fine-tuned on one data set with one seed, or several that differ in their heads alone."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from resnet_tl.config import TrialConfig, check_scored
from resnet_tl.data.prepare import Prepared
from resnet_tl.device import head_threads
from resnet_tl.features.store import Stored
from resnet_tl.freezing import is_head_only
from resnet_tl.identity import Environment
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import StartingPoint, starting_point
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.cross_validation import Train, cross_validate
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.loop import SAVE_EVERY_S, Learner, Loop, OnEpoch, OnLogits
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner
from resnet_tl.training.phased_learner import PhasedLearner


def fit(
    trial: TrialConfig,
    data: Prepared,
    *,
    seed: int,
    environment: Environment,
    device: str | None = None,
    features: Stored | None = None,
    head_features: Stored | None = None,
    start: StartingPoint | None = None,
    folder: Path | None = None,
    until: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> FitResult:
    """Trains, selects the best epoch on `val`, and scores it once on `test`; with folds once for each of them.

    On a GPU the same bits need `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment before torch is loaded, which is
    the program's to set; the command lines do.

    Args:
        trial: the configuration; `weights` is a name or a path.
        seed: decides head weights, sample order, augmentation and dropout.
        environment: device kind and threads; the same ones give the same bits.
        device: the very device, `cuda:1` say; default: the environment's.
        features: stored outputs of the frozen prefix, which change no number; None computes them as they are needed.
        head_features: the same of the whole backbone as it is loaded, for the epochs of the head alone
            (`head_epochs`).
        start: images and weights, where they are loaded already.
        folder: where to keep the training state (from which a killed run goes on) and the selected network, in
            `folder/checkpoint`; None keeps nothing. With folds only the predictions are kept.
        until: the epoch after which it pauses, if it is not at its end by then: its training state is in `folder`, and
            another call goes on from it with the same bits. Not with folds.
        on_epoch: called after every epoch, restored ones included.
        save_every_s: the least seconds between two saved states.

    Returns:
        The result; `state` is `diverged` when a loss stopped being finite, `paused` when it came to `until`.

    Raises:
        ConfigError: val has no such score as epochs are selected by.
        WeightsError: the starting weights cannot be had.
    """
    member = Member(trial=trial, seed=seed, folder=folder, until=until)

    def of_one(_: int, epoch: Epoch) -> None:
        if on_epoch is not None:
            on_epoch(epoch)

    if is_head_only(trial, data.channels):
        (result,) = fit_heads(
            [member],
            data,
            environment=environment,
            device=device,
            features=features,
            start=start,
            on_epoch=of_one,
            save_every_s=save_every_s,
        )
        return result
    check_scored(trial.monitor, data.num_classes_in("val"))
    where = device or environment.device

    def learner_of(members: Sequence[Member], start: StartingPoint) -> Learner:
        (one,) = members
        return _learner_of(one, start, environment, torch.device(where), features, head_features)

    train = _looped(learner_of, environment, save_every_s)
    with computing(device=where, threads=environment.threads):
        (result,) = _run(train, [member], start or starting_point(trial, data), of_one)
    return result


def fit_in_turn(
    members: Sequence[Member],
    data: Prepared,
    *,
    environment: Environment,
    device: str | None = None,
    features: Stored | None = None,
    head_features: Stored | None = None,
    start: StartingPoint | None = None,
    on_epoch: OnEpoch | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> list[FitResult]:
    """Trains seed runs with a common beginning, each from where one that ends before it ended.

    Each has the bits that it would have alone; its `wall_s` is what it would take alone.

    Args:
        members: of one seed, alike in `member.common_beginning`, each with a folder.
        features, head_features: see `fit`.
        on_epoch: called after every epoch of every member, those of a common beginning for each.

    Returns:
        One result for each member.
    """
    tell, where = on_epoch or _ignore, device or environment.device
    # those that patience ends come first: the others may end later
    order = sorted(range(len(members)), key=lambda n: (members[n].trial.patience or math.inf, members[n].trial.epochs))
    results: dict[int, FitResult] = {}
    with computing(device=where, threads=environment.threads):
        begun = start or starting_point(members[0].trial, data)
        for place, number in enumerate(order):
            member = members[number]
            check_scored(member.trial.monitor, data.num_classes_in("val"))
            loop = Loop(
                [member],
                _learner_of(member, begun, environment, torch.device(where), features, head_features),
                begun,
                environment=environment,
                on_epoch=lambda _, epoch, own=number: tell(own, epoch),  # type: ignore[misc]
                save_every_s=save_every_s,
                after=members[order[place - 1]] if place else None,
                is_followed=place + 1 < len(order),
            )
            (results[number],) = loop.run()
    return [results[number] for number in range(len(members))]


def fit_heads(
    members: Sequence[Member],
    data: Prepared,
    *,
    environment: Environment,
    device: str | None = None,
    features: Stored | None = None,
    start: StartingPoint | None = None,
    on_epoch: OnEpoch | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> list[FitResult]:
    """Trains heads side by side, each of whose results has the bits that it would have alone.

    Args:
        members: alike in `member.head_group`.
        features: stored outputs of the backbone; None computes them for each batch.
        start: images and weights, where they are loaded already.
        on_epoch: called after every epoch of every member, restored ones included.

    Returns:
        One result for each member; its `wall_s` is its share of the time.

    Raises:
        ConfigError: val has no such score as epochs are selected by.
        WeightsError: the starting weights cannot be had.
    """
    for member in members:
        check_scored(member.trial.monitor, data.num_classes_in("val"))
    where = device or environment.device
    with computing(device=where, threads=environment.threads):
        start = start or starting_point(members[0].trial, data)

    def learner_of(members: Sequence[Member], start: StartingPoint) -> Learner:
        return HeadsLearner(members, start, environment=environment, device=torch.device(where), features=features)

    train = _looped(learner_of, environment, save_every_s)
    with computing(device=where, threads=head_threads(environment.device, environment.threads)):
        return _run(train, members, start, on_epoch or _ignore)


def _learner_of(
    member: Member,
    start: StartingPoint,
    environment: Environment,
    device: torch.device,
    features: Stored | None,
    head_features: Stored | None,
) -> Learner:
    """Of a member that trains more than its head."""
    if not member.trial.head_epochs:
        return NetworkLearner(member, start, environment=environment, device=device, features=features)
    return PhasedLearner(
        member, start, environment=environment, device=device, features=features, head_features=head_features
    )


def _looped(
    learner_of: Callable[[Sequence[Member], StartingPoint], Learner], environment: Environment, save_every_s: float
) -> Train:
    """Trains members with a learner of their own."""

    def train(
        members: Sequence[Member], start: StartingPoint, on_epoch: OnEpoch, on_logits: OnLogits | None
    ) -> list[FitResult]:
        loop = Loop(
            members,
            learner_of(members, start),
            start,
            environment=environment,
            on_epoch=on_epoch,
            on_logits=on_logits,
            save_every_s=save_every_s,
        )
        return loop.run()

    return train


def _run(train: Train, members: Sequence[Member], start: StartingPoint, on_epoch: OnEpoch) -> list[FitResult]:
    """Trains members once, or once for each fold."""
    if start.data.folds:
        return cross_validate(train, members, start, on_epoch)
    return train(members, start, on_epoch, None)


def _ignore(_: int, __: Epoch) -> None:
    pass
