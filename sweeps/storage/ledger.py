"""Reads and writes what is known: studies, their trials, and the seed runs that have ended.

The one source of truth for resuming and for reports. One process writes a study, its driver; anything may read.
"""

import datetime
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ConfigDict, TypeAdapter

from resnet_tl.files import write_text
from resnet_tl.identity import digest
from resnet_tl.result import Epoch
from sweeps.records import (
    ASK_AHEAD,
    Cause,
    RunState,
    SeedRun,
    StudyRecord,
    TrialRecord,
    TrialState,
    state_of_trial,
    study_from_json,
    study_to_json,
)
from sweeps.statistics.pruning import course_of, prune, rules_of
from sweeps.statistics.rungs import Course
from sweeps.storage.schema import LedgerError
from sweeps.storage.schema import seed_runs as _seed_runs
from sweeps.storage.schema import studies as _studies
from sweeps.storage.schema import trials as _trials
from sweeps.storage.transactions import Answer, Transactions
from sweeps.storage.watch import FolderMoved
from sweeps.study_trial import from_stored

_HEAVY = ("scores_val", "scores_test", "history", "confusion", "reliability")
_SCORES = {"val": "scores_val", "test": "scores_test"}
"""Column of the compact predictions on a split."""
_ROWS = TypeAdapter(list[SeedRun], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
_AGAIN = [state for state in RunState if not state.is_result or state == RunState.PRUNED]
"""States of rows that others may replace: a seed run is tried again, or goes on."""


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Ledger:
    """An open ledger.

    Args:
        transactions: of a database whose tables are those of this version; see `sweeps.storage.database`.
        on_close: called when it is closed.
        aside: folder for seed runs that could not be written.
    """

    def __init__(
        self,
        transactions: Transactions,
        *,
        on_close: Callable[[], None] | None = None,
        aside: Path | None = None,
    ) -> None:
        self._transactions, self._on_close, self._aside = transactions, on_close, aside

    def close(self) -> None:
        """Lets go of the database."""
        self._transactions.close()
        if self._on_close:
            self._on_close()

    def _look(self, body: Callable[[sa.Connection], Answer]) -> Answer:
        """A transaction that reads."""
        try:
            return self._transactions.look(body)
        except LedgerError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise LedgerError(
                f"The ledger must hold what this program wrote, but something is damaged: {error}."
            ) from None

    def _execute(self, study: str, *statements: Any) -> None:
        """A transaction that writes what belongs to a study: statements, or pairs of one and its parameters."""

        def write(connection: sa.Connection) -> None:
            for statement in statements:
                connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)

        self._transactions.change(study, write)

    # -- studies ----------------------------------------------------------------------------------------------------

    def studies(self) -> list[StudyRecord]:
        """All studies, in order of creation."""
        query = sa.select(_studies.c.record).order_by(_studies.c.created, _studies.c.name)
        return self._look(lambda connection: [study_from_json(row) for row in connection.execute(query).scalars()])

    def study(self, name: str) -> StudyRecord | None:
        """One study, or None."""
        query = sa.select(_studies.c.record).where(_studies.c.name == name)
        record = self._look(lambda connection: connection.execute(query).scalar())
        return None if record is None else study_from_json(record)

    def put_study(self, record: StudyRecord) -> None:
        """Adds a study, or replaces what is stored of it."""
        values = {"name": record.name, "created": record.created, "record": _finite(study_to_json(record))}
        old = sa.delete(_studies).where(_studies.c.name == record.name)
        self._execute(record.name, old, sa.insert(_studies).values(values))

    def forget(self, study: str) -> None:
        """Removes the trials and failed runs of a study that has no result.

        Raises:
            AssertionError: it has one.
        """
        assert not any(run.state.is_result for run in self.seed_runs(study))
        self._execute(study, *(sa.delete(table).where(table.c.study == study) for table in (_trials, _seed_runs)))

    # -- trials -----------------------------------------------------------------------------------------------------

    def trials(self, study: str) -> list[TrialRecord]:
        """The trials of a study, by number."""
        record = self.study(study)
        seeds = set(record.seeds) if record else set()
        columns = (_seed_runs.c.fingerprint, _seed_runs.c.seed, _seed_runs.c.state)
        ended = sa.select(*columns).where(_seed_runs.c.study == study)
        query = sa.select(_trials).where(_trials.c.study == study).order_by(_trials.c.number)

        def look(connection: sa.Connection) -> list[TrialRecord]:
            states: dict[str, list[str]] = {}
            for fingerprint, seed, state in connection.execute(ended).all():
                if seed in seeds:
                    states.setdefault(fingerprint, []).append(state)
            return [
                TrialRecord(
                    number=row["number"],
                    params=row["params"],
                    config=from_stored(row["config"]),
                    fingerprint=row["fingerprint"],
                    state=state_of_trial(states.get(row["fingerprint"], []), len(seeds)),
                )
                for row in connection.execute(query).mappings()
            ]

        return self._stopped(record, self._look(look)) if record and record.pruner else self._look(look)

    def _stopped(self, record: StudyRecord, trials: list[TrialRecord]) -> list[TrialRecord]:
        """The same, with those marked that the study's pruner stopped: it is replayed from the results."""
        rules = rules_of(record.pruner)
        assert rules is not None
        courses: dict[str, dict[int, Course]] = {trial.fingerprint: {} for trial in trials}
        configs = {trial.fingerprint: trial.config for trial in trials}
        for run in self.seed_runs(record.name, curves=rules.rungs is not None):
            if run.seed in record.seeds and run.fingerprint in courses:
                courses[run.fingerprint][run.seed] = course_of(run, configs[run.fingerprint], record.metric)
        found = prune(
            rules,
            seeds=record.seeds,
            better="max" if record.direction == "maximize" else "min",
            most_epochs=max((config.num_epochs for config in configs.values()), default=1),
            courses=[courses[trial.fingerprint] for trial in trials],
            are_all=len(trials) >= record.num_trials,
            behind=ASK_AHEAD if record.method == "bayes" else None,
        )
        return [
            replace(trial, state=TrialState.PRUNED, stop=found.stopped[place])
            if place in found.stopped and trial.state in (TrialState.INCOMPLETE, TrialState.PRUNED)
            else trial
            for place, trial in enumerate(trials)
        ]

    def put_trials(self, study: str, records: Iterable[TrialRecord]) -> None:
        """Adds trials."""
        values = [
            {
                "study": study,
                "number": record.number,
                "fingerprint": record.fingerprint,
                "params": _finite(dict(record.params)),
                "config": record.config.model_dump(mode="json"),
            }
            for record in records
        ]
        if values:
            self._execute(study, (sa.insert(_trials), values))

    def drop_trials(self, study: str, after: int) -> None:
        """Removes trials with higher numbers, which were never run."""
        self._execute(study, sa.delete(_trials).where((_trials.c.study == study) & (_trials.c.number > after)))

    def describe(self, study: str, records: Iterable[TrialRecord]) -> None:
        """Describes trials anew, known by their number, after the space has gained a parameter."""
        updates = []
        for record in records:
            where = (_trials.c.study == study) & (_trials.c.number == record.number)
            values = {"params": _finite(dict(record.params)), "config": record.config.model_dump(mode="json")}
            updates.append(sa.update(_trials).where(where).values(values))
        if updates:
            self._execute(study, *updates)

    # -- seed runs --------------------------------------------------------------------------------------------------

    def seed_runs(
        self, study: str, *, fingerprint: str | None = None, heavy: bool = False, curves: bool = False
    ) -> list[SeedRun]:
        """The seed runs of a study that have ended, or paused.

        Args:
            fingerprint: of one trial; None for all.
            heavy: with learning curves and compact predictions.
            curves: with learning curves.
        """
        where = _seed_runs.c.study == study
        if fingerprint is not None:
            where = where & (_seed_runs.c.fingerprint == fingerprint)
        return self._select(where, heavy=heavy, curves=curves)

    def seed_run(self, study: str, fingerprint: str, seed: int) -> SeedRun:
        """One of them, with its learning curve and compact predictions."""
        where = (_seed_runs.c.study == study) & (_seed_runs.c.fingerprint == fingerprint) & (_seed_runs.c.seed == seed)
        (row,) = self._select(where, heavy=True)
        return row

    def compact(self, study: str, split: str) -> dict[tuple[str, int], bytes]:
        """The compact predictions of all seed runs on a split, by fingerprint and seed; see `resnet_tl.predictions`."""
        column = _seed_runs.c[_SCORES[split]]
        query = sa.select(_seed_runs.c.fingerprint, _seed_runs.c.seed, column)
        query = query.where((_seed_runs.c.study == study) & column.is_not(None))
        rows = self._look(lambda connection: connection.execute(query).all())
        return {(fingerprint, seed): blob for fingerprint, seed, blob in rows}

    def has_others(self, study: str) -> bool:
        """Whether the ledger holds seed runs of another study."""
        query = sa.select(_seed_runs.c.seed).where(_seed_runs.c.study != study).limit(1)
        return self._look(lambda connection: connection.execute(query).first() is not None)

    def done_elsewhere(self, study: str, scores: Collection[str]) -> set[tuple[str, int]]:
        """Fingerprints and seeds of results of other studies that have all of some scores, or diverged."""
        columns = (_seed_runs.c.fingerprint, _seed_runs.c.seed, _seed_runs.c.state, _seed_runs.c.metrics)
        states = [RunState.COMPLETE.value, RunState.DIVERGED.value]
        query = sa.select(*columns).where((_seed_runs.c.study != study) & _seed_runs.c.state.in_(states))
        rows = self._look(lambda connection: connection.execute(query).all())
        return {
            (fingerprint, seed)
            for fingerprint, seed, state, metrics in rows
            if state == RunState.DIVERGED.value or set(scores) <= set(metrics)
        }

    def find(self, fingerprint: str, seed: int) -> SeedRun | None:
        """The same seed run in any study, if it is a result."""
        where = (
            (_seed_runs.c.fingerprint == fingerprint)
            & (_seed_runs.c.seed == seed)
            & _seed_runs.c.state.in_([RunState.COMPLETE.value, RunState.DIVERGED.value])
        )
        found = self._select(where, heavy=True)
        return next((run for run in found if run.network is not None), found[0] if found else None)

    def put(self, rows: Iterable[SeedRun]) -> None:
        """Adds seed runs that have ended, all or none; those that are no result are replaced.

        Raises:
            FolderMoved: where the ledger is now is not known.
            LedgerError: they could not be written. They are kept aside then, and the next start of the study adds them.
        """
        rows = list(rows)
        name = digest([[row.study, row.fingerprint, row.seed] for row in rows])
        aside = self._aside / f"{name}.json" if self._aside else None
        try:
            self._insert(rows)
        except FolderMoved:
            raise
        except LedgerError as error:
            if aside is None:
                raise
            try:
                write_text(aside, _ROWS.dump_json(rows).decode())
            except OSError:
                raise error from None
            runs = "1 seed run that has" if len(rows) == 1 else f"{len(rows)} seed runs that have"
            raise LedgerError(
                *error.problems, f"The results of {runs} just ended are kept; the next start of the study adds them."
            ) from None
        if aside is not None:
            aside.unlink(missing_ok=True)

    def take_in(self, study: str) -> None:
        """Adds what an earlier start of a study could not write, and kept aside.

        What this ledger has no trial for stays aside: it may have been put in the place of the one that has.
        """
        assert self._aside
        for path in sorted(self._aside.glob("*.json")):
            try:
                rows = _ROWS.validate_json(path.read_bytes())
            except FileNotFoundError:  # the driver of another study has written it after all
                continue
            except ValueError:  # no file of ours, or of another version: those seed runs are done again
                path.unlink(missing_ok=True)
                continue
            if not any(row.study == study for row in rows):
                continue
            trials = {trial.fingerprint for trial in self.trials(study)}
            results = {(run.fingerprint, run.seed) for run in self.seed_runs(study) if run.state.is_result}
            fitting = [row for row in rows if row.study == study and row.fingerprint in trials]
            self._insert([row for row in fitting if (row.fingerprint, row.seed) not in results])
            if len(fitting) == len(rows):
                path.unlink()

    def _insert(self, rows: Sequence[SeedRun]) -> None:
        values = [_values(row) for row in rows]
        if not values:
            return
        (study,) = {row.study for row in rows}  # of one driver
        keys = [{"b_" + name: value[name] for name in ("study", "fingerprint", "seed")} for value in values]
        replaced = _key(), sa.or_(*(_seed_runs.c.state == state.value for state in _AGAIN))
        # one that has paused goes on, and counts its seconds itself
        tried = sa.case((_seed_runs.c.state == RunState.PAUSED.value, 0.0), else_=_seed_runs.c.wall_s)
        spent = sa.select(tried + _seed_runs.c.repeated_s).where(*replaced)

        def write(connection: sa.Connection) -> None:
            again = [connection.execute(spent, key).scalar() or 0.0 for key in keys]
            connection.execute(sa.delete(_seed_runs).where(*replaced), keys)
            new = [
                value | {"repeated_s": value["repeated_s"] + spent_s}
                for value, spent_s in zip(values, again, strict=True)
            ]
            connection.execute(sa.insert(_seed_runs), new)

        self._transactions.change(study, write)

    def untracked(self, study: str) -> set[tuple[str, int]]:
        """Fingerprint and seed of the seed runs that the tracker is not known to have."""
        return self._where_tracked(study, sa.false())

    def tracked(self, study: str) -> set[tuple[str, int]]:
        """Fingerprint and seed of the seed runs that the tracker had once."""
        return self._where_tracked(study, sa.true())

    def _where_tracked(self, study: str, value: sa.ColumnElement[bool]) -> set[tuple[str, int]]:
        query = sa.select(_seed_runs.c.fingerprint, _seed_runs.c.seed)
        is_shown = _seed_runs.c.state != RunState.PAUSED.value
        query = query.where((_seed_runs.c.study == study) & (_seed_runs.c.tracked == value) & is_shown)
        rows = self._look(lambda connection: connection.execute(query).all())
        return {(fingerprint, seed) for fingerprint, seed in rows}

    def mark_tracked(self, study: str, runs: Iterable[tuple[str, int]]) -> None:
        """Remembers that the tracker has seed runs, given by fingerprint and seed."""
        self._update(study, {key: {"tracked": True} for key in runs})

    def mark_untracked(self, study: str, runs: Iterable[tuple[str, int]]) -> None:
        """Remembers that the tracker lacks seed runs, given by fingerprint and seed."""
        self._update(study, {key: {"tracked": False} for key in runs})

    def drop_networks(self, study: str, runs: Iterable[tuple[str, int]]) -> None:
        """Remembers that the networks of seed runs are gone, given by fingerprint and seed."""
        self._update(study, {key: {"network": None} for key in runs})

    def _update(self, study: str, changes: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
        if not changes:
            return
        names = list(next(iter(changes.values())))
        query = sa.update(_seed_runs).where(_key()).values({name: sa.bindparam(f"new_{name}") for name in names})
        keys = [
            {"b_study": study, "b_fingerprint": fingerprint, "b_seed": seed}
            | {f"new_{name}": value for name, value in values.items()}
            for (fingerprint, seed), values in changes.items()
        ]
        self._execute(study, (query, keys))

    def _select(self, where: Any, *, heavy: bool, curves: bool = False) -> list[SeedRun]:
        left_out = () if heavy else set(_HEAVY) - ({"history"} if curves else set())
        columns = [column for column in _seed_runs.c if column.name not in left_out]
        query = sa.select(*columns).where(where).order_by(_seed_runs.c.fingerprint, _seed_runs.c.seed)
        return self._look(lambda connection: [_seed_run(dict(row)) for row in connection.execute(query).mappings()])


def _key() -> Any:
    return (
        (_seed_runs.c.study == sa.bindparam("b_study"))
        & (_seed_runs.c.fingerprint == sa.bindparam("b_fingerprint"))
        & (_seed_runs.c.seed == sa.bindparam("b_seed"))
    )


def _seed_run(row: dict[str, Any]) -> SeedRun:
    row["state"] = RunState(row["state"])
    row["cause"] = None if row["cause"] is None else Cause(row["cause"])
    if "history" in row:
        row["history"] = tuple(Epoch(**epoch) for epoch in row["history"])
    if "confusion" in row:
        blobs = {split: row.pop(column) for split, column in _SCORES.items()}
        row["compact"] = {split: blob for split, blob in blobs.items() if blob is not None} or None
        row["confusion"] = row["confusion"] or None
    return SeedRun(**row)


def _values(run: SeedRun) -> dict[str, Any]:
    values = {name: getattr(run, name) for name in SeedRun.__dataclass_fields__}
    values["state"] = run.state.value  # of an enumeration PostgreSQL's driver would write the name
    # a traceback may hold characters that a database refuses: NUL, and those that are no UTF-8
    reason = None if run.reason is None else run.reason.replace("\0", "\\x00")
    values["reason"] = None if reason is None else reason.encode(errors="backslashreplace").decode()
    values["metrics"] = _finite(dict(run.metrics))
    values["history"] = _finite([asdict(epoch) for epoch in run.history or ()])
    compact = values.pop("compact") or {}
    # SQL's NULL in place of JSON's, which would be text
    for name in ("confusion", "reliability"):
        values[name] = values[name] or sa.null()
    return values | {column: compact.get(split) for split, column in _SCORES.items()}


def _finite(content: Any) -> Any:
    json.dumps(content, allow_nan=False)  # a number that is not finite must never get this far
    return content
