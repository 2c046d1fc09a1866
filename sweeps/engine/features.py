"""Outputs of frozen fronts, computed before the seed runs that need them, by all workers together."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_tl import cache
from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data.views import View
from resnet_tl.errors import DataError, UserError
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.features.store import Making, abandon, begin, finish, num_rows, stored, verify
from sweeps.engine.execute import POLL_S, LocalExecutor, WorkerDied, answer
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.reuse import Decision, Reuse
from sweeps.engine.session import Session
from sweeps.engine.work import FeaturesJob, run_features


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """One face of the images, through the front once, for all cuts at which its outputs are missing."""

    view: View
    decisions: tuple[Decision, ...]


def provide_features(
    session: Session,
    reuse: Reuse,
    *,
    executor: LocalExecutor,
    devices: Sequence[str],
    interrupt: Interrupt,
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
        interrupt.check()  # hashing takes a second or two for each GB
        checked.append(_without_damaged(session, decision, say))
    needed = sum(d.num_bytes for d in checked if d.reuse)
    if needed:
        gone = cache.make_room(session.cache, session.definition.run.cache_gb, needed)
        if gone:
            size = sum(entry.num_bytes for entry in gone) / 1e9
            say(f"{len(gone)} entries ({size:.1f} GB) that were not used lately made room in the cache")
    for one in _passes(checked):
        rows = num_rows(one.view, session.data.num_images)
        names = "; ".join(decision.front.describe() for decision in one.decisions)
        say(f"computing once, for {rows:,} images ({one.view.name}): {names}")
        making = begin([decision.front for decision in one.decisions], one.view, rows, session.cache)
        try:
            # the trial with the deepest cut has everything before it frozen
            deepest = max(one.decisions, key=lambda decision: decision.front.cut)
            passes = _compute(session, making, deepest.trial, executor, devices, interrupt)
            assert passes == rows, f"{passes} passes for {rows} images"
            finish(making, session.cache)
        finally:
            abandon(making)  # of what has its name by now, nothing is left to remove
    return Reuse(decisions=tuple(replace(d, missing=(), num_bytes=0) if d.reuse else d for d in checked))


def _without_damaged(session: Session, decision: Decision, say: Callable[[str], None]) -> Decision:
    """Outputs that are there are compared with their hash; damaged ones are computed anew."""
    if not decision.reuse:
        return decision
    missing = list(decision.missing)
    for view in decision.views:
        if view not in missing:
            try:
                verify(stored(decision.front, [view], session.cache))
            except DataError as error:
                say(f"{error} They are computed anew.")
                missing.append(view)
    rows = sum(num_rows(view, session.data.num_images) for view in missing)
    return replace(decision, missing=tuple(missing), num_bytes=rows * decision.front.num_bytes)


def _passes(decisions: Sequence[Decision]) -> Iterator[_Pass]:
    together: dict[tuple[FrozenPrefix, View], list[Decision]] = {}
    for decision in decisions:
        if decision.reuse:
            for view in decision.missing:
                together.setdefault((replace(decision.front, cut=0), view), []).append(decision)
    for (_, view), group in together.items():
        yield _Pass(view=view, decisions=tuple(group))


def _compute(
    session: Session,
    making: Making,
    trial: TrialConfig,
    executor: LocalExecutor,
    devices: Sequence[str],
    interrupt: Interrupt,
) -> int:
    chunks = -(-making.rows // PREFIX_BATCH)
    shares = [chunks * number // len(devices) * PREFIX_BATCH for number in range(len(devices) + 1)]
    shares[-1] = making.rows
    waiting: dict[Future[Any], tuple[FeaturesJob, int]] = {}
    for device, first, end in zip(devices, shares, shares[1:], strict=False):
        if first < end:
            job = FeaturesJob(
                trial=session.start_from(trial),
                making=making,
                data=session.data,
                environment=session.environment,
                device=device,
                first=first,
                end=end,
            )
            waiting[executor.submit(run_features, job)] = (job, 0)
    passes = 0
    while waiting:
        interrupt.check()
        finished, _ = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in finished:
            job, attempt = waiting.pop(future)
            try:
                passes += answer(future)
            except WorkerDied as error:
                if attempt:
                    raise UserError(f"The features could not be computed: {error}.") from None
                waiting[executor.submit(run_features, job)] = (job, 1)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"The features could not be computed: {type(error).__name__}: {error}") from error
    return passes


def folders(session: Session, reuse: Reuse) -> list[Path]:
    """What must stay in the cache while a study runs."""
    return [
        decision.front.folder(view, session.cache)
        for decision in reuse.decisions
        if decision.reuse
        for view in decision.views
    ]
