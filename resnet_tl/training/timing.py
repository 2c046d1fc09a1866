"""How long the steps of a training take on this machine: a few are made, on real images, and nothing is kept.

Axes: B images of a batch, M members.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor

from resnet_tl.data.batches import cut_batches, epoch_order
from resnet_tl.device import autocast, head_threads, wait_for
from resnet_tl.features.head_inputs import Computed, Run, Step
from resnet_tl.freezing import is_head_only
from resnet_tl.heartbeat import beat
from resnet_tl.identity import Environment
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner

FEWEST = 2
STEPS = 5
"""That are timed, behind one that is not: it asks for memory and chooses kernels."""
LEAST_S, MOST_S = 0.2, 3.0
"""Steps are timed for at least as long, and at least `STEPS` of them; where that takes longer than the most, fewer are
enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTimes:
    """Seconds on one worker."""

    begin_s: float
    """To build the network."""
    inputs_s: float
    """To make one training batch: augmentation, and the frozen prefix where its outputs are not stored."""
    step_s: float
    """To train on it; of heads side by side, all together."""
    scored_s: float
    """To score as many images, once they are what the trained part takes."""
    batch: int
    """Images of it."""
    num_steps: int
    """Of an epoch."""


def time_steps(members: Sequence[Member], start: StartingPoint, *, environment: Environment, device: str) -> StepTimes:
    """Times the steps of one seed run, or of heads that are trained side by side.

    Args:
        members: alike in `member.head_group` where there are several.
        device: the very device, `cuda:1` say.
    """
    where, first = torch.device(device), members[0]
    order = epoch_order(start.images, balanced=start.data.balanced, seed=first.seed, epoch=1)
    num_steps = len(cut_batches(order, first.trial.batch_size))

    def wait() -> None:
        wait_for(device)

    with computing(device=device, threads=environment.threads):
        begun = time.perf_counter()
        if not is_head_only(first.trial, start.data.channels):
            learner = NetworkLearner(first, start, environment=environment, device=where, features=None)
            begin_s = time.perf_counter() - begun
            network = learner.network
            inputs_s, batches = _first(lambda: learner.inputs.train(first.seed, 1), wait)
            network.train()
            step_s = _median_s(lambda number: learner.step(batches[number % len(batches)], 1), wait)
            network.eval()

            def score(number: int) -> Tensor:
                with torch.inference_mode(), autocast(where, first.trial.precision):
                    return class_logits(network.tail(batches[number % len(batches)].inputs_B))

            scored_s = _median_s(score, wait)
            return StepTimes(
                begin_s=begin_s, inputs_s=inputs_s, step_s=step_s, scored_s=scored_s,
                batch=len(batches[0].samples_B), num_steps=num_steps,
            )  # fmt: skip
        network = start.network(first.trial, first.seed, where)
        inputs = Computed(start, [(first.trial, first.seed)], where, threads=environment.threads, network=network)
        inputs_s, single = _first(lambda: inputs.train([(0, first.seed, 1)]), wait)
    with computing(device=device, threads=head_threads(environment.device, environment.threads)):
        begun = time.perf_counter()
        heads = HeadsLearner(
            members, start, environment=environment, device=where, features=None, inputs=_Again(single)
        )
        begin_s = time.perf_counter() - begun
        every = range(len(members))
        step_s = _median_s(lambda _: heads.train_steps(dict.fromkeys(every, 1), 1), wait)
        scored_s = _median_s(lambda _: heads.logits("val", every), wait)
    batch = single[0].samples_MB.shape[1]
    return StepTimes(
        begin_s=begin_s, inputs_s=inputs_s, step_s=step_s, scored_s=scored_s, batch=batch, num_steps=num_steps
    )


class _Again:
    """The same few batches, for every head the same ones; `HeadInputs`."""

    shared = True

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def train(self, runs: Sequence[Run]) -> Iterator[Step]:
        many = len(runs)
        for step in self._steps:
            yield Step(
                step.features_MBF.expand(many, -1, -1).contiguous(),
                step.targets_MBK.expand(many, -1, -1).contiguous(),
                step.samples_MB.repeat(many, 0),
            )

    def evaluate(self, member: int, split: str) -> Iterator[Tensor]:
        yield self._steps[0].features_MBF[0]


Made = TypeVar("Made")


def _first(epoch: Callable[[], Iterator[Made]], wait: Callable[[], None]) -> tuple[float, list[Made]]:
    """The median seconds in which batches are made, and some of them; a short epoch is begun again."""
    made: list[Made] = []
    times: list[float] = []
    batches = itertools.chain.from_iterable(epoch() for _ in itertools.count())
    while len(made) <= STEPS and not (len(made) >= FEWEST and sum(times) > MOST_S):
        beat()
        begun = time.perf_counter()
        made.append(next(batches))
        wait()
        times.append(time.perf_counter() - begun)
    return median(times[1:]), made


def _median_s(work: Callable[[int], object], wait: Callable[[], None]) -> float:
    """Of one call, by its number."""
    times: list[float] = []
    while (len(times) <= STEPS or sum(times[1:]) < LEAST_S) and not (len(times) >= FEWEST and sum(times) > MOST_S):
        beat()
        begun = time.perf_counter()
        work(len(times))
        wait()
        times.append(time.perf_counter() - begun)
    return median(times[1:])
