"""Which networks outlive a study: the best one, and those that `run.keep` says."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sweeps.engine.best_network import BestNetwork
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor
from sweeps.planning.study_state import StudyState
from sweeps.records import SeedRun, TrialRecord, folder_of_study
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import NetworkStore


class KeptNetworks:
    """Keeps to `run.keep`, and the best network to the ledger; both are derived, and completed at every start.

    Args:
        state: grows while the study runs.
    """

    def __init__(self, prepared: PreparedStudy, state: StudyState, ledger: Ledger, store: NetworkStore) -> None:
        self._prepared, self._state, self._ledger, self._store = prepared, state, ledger, store
        self._keep = prepared.definition.keep
        self._name = prepared.study.name
        self._leader: TrialRecord | None = None
        self._best = BestNetwork(prepared.out / "mlruns" / "best" / folder_of_study(self._name))

    def best_folder(self) -> Path | None:
        """Where the best network is; None where it is not kept, or could not be stored."""
        ranked = self._state.ranked()
        return self._best.stored() if ranked and self._best.is_stored(ranked) else None

    def is_settled(self) -> bool:
        """Whether nothing is left that could be done."""
        if self._keep == "none" and self._best.stored():
            return False
        return (self._is_best_stored() or self._checkpoint() is None) and not self._droppable()

    def settle(
        self, executor: Callable[[], Executor], say: Callable[[str], None], check: Callable[[], None]
    ) -> list[tuple[str, int]]:
        """Stores the best network, and removes those that are not to outlive the study.

        Args:
            executor: starts workers, where there is something to export.
            check: see `run_all`.

        Returns:
            Seed runs whose networks were removed.
        """
        if not self._is_best_stored():
            ranked, checkpoint = self._state.ranked(), self._checkpoint()
            if checkpoint is None:
                say(
                    f"The best network cannot be stored: that of trial {ranked[0].trial.number}, seed "
                    f"{ranked[0].best_seed}, was not kept (run.keep) or is gone. Its results are in the ledger."
                )
                self._best.forget()
            elif not self._best.store(
                ranked[0], checkpoint, executor(), self._prepared.data_of(ranked[0].trial.config), say, check
            ):
                return []  # the networks stay, so that a later start can export one of them
        elif self._keep == "none" and self._best.stored():
            self._best.forget()
            say("The best network was removed, as run.keep=none says; its results stay.")
        return self._drop(self._droppable())

    def drop_early(self) -> list[tuple[str, int]]:
        """At a start, removes what may go already: its room is needed, where a full disk ended the last one.

        Returns:
            Seed runs whose networks were removed.
        """
        if self._keep == "best":
            self._leader = self._state.best_of(trial for trial in self._state.trials if self._state.has_results(trial))
        leading = self._leader.fingerprint if self._leader else None
        return self._drop([key for key in self._droppable() if key[0] != leading])

    def drop_losers(self, ended: Iterable[TrialRecord]) -> None:
        """While the study runs, removes networks of trials that have ended and do not lead.

        Args:
            ended: all of whose seed runs have a result by now, since the last call.
        """
        if self._keep == "all":
            return
        trials = [*ended, *([self._leader] if self._leader else [])]
        leader = self._state.best_of(trials) if self._keep == "best" else None
        self._leader = leader
        for trial in trials:
            if leader is None or trial.number != leader.number:
                rows = self._ledger.seed_runs(self._name, fingerprint=trial.fingerprint)
                seeds = self._prepared.study.seeds
                self._drop([(row.fingerprint, row.seed) for row in rows if row.owns_network and row.seed in seeds])

    def to_show(self, run: SeedRun) -> Path | None:
        """The network of a seed run, where it stays and a tracker may have it too."""
        return self._store.network_of(run) if self._keep == "all" else None

    def _is_best_stored(self) -> bool:
        # members of an ensemble answer together, and none is the study's network
        is_of_members = self._prepared.definition.members is not None
        return self._keep == "none" or is_of_members or self._best.is_stored(self._state.ranked())

    def _checkpoint(self) -> Path | None:
        """The network that is to be stored as the best."""
        scored = self._state.ranked()[0]
        row = self._ledger.seed_run(self._name, scored.trial.fingerprint, scored.best_seed)
        if row.network is not None and row.network.startswith("runs:/"):
            return self._prepared.mlflow_checkpoint(row.network)  # of a version that left networks to the tracker
        return self._store.network_of(row)

    def _droppable(self) -> list[tuple[str, int]]:
        """Seed runs whose networks do not outlive the study; of a trial that may still win, none."""
        if self._keep == "all":
            return []
        open_trials = {trial.fingerprint for trial in self._state.trials if not self._state.has_results(trial)}
        rows = self._ledger.seed_runs(self._name)
        return [
            (row.fingerprint, row.seed)
            for row in rows
            if row.owns_network and (self._keep == "none" or row.fingerprint not in open_trials)
        ]

    def _drop(self, runs: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        # files first: what a kill leaves half done is still named by the ledger, and done at the next start
        for fingerprint, seed in runs:
            self._store.drop(fingerprint, seed)
        self._ledger.drop_networks(self._name, runs)
        return list(runs)
