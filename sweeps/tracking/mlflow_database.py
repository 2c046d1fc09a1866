"""Where MLflow keeps what it is told: a server, or our own database in `run.out`, made safely, right after a move."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from filelock import FileLock

from resnet_tl.address import Address
from resnet_tl.files import move, remove_leftovers, sync
from sweeps.records import folder_of_study
from sweeps.storage.sqlite import BUSY_S, connect, explanation, sqlite_url
from sweeps.tracking.tracker import Key

# no telemetry, and an unreachable server is given up on quickly; both must stand before mlflow is imported
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes of MLflow's own databases, for which a client chooses where files go."""

ENDED = ("FINISHED", "FAILED")
"""What MLflow calls seed runs that the ledger has."""

STAGE = "pretrain stage"
"""The tag `kind` of a pretrain stage's run."""

REPORT_NAME = "report"
"""The tag that names the content of a study's report, see `mlflow_files.report_name`."""

LEAST_BYTES = 512
"""Of a SQLite file that holds anything: its smallest page."""

LOOK_S = 1.0
"""Patience with whoever has locked our own database, where nothing but a look is at stake; training waits for it."""

Named = TypeVar("Named")
"""What a run is known by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a study is tracked."""

    out: Path
    """`run.out`, absolute."""
    cache: Path
    given: Address | None
    """`run.tracking_uri`."""

    @property
    def path(self) -> Path:
        """Of our own database."""
        return self.out / "mlruns" / "mlflow.db"

    @property
    def is_ours(self) -> bool:
        """Whether it is our own database, which nobody else lays out."""
        return self.given is None

    @property
    def is_server(self) -> bool:
        """Whether MLflow is asked over HTTP."""
        return self.given is not None and self.given.is_http

    @property
    def uri(self) -> str:
        """As MLflow's client takes it; that of a database may hold a password."""
        if self.given is None:
            return sqlite_url(self.path)
        return self.given.bare if self.is_server else self.given.full  # of a server it finds them in the environment

    @property
    def shown(self) -> str:
        """The address in messages."""
        if self.given is not None:
            return self.given.shown
        plain = f"sqlite:///{self.path}"
        return plain if quote(plain, safe="/:") == plain else self.uri

    def artifacts_of(self, study: str) -> str | None:
        """Where the files of a study's runs belong; None leaves that to the server."""
        is_database = self.given is None or self.given.scheme.split("+")[0] in DATABASES
        return self._artifacts(study) if is_database else None

    def _artifacts(self, study: str) -> str:
        return (self.out / "mlruns" / "artifacts" / folder_of_study(study)).as_uri()

    def make(self, say: Callable[[str], None]) -> None:
        """Makes our own database where there is none, and puts its addresses right after `run.out` was moved or copied.

        It is made under another name first: a kill during the first migration breaks it for good. An empty one is kept
        in the cache for each version of MLflow, whose migrations take four seconds.

        Args:
            say: told where one that is damaged has gone.

        Raises:
            OSError: it cannot be made, opened or written.
        """
        if not self.is_ours:
            return
        work = self._work
        with self._held():
            # whatever lies there is of a start that was killed, since this lock dies with its holder
            remove_leftovers(work, "mlflow.*.db*", older_than_s=0)
            if self.path.exists():
                if self._is_laid_out(BUSY_S):
                    self._relocate(BUSY_S)
                    return
                aside = self._put_aside()
                say(f"{self.path} is damaged, or no database of MLflow; it is {aside.name} now, and a new one is made.")
            making = work / f"mlflow.{os.getpid()}.db"
            try:
                shutil.copyfile(self._empty(), making)
            except OSError:  # a cache that may only be read, or lies on a disk that is full
                making.unlink(missing_ok=True)
                _migrate(making)
            for suffix in ("-wal", "-shm"):  # of a file that is no more
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            sync(making)
            move(making, self.path)

    @property
    def _work(self) -> Path:
        return self.out / "mlruns" / ".work"

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Our own database is made and changed as a whole by one process at a time."""
        (self._work / "locks").mkdir(parents=True, exist_ok=True)
        with FileLock(self._work / "locks" / "mlflow.lock"):
            yield

    def _put_aside(self) -> Path:
        """Gives our own database a name that is free, with what SQLite has not moved into it yet."""
        places = (self.path.with_name(f"mlflow.damaged{'' if n == 1 else f'-{n}'}.db") for n in count(1))
        aside = next(place for place in places if not place.exists())
        self.path.replace(aside)
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists():
            log.replace(aside.with_name(aside.name + "-wal"))
        return aside

    def _empty(self) -> Path:
        """An empty database of this version of MLflow, in the cache."""
        folder = self.cache / "mlflow"
        empty = folder / f"{version('mlflow')}.db"
        if not empty.exists() or any(folder.glob("tmp*")):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                remove_leftovers(folder, "tmp*", older_than_s=0)  # of starts that were killed
                if not empty.exists():
                    with tempfile.TemporaryDirectory(dir=folder) as making:
                        move(_migrate(Path(making) / "empty.db"), empty)
        return empty

    def _is_laid_out(self, patience_s: float) -> bool:
        """Whether our own database is there, with its tables; it may also be no database at all.

        Raises:
            OSError: it cannot be looked into.
        """
        # SQLite throws away what lies beside a file without a page, and beside any damaged one that it may write
        if not self.path.exists() or (self.path.is_file() and self.path.stat().st_size < LEAST_BYTES):
            return False
        with self._opened(patience_s, mode="ro") as connection:
            try:
                connection.execute("SELECT 1 FROM experiments, runs, tags LIMIT 1").fetchone()
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"):
                    return False
                raise
        return True

    @contextlib.contextmanager
    def _opened(self, patience_s: float, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """A connection to our own database, where there is one; what fails is an OSError that says why."""
        try:
            with contextlib.closing(connect(self.path, timeout_s=patience_s, mode=mode)) as connection:
                yield connection
        except sqlite3.Error as error:
            explained = explanation(error, self.path, waited_s=patience_s)
            raise OSError(str(explained or f"{self.path} cannot be read or written: {error}")) from error

    def lacking(self, study: str, runs: AbstractSet[Key]) -> AbstractSet[Key]:
        """Those of some seed runs that have not ended in our own database, looked up without MLflow.

        None where it cannot be looked into, because somebody has locked it, say.
        """
        marks = ", ".join("?" for _ in ENDED)
        query = (
            "SELECT f.value, CAST(s.value AS INTEGER) FROM experiments e "
            "JOIN runs r ON r.experiment_id = e.experiment_id "
            "JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = 'fingerprint' "
            "JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'seed' "
            f"WHERE e.name = ? AND r.status IN ({marks})"
        )
        return self._without_found(runs, lambda connection: set(connection.execute(query, (study, *ENDED))))

    def knows(self, study: str) -> bool:
        """Whether our own database has an experiment of a study."""
        if not self.path.exists():
            return False
        try:
            with self._opened(LOOK_S, "ro") as connection:
                found = connection.execute("SELECT 1 FROM experiments WHERE name = ?", (study,)).fetchone()
        except OSError:
            return False
        return found is not None

    def unknown(self, study: str, runs: AbstractSet[Key], interrupted: AbstractSet[str]) -> dict[str, str]:
        """Seed runs of our own database that are not among some: name and status by id; empty where it is not there.

        Args:
            interrupted: trials of which runs that were killed are taken up again by the next start, by fingerprint.
        """
        query = (
            "SELECT f.value, CAST(s.value AS INTEGER), r.run_uuid, r.name, r.status FROM experiments e "
            "JOIN runs r ON r.experiment_id = e.experiment_id "
            "JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = 'fingerprint' "
            "JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'seed' "
            "LEFT JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'kind' AND k.value = ? "
            "WHERE e.name = ? AND r.lifecycle_stage = 'active' AND k.value IS NULL"
        )
        try:
            if not self.path.exists() or not self._is_laid_out(LOOK_S):
                return {}
            with self._opened(LOOK_S, "ro") as connection:
                rows = connection.execute(query, (STAGE, study)).fetchall()
        except OSError:
            return {}
        return {
            run_id: f"{name} ({status})"
            for fp, seed, run_id, name, status in rows
            if (fp, seed) not in runs and not (status == "KILLED" and fp in interrupted)
        }

    def set_aside(self, runs: Iterable[str]) -> None:
        """Marks runs of our own database as deleted, by id, as MLflow's own button does; it can be undone there."""
        with self._opened(BUSY_S) as connection, connection:
            connection.executemany(
                "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?",
                [(int(time.time() * 1000), run_id) for run_id in runs],
            )

    def lacking_stages(self, study: str, stages: AbstractSet[str]) -> AbstractSet[str]:
        """Those of some pretrain stages, by fingerprint, that are not whole in our own database, looked up likewise."""
        query = (
            "SELECT f.value FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id "
            "JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'kind' AND k.value = ? "
            "JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = 'fingerprint' "
            "LEFT JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'state' "
            "WHERE e.name = ? AND (r.lifecycle_stage = 'deleted' OR (r.status = 'FINISHED' AND s.value IS NOT NULL))"
        )
        return self._without_found(
            stages, lambda connection: {name for (name,) in connection.execute(query, (STAGE, study))}
        )

    def lacks_report(self, study: str, name: str) -> bool:
        """Whether the study's own run in our own database has another report than that of a name, or none."""
        query = (
            "SELECT n.value FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id "
            "JOIN tags n ON n.run_uuid = r.run_uuid AND n.key = ? "
            "WHERE e.name = ? AND r.lifecycle_stage != 'deleted' AND r.status = 'FINISHED'"
        )
        return bool(
            self._without_found(
                {name}, lambda connection: {found for (found,) in connection.execute(query, (REPORT_NAME, study))}
            )
        )

    def _without_found(
        self, wanted: AbstractSet[Named], find: Callable[[sqlite3.Connection], AbstractSet[Named]]
    ) -> AbstractSet[Named]:
        try:
            if not wanted or not self._is_laid_out(LOOK_S):
                return wanted
            with self._opened(LOOK_S) as connection:
                return wanted - find(connection)
        except OSError:
            return frozenset()

    def relocate(self) -> None:
        """Puts the addresses of our own database right, if it is there.

        Raises:
            OSError: it cannot be opened or written, or is damaged.
        """
        if not self.is_ours or not self.path.exists():
            return
        with self._held():
            if not self._is_laid_out(LOOK_S):
                raise OSError(f"{self.path} is damaged, or no database of MLflow")
            self._relocate(LOOK_S)

    def _relocate(self, patience_s: float) -> None:
        """MLflow stores addresses of files absolute; those of another place become those of here."""
        with self._opened(patience_s) as connection:
            found = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
            for experiment, name, before in found:
                now = self._artifacts(name)
                # only what was laid out here: users may have made experiments of their own
                if before == now or not str(before).endswith(_tail(now)):
                    continue
                with connection:
                    connection.execute(
                        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (now, experiment)
                    )
                    connection.execute(
                        "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                        "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                        (now, len(before) + 1, experiment, len(before) + 1, before + "/"),
                    )


def _tail(uri: str) -> str:
    return "/".join(["", *uri.split("/")[-3:]])


def _migrate(making: Path) -> Path:
    # in a process of its own, so that no connection to this name stays open here
    script = "import sys; from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
    making.touch()
    made = subprocess.run(
        [sys.executable, "-c", script, sqlite_url(making)],
        capture_output=True,
        text=True,
        check=False,
        cwd=making.parent,
    )
    if made.returncode != 0:
        raise OSError(f"the tracking database could not be made: {made.stderr.strip().splitlines()[-1:]}")
    connection = sqlite3.connect(making)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return making
