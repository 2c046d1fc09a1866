"""Outputs of frozen prefixes, computed before the seed runs that need them, by all workers together."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data import cache
from resnet_tl.data.views import View
from resnet_tl.errors import DataError, UserError
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.features.store import LEFT_OVER_S, Making, abandon, begin, finish, num_rows, stored, verify
from resnet_tl.files import is_full
from resnet_tl.result import Epoch
from sweeps.engine.disk_room import DiskFull
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor, Job, Running, WorkerDied, run_all
from sweeps.execution.tasks import ComputeFeatures
from sweeps.planning.feature_reuse import Decision, Reuse


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """One view of the images, through the prefix once, for all cuts at which its outputs are missing."""

    view: View
    decisions: tuple[Decision, ...]


def provide_features(
    study: PreparedStudy,
    reuse: Reuse,
    *,
    executor: Executor,
    check: Callable[[], None],
    say: Callable[[str], None],
) -> Reuse:
    """Computes the outputs that are to be reused and are not there yet.

    Returns:
        The decisions, with nothing missing any more.

    Raises:
        UserError: they cannot be computed or stored.
    """
    checked = []
    for decision in reuse.decisions:
        check()  # hashing takes a second or two for each GB
        checked.append(_without_damaged(study, decision, say))
    if checked:
        cache.clear_unfinished(study.cache / "features", older_than_s=LEFT_OVER_S)
    needed = sum(d.num_bytes for d in checked if d.reuse)
    if needed:
        gone = cache.make_room(study.cache, study.definition.run.cache_gb, needed)
        if gone:
            size = sum(entry.num_bytes for entry in gone) / 1e9
            say(f"{len(gone)} entries ({size:.1f} GB) that were not used lately made room in the cache")
    for one in _passes(checked):
        # the trial with the deepest cut has everything before it frozen
        deepest = max(one.decisions, key=lambda decision: decision.prefix.cut).trial
        rows = num_rows(one.view, study.data_of(deepest))
        names = "; ".join(decision.prefix.describe() for decision in one.decisions)
        say(f"computing once, for {rows:,} images ({one.view.name}): {names}")
        try:
            making = begin([decision.prefix for decision in one.decisions], one.view, rows, study.cache)
        except OSError as error:
            if not is_full(error):
                raise
            raise DiskFull(
                f"The disk of {study.cache} must have room for the outputs of {names}, but it is full. Make room, move "
                "the cache with run.cache=FOLDER, or have them computed each time with run.reuse=off."
            ) from None
        try:
            shares = _Shares(study, making, deepest, len(executor.slots))
            with cache.hold([Path(folder) for folder in making.folders]):
                run_all(executor, shares, check)
                assert shares.passes == rows, f"{shares.passes} passes for {rows} images"
                finish(making, study.cache)
        finally:
            abandon(making)  # of what has its name by now, nothing is left to remove
    return Reuse(decisions=tuple(replace(d, missing=(), num_bytes=0) if d.reuse else d for d in checked))


def _without_damaged(study: PreparedStudy, decision: Decision, say: Callable[[str], None]) -> Decision:
    """Outputs that are there are compared with their hash; damaged ones are computed anew."""
    if not decision.reuse:
        return decision
    missing = list(decision.missing)
    for view in decision.views:
        if view not in missing:
            try:
                verify(stored(decision.prefix, [view], study.cache))
            except DataError as error:
                say(f"{error} They are computed anew.")
                missing.append(view)
    rows = sum(num_rows(view, study.data_of(decision.trial)) for view in missing)
    return replace(decision, missing=tuple(missing), num_bytes=rows * decision.prefix.num_bytes)


def _passes(decisions: Sequence[Decision]) -> Iterator[_Pass]:
    together: dict[tuple[FrozenPrefix, View], list[Decision]] = {}
    for decision in decisions:
        if decision.reuse:
            for view in decision.missing:
                together.setdefault((replace(decision.prefix, cut=0), view), []).append(decision)
    for (_, view), group in together.items():
        yield _Pass(view=view, decisions=tuple(group))


class _Shares:
    """The rows of one pass, shared among the workers; `Callbacks` of `run_all`."""

    def __init__(self, study: PreparedStudy, making: Making, trial: TrialConfig, workers: int) -> None:
        chunks = -(-making.rows // PREFIX_BATCH)
        ends = [chunks * number // workers * PREFIX_BATCH for number in range(workers + 1)]
        ends[-1] = making.rows
        self.passes = 0
        self._waiting = deque(
            Job(
                item=first,
                task=ComputeFeatures(
                    trial=study.start_from(trial),
                    making=making,
                    data=study.data_of(trial),
                    environment=study.environment,
                    first=first,
                    end=end,
                ),
            )
            for first, end in pairwise(ends)
            if first < end
        )

    def next_job(self) -> Job[int] | None:
        return self._waiting.popleft() if self._waiting else None

    def done(self, running: Running[int], result: Any) -> None:
        self.passes += result

    def lost(self, running: Running[int], error: WorkerDied) -> None:
        if running.job.attempt:
            raise UserError(f"The features could not be computed: {error}.") from None
        self._waiting.append(replace(running.job, attempt=1))

    def failed(self, running: Running[int], error: Exception) -> None:
        if isinstance(error, UserError):
            raise error
        raise UserError(f"The features could not be computed: {type(error).__name__}: {error}") from error

    def follow(self, running: Running[int], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        pass


def folders(study: PreparedStudy, reuse: Reuse) -> list[Path]:
    """What must stay in the cache while a study runs."""
    return [
        decision.prefix.folder(view, study.cache)
        for decision in reuse.decisions
        if decision.reuse
        for view in decision.views
    ]
