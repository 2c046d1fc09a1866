"""What is known: finished seed runs in `studies.db`, the one source of truth for resuming and for reports.

One process writes, the driver; anything may read. Values are JSON where they are not searched for.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resnet_tl.errors import UserError

FORMAT = 1

_metadata = sa.MetaData()

_studies = sa.Table(
    "sweeps_studies",
    _metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("identity", sa.JSON, nullable=False),
    sa.Column("description", sa.JSON, nullable=False),
    sa.Column("threads", sa.Integer, nullable=False),
    sa.Column("device", sa.String(10), nullable=False),
)
_trials = sa.Table(
    "sweeps_trials",
    _metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.String(40), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.UniqueConstraint("study", "fingerprint"),
)
_seed_runs = sa.Table(
    "sweeps_seed_runs",
    _metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("fingerprint", sa.String(40), primary_key=True),
    sa.Column("seed", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("max_epoch", sa.Integer, nullable=False),
    sa.Column("best_epoch", sa.Integer),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("wall_s", sa.Float, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("started", sa.String(40), nullable=False),
    sa.Column("finished", sa.String(40), nullable=False),
    sa.Column("commit", sa.String(60)),
    sa.Column("reused_from", sa.String(100)),
    sa.Column("checkpoint", sa.Text),
    sa.Column("tracked", sa.Boolean, nullable=False),
    # the heavy columns last: SQLite reads a row from its start
    sa.Column("confusion", sa.JSON, nullable=False),
    sa.Column("history", sa.JSON, nullable=False),
    sa.Column("reliability", sa.JSON),  # see `upgrade`
)
_heavy = ("confusion", "history", "reliability")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """One study as it last ran."""

    name: str
    created: str
    identity: dict[str, Any]
    """What decides its numbers; see `sweeps.definition.plan.identity`."""
    description: dict[str, Any]
    """What reports say about it: question, tables, trials planned, command."""
    threads: int
    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """One point of a study's space."""

    number: int
    fingerprint: str
    params: dict[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRunRow:
    """One finished seed run."""

    study: str
    fingerprint: str
    seed: int
    state: str
    """`complete`, `diverged` or `failed`."""
    max_epoch: int
    best_epoch: int | None
    metrics: dict[str, float]
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
    checkpoint: str | None = None
    """Where the selected network is."""
    tracked: bool = False
    """Whether MLflow has all of it."""
    confusion: dict[str, list[list[int]]] | None = None
    history: list[dict[str, Any]] | None = None
    reliability: list[list[float]] | None = None
    """See `resnet_tl.result.FitResult`."""


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def url_of(path: Path) -> str:
    """SQLAlchemy's address of a SQLite file; its name may hold any character."""
    return str(sa.URL.create("sqlite", database=str(path.absolute())))


def create_engine(path: Path) -> sa.Engine:
    """Opens a SQLite file with a patient lock; many may read while the driver writes."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path.absolute())), connect_args={"timeout": 60})
    return engine


def create_tables(path: Path) -> None:
    """Makes the ledger's tables in a file that nobody else has opened yet."""
    engine = create_engine(path)
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA journal_mode=WAL"))
    _metadata.create_all(engine)
    engine.dispose()


class LedgerError(UserError):
    """`studies.db` is damaged, or of another format."""


class Ledger:
    """Reads and writes `studies.db`."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(path)
        try:
            with self._engine.begin() as connection:
                formats = set(connection.execute(sa.select(_studies.c.format)).scalars())
        except sa.exc.DatabaseError as error:
            raise LedgerError(f"{path} must be a ledger of this program, but cannot be read: {error.orig}.") from None
        if formats - {FORMAT}:
            raise LedgerError(f"{path} must have format {FORMAT}, but has {sorted(formats)}: another version wrote it.")
        # a ledger of an older version has fewer columns; reading it changes nothing
        there = {column["name"] for column in sa.inspect(self._engine).get_columns(_seed_runs.name)}
        self._columns = [column for column in _seed_runs.c if column.name in there]

    def upgrade(self) -> None:
        """Adds the columns that an older version did not have; for the driver, before it writes."""
        if len(self._columns) == len(_seed_runs.c):
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE {_seed_runs.name} ADD COLUMN reliability JSON"))
        except sa.exc.OperationalError as error:
            if "duplicate column" not in str(error.orig):  # the driver of another study was first
                raise
        self._columns = list(_seed_runs.c)

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    # -- studies ----------------------------------------------------------------------------------------------------

    def studies(self) -> list[StudyRow]:
        """All studies, in order of creation."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(_studies).order_by(_studies.c.created, _studies.c.name)).mappings()
            return [StudyRow(**{k: v for k, v in row.items() if k != "format"}) for row in rows]

    def study(self, name: str) -> StudyRow | None:
        """One study, or None."""
        return next((study for study in self.studies() if study.name == name), None)

    def put_study(self, row: StudyRow) -> None:
        """Adds a study, or replaces what is stored of it."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_studies).where(_studies.c.name == row.name))
            connection.execute(sa.insert(_studies).values(format=FORMAT, **_values(row)))

    def forget(self, study: str) -> None:
        """Removes the trials and failed runs of a study that has no result.

        Raises:
            AssertionError: it has one.
        """
        assert not any(run.state != "failed" for run in self.seed_runs(study))
        with self._engine.begin() as connection:
            for table in (_trials, _seed_runs):
                connection.execute(sa.delete(table).where(table.c.study == study))

    # -- trials -----------------------------------------------------------------------------------------------------

    def trials(self, study: str) -> list[TrialRow]:
        """The trials of a study, by number."""
        query = sa.select(_trials).where(_trials.c.study == study).order_by(_trials.c.number)
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings()
            return [TrialRow(**{k: v for k, v in row.items() if k != "study"}) for row in rows]

    def put_trials(self, study: str, rows: Iterable[TrialRow]) -> None:
        """Adds trials."""
        values = [{"study": study, **_values(row)} for row in rows]
        if values:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_trials), values)

    def drop_trials(self, study: str, after: int) -> None:
        """Removes trials with higher numbers, which were never run."""
        where = (_trials.c.study == study) & (_trials.c.number > after)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_trials).where(where))

    def set_params(self, study: str, params: Mapping[int, dict[str, Any]]) -> None:
        """Describes trials by their number anew, after the space has gained a parameter."""
        with self._engine.begin() as connection:
            for number, values in params.items():
                where = (_trials.c.study == study) & (_trials.c.number == number)
                connection.execute(sa.update(_trials).where(where).values(params=values))

    # -- seed runs --------------------------------------------------------------------------------------------------

    def seed_runs(self, study: str, *, fingerprint: str | None = None, heavy: bool = False) -> list[SeedRunRow]:
        """The finished seed runs of a study.

        Args:
            fingerprint: of one trial; None for all.
            heavy: with learning curves and confusion matrices.
        """
        where = _seed_runs.c.study == study
        if fingerprint is not None:
            where = where & (_seed_runs.c.fingerprint == fingerprint)
        return self._select(where, heavy=heavy)

    def seed_run(self, study: str, fingerprint: str, seed: int) -> SeedRunRow:
        """One finished seed run, with its learning curve and confusion matrix."""
        where = (_seed_runs.c.study == study) & (_seed_runs.c.fingerprint == fingerprint) & (_seed_runs.c.seed == seed)
        (row,) = self._select(where, heavy=True)
        return row

    def has_others(self, study: str) -> bool:
        """Whether the ledger holds seed runs of another study."""
        with self._engine.begin() as connection:
            return (
                connection.execute(sa.select(_seed_runs.c.seed).where(_seed_runs.c.study != study).limit(1)).first()
                is not None
            )

    def find(self, fingerprint: str, seed: int) -> SeedRunRow | None:
        """The same seed run in any study, if it is a result."""
        where = (
            (_seed_runs.c.fingerprint == fingerprint)
            & (_seed_runs.c.seed == seed)
            & _seed_runs.c.state.in_(["complete", "diverged"])
        )
        return next(iter(self._select(where, heavy=True)), None)

    def put(self, rows: Iterable[SeedRunRow]) -> None:
        """Adds finished seed runs, all or none; failed ones are replaced."""
        values = [_values(row) | {"confusion": row.confusion or {}, "history": row.history or []} for row in rows]
        if not values:
            return
        keys = [{"b_" + name: value[name] for name in ("study", "fingerprint", "seed")} for value in values]
        failed = sa.delete(_seed_runs).where(_key(), _seed_runs.c.state == "failed")
        with self._engine.begin() as connection:
            connection.execute(failed, keys)
            connection.execute(sa.insert(_seed_runs), values)

    def mark_tracked(self, study: str, checkpoints: Mapping[tuple[str, int], str | None]) -> None:
        """Remembers that MLflow has seed runs, given by fingerprint and seed, and where their networks are now."""
        keys = [
            {"b_study": study, "b_fingerprint": fingerprint, "b_seed": seed, "b_checkpoint": checkpoint}
            for (fingerprint, seed), checkpoint in checkpoints.items()
        ]
        if keys:
            query = sa.update(_seed_runs).where(_key()).values(tracked=True, checkpoint=sa.bindparam("b_checkpoint"))
            with self._engine.begin() as connection:
                connection.execute(query, keys)

    def _select(self, where: Any, *, heavy: bool) -> list[SeedRunRow]:
        columns = [column for column in self._columns if heavy or column.name not in _heavy]
        query = sa.select(*columns).where(where).order_by(_seed_runs.c.fingerprint, _seed_runs.c.seed)
        with self._engine.begin() as connection:
            return [SeedRunRow(**row) for row in connection.execute(query).mappings()]


def _key() -> Any:
    return (
        (_seed_runs.c.study == sa.bindparam("b_study"))
        & (_seed_runs.c.fingerprint == sa.bindparam("b_fingerprint"))
        & (_seed_runs.c.seed == sa.bindparam("b_seed"))
    )


def _values(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__dataclass_fields__}
    for value in values.values():
        if isinstance(value, dict):
            json.dumps(value, allow_nan=False)  # a number that is not finite must never get this far
    return values
