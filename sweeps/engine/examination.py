"""Looks for what does not fit together: the ledger, networks, MLflow, the cache, and what killed drivers left behind.

What is found can be mended without losing a result: those stand in the ledger alone. A study whose driver is at work is
left out, since half of what there is then is on its way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_tl.data import cache
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.files import remove
from resnet_tl.predictions import pack, unpack
from sweeps.engine.leftovers import leftovers
from sweeps.records import RunState, SeedRun, StudyRecord
from sweeps.storage import sqlite
from sweeps.storage.database import Database
from sweeps.storage.driver_note import place_of, remove_note
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import NetworkStore
from sweeps.storage.work_folder import WorkFolder
from sweeps.tracking.mlflow_database import Place

LOSS_RTOL = 0.005
"""The ledger has losses to three digits, and of more than 100 classes the predictions are rounded as well."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that does not fit."""

    where: str
    what: str
    remedy: str
    """What mending it does, or what else to do."""
    mend: Callable[[], None] | None = None
    """None where it is up to the user."""


def examine_databases(out: Path, place: Place) -> Iterator[Finding]:
    """SQLite files that are damaged."""
    own = [out / "studies.db"] + ([place.path] if place.is_ours else [])
    for path in own:
        if path.exists() and (told := sqlite.damage(path)) is not None:
            yield Finding(
                where=path.name,
                what=f"it is damaged: {told}",
                remedy="put a copy in its place; MLflow's may be moved away, since the ledger fills a new one",
            )


def examine_cache(folder: Path) -> Iterator[Finding]:
    """Things in the cache that are not what they say; they are made anew when they are needed."""
    for entry in cache.entries(folder):
        if (told := cache.damage(entry)) is not None:
            yield Finding(
                where=f"cache {entry.kind}/{entry.path.name}",
                what=told,
                remedy="removes it; it is made anew when it is needed",
                mend=lambda entry=entry: _remove(entry),  # type: ignore[misc]
            )


def _remove(entry: cache.Entry) -> None:
    if not cache.remove(entry):
        raise ConfigError(f"{entry.path} is in use; try again when the study that uses it has ended.")


def examine_study(study: StudyRecord, *, out: Path, database: Database, place: Place, mends: bool) -> Iterator[Finding]:
    """What of one study does not fit; for the holder of its lock.

    Args:
        mends: whether what is found is to be mended; the ledger is only read otherwise.
    """
    ledger = database.open() if mends else database.read()
    try:
        yield from _examine(study, out, ledger, place)
    finally:
        ledger.close()


def _examine(study: StudyRecord, out: Path, ledger: Ledger, place: Place) -> Iterator[Finding]:
    name, networks = study.name, NetworkStore(out, study.name)
    runs = ledger.seed_runs(name)
    keys = {(run.fingerprint, run.seed) for run in runs}
    gone = [run for run in runs if _is_gone(run, networks)]
    some = [run for run in runs if networks.network_of(run) is not None]
    if gone and not some:
        yield Finding(
            where=name,
            what=f"all of its {len(gone)} networks are missing under {out}",
            remedy="see whether run.out is the study's, and its disk is there; if they are gone, nothing else is lost",
        )
    elif gone:
        yield Finding(
            where=name,
            what=f"{_seed_runs(len(gone))} should have a network, whose files are not there",
            remedy="notes that they are gone; the results stay",
            mend=lambda: ledger.drop_networks(name, [(run.fingerprint, run.seed) for run in gone]),
        )
    yield from _examine_predictions(name, ledger, networks)
    strangers = networks.strangers(keys)
    if strangers:
        yield Finding(
            where=name,
            what=f"{len(strangers)} folders of networks are of seed runs that this ledger does not know "
            f"({strangers[0].name})",
            remedy="if they belong to no other ledger that you will put in its place, remove them",
        )
    work = WorkFolder(out).of_study(name)
    # one that was pruned may be trained again, by a study with another pruner
    through = [run for run in runs if run.state != RunState.PRUNED]
    left = list(leftovers(out, name, work=work, networks=networks, runs=through))
    if left:
        yield Finding(
            where=name,
            what=f"{len(left)} files or folders are left of starts that were killed ({left[0].relative_to(out)})",
            remedy="removes them",
            mend=lambda: remove(leftovers(out, name, work=work, networks=networks, runs=through)),
        )
    note = place_of(out, name)
    if note.exists():
        yield Finding(
            where=name,
            what="its last driver was killed",
            remedy="forgets it; the command of the study goes on from there",
            mend=lambda: remove_note(note),
        )
    if place.is_ours and place.knows(name):  # the runs of others are on a server
        yield from _examine_tracking(name, ledger, place, keys)


def _examine_predictions(name: str, ledger: Ledger, networks: NetworkStore) -> Iterator[Finding]:
    """Predictions that are gone, or are not those that the ledger has the short form of."""
    missing: list[str] = []
    damaged: list[str] = []
    for trial in ledger.trials(name):
        for run in ledger.seed_runs(name, fingerprint=trial.fingerprint, heavy=True):
            if run.state == RunState.COMPLETE and run.compact:
                told = f"trial {trial.number}, seed {run.seed}"
                if networks.predictions_of(run) is None:
                    missing.append(told)
                elif not _agree(run, networks):
                    damaged.append(told)
    for those, what in ((missing, "are not there"), (damaged, "are damaged: they are not those of the ledger")):
        if those:
            yield Finding(
                where=name,
                what=f"the predictions of {_seed_runs(len(those))} {what} ({those[0]}{', …' * (len(those) > 1)})",
                remedy="scores and tables stay; for ensembles and pictures of single images a study under a new name "
                "with run.reuse=off runs them again",
            )


def _agree(run: SeedRun, networks: NetworkStore) -> bool:
    """Whether stored predictions are right on the images that the ledger says, with the same losses."""
    try:
        kept = networks.kept_of(run)
        assert kept is not None
        for split, blob in (run.compact or {}).items():
            now, then = unpack(pack(kept.logits[split].astype(np.float64), kept.labels[split])), unpack(blob)
            if not np.array_equal(now.right_N, then.right_N):
                return False
            if not np.allclose(now.loss_N, then.loss_N, rtol=LOSS_RTOL, atol=LOSS_RTOL):
                return False
    except (UserError, KeyError, ValueError):
        return False
    return True


def _examine_tracking(name: str, ledger: Ledger, place: Place, keys: set[tuple[str, int]]) -> Iterator[Finding]:
    lost = place.lacking(name, ledger.tracked(name))
    if lost:
        yield Finding(
            where=name,
            what=f"MLflow lacks {_seed_runs(len(lost))} that it once had",
            remedy="notes that; the next start of the study sends them",
            mend=lambda: ledger.mark_untracked(name, lost),
        )
    unknown = place.unknown(name, keys, interrupted={trial.fingerprint for trial in ledger.trials(name)})
    if unknown:
        yield Finding(
            where=name,
            what=f"MLflow has {_seed_runs(len(unknown))} that the ledger does not know: {next(iter(unknown.values()))}",
            remedy="marks them as deleted there, which can be undone there",
            mend=lambda: place.set_aside(unknown),
        )


def _is_gone(run: SeedRun, networks: NetworkStore) -> bool:
    return run.state == RunState.COMPLETE and run.owns_network and networks.network_of(run) is None


def _seed_runs(count: int) -> str:
    return "1 seed run" if count == 1 else f"{count} seed runs"
