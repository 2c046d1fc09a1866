"""Which networks outlive a study: the best one, stored as one that needs no other file, and what `run.keep` says."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import UserError
from resnet_tl.files import discard, write_text
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor, WorkerDied
from sweeps.execution.tasks import Export
from sweeps.planning.study_state import Scored, StudyState
from sweeps.records import SeedRun
from sweeps.storage.ledger import Ledger
from sweeps.storage.networks import NetworkStore


class BestNetwork:
    """The best seed run of the best trial, by the study's metric on `val`.

    Args:
        folder: holds the checkpoint, `samples/` to try it on, and `origin.txt`, which names the seed run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self) -> Path | None:
        """The folder, if a network is in it."""
        return self._folder if (self._folder / "model.json").exists() else None

    def is_stored(self, ranked: Sequence[Scored]) -> bool:
        """Whether the best of these trials is the one in the folder; true if there is none."""
        if not ranked:
            return True
        mark = self._folder / "origin.txt"
        return self.stored() is not None and mark.exists() and mark.read_text() == _origin(ranked[0])

    def store(
        self,
        ranked: Sequence[Scored],
        network_of: Callable[[Scored], Path | None],
        executor: Executor,
        data: Prepared,
        say: Callable[[str], None],
    ) -> None:
        """Exports the best of these trials; what goes wrong is said, since no result depends on it.

        Args:
            ranked: the best first.
            network_of: the folder of a network.
        """
        if self.is_stored(ranked):
            return
        try:
            checkpoint = network_of(ranked[0])
            if checkpoint is None:
                say(
                    f"The best network cannot be stored: that of trial {ranked[0].trial.number}, seed "
                    f"{ranked[0].best_seed}, was not kept (run.keep) or is gone. Its results are in the ledger."
                )
                return
            making = self._folder.with_name(f".{self._folder.name}.making")
            shutil.rmtree(making, ignore_errors=True)
            executor.submit(Export(checkpoint=checkpoint, destination=making, data=data), executor.slots[0]).result()
            # the mark goes in before the folder gets its name: a kill leaves the old one or the new one, whole
            write_text(making / "origin.txt", _origin(ranked[0]))
            if self._folder.exists():
                discard(self._folder)
            making.rename(self._folder)
        except (UserError, WorkerDied, OSError) as error:
            say(f"The best network could not be stored in {self._folder}: {error}")


def _origin(scored: Scored) -> str:
    return f"{scored.trial.fingerprint} {scored.best_seed}\n"


class KeptNetworks:
    """Keeps to `run.keep`, and the best network to the ledger; both are derived, and completed at every start.

    Args:
        state: grows while the study runs.
    """

    def __init__(self, prepared: PreparedStudy, state: StudyState, ledger: Ledger, store: NetworkStore) -> None:
        self._prepared, self._state, self._ledger, self._store = prepared, state, ledger, store
        self._keep = prepared.definition.run.keep
        self._name = prepared.study.name
        self.best = BestNetwork(prepared.out / "mlruns" / "best" / self._name)

    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return self._is_best_stored() and not self._droppable(final=True)

    def settle(self, executor: Callable[[], Executor], say: Callable[[str], None]) -> None:
        """Stores the best network, and removes those that are not to outlive the study.

        Args:
            executor: starts workers, where there is something to export.
        """
        if not self._is_best_stored():
            self.best.store(self._state.ranked(), self._network_of, executor(), self._prepared.data, say)
        if self._is_best_stored():  # else the networks stay, so that a later start can export one of them
            self._drop(self._droppable(final=True))

    def drop_losers(self) -> None:
        """While the study runs, removes the networks of whole trials that do not lead."""
        self._drop(self._droppable(final=False))

    def to_show(self, run: SeedRun) -> Path | None:
        """The network of a seed run, where it stays and a tracker may have it too."""
        return self._store.network_of(run) if self._keep == "all" else None

    def _is_best_stored(self) -> bool:
        return self._keep == "none" or self.best.is_stored(self._state.ranked())

    def _network_of(self, scored: Scored) -> Path | None:
        row = self._ledger.seed_run(self._name, scored.trial.fingerprint, scored.best_seed)
        if row.network is not None and row.network.startswith("runs:/"):
            return self._prepared.mlflow_checkpoint(row.network)  # of a version that left networks to the tracker
        return self._store.network_of(row)

    def _droppable(self, *, final: bool) -> list[tuple[str, int]]:
        if self._keep == "all":
            return []
        ranked = self._state.ranked()
        leads = {ranked[0].trial.fingerprint} if ranked and self._keep == "best" and not final else set()
        whole = {trial.fingerprint for trial in self._state.trials if self._state.is_whole(trial)}
        return [
            (row.fingerprint, row.seed)
            for row in self._ledger.seed_runs(self._name)
            if row.network is not None
            and not row.reused_from
            and row.fingerprint not in leads
            and (final or self._keep == "none" or row.fingerprint in whole)
        ]

    def _drop(self, runs: Sequence[tuple[str, int]]) -> None:
        # files first: what a kill leaves half done is still named by the ledger, and done at the next start
        for fingerprint, seed in runs:
            self._store.drop(fingerprint, seed)
        self._ledger.drop_networks(self._name, runs)
