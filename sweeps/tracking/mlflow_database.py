"""Where MLflow keeps what it is told: a server, or our own database in `run.out`, made safely, right after a move."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from sweeps.storage.database import sqlite_url

# no telemetry, and an unreachable server is given up on quickly; both must stand before mlflow is imported
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a study is tracked."""

    out: Path
    """`run.out`, absolute."""
    cache: Path
    given: str | None
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
    def uri(self) -> str:
        """As MLflow takes it."""
        return self.given or sqlite_url(self.path)

    def artifacts_of(self, study: str) -> str | None:
        """Where the files of a study's runs belong; None leaves that to the server."""
        return self._artifacts(study) if self.uri.startswith("sqlite:") else None

    def _artifacts(self, study: str) -> str:
        return (self.out / "mlruns" / "artifacts" / study).as_uri()

    def make(self) -> None:
        """Makes our own database where there is none, and puts its addresses right after `run.out` was moved or copied.

        It is made under another name first: a kill during the first migration breaks it for good. An empty one is kept
        in the cache for each version of MLflow, whose migrations take four seconds.
        """
        if not self.is_ours:
            return
        work = self.out / "mlruns" / ".work"
        (work / "locks").mkdir(parents=True, exist_ok=True)
        with FileLock(work / "locks" / "mlflow.lock"):
            if self.path.exists():
                self._relocate()
                return
            making = work / f"mlflow.{os.getpid()}.db"
            empty = self.cache / "mlflow" / f"{version('mlflow')}.db"
            try:
                if not empty.exists():
                    empty.parent.mkdir(parents=True, exist_ok=True)
                    with tempfile.TemporaryDirectory(dir=empty.parent) as folder:
                        _migrate(Path(folder) / "empty.db").replace(empty)
                shutil.copyfile(empty, making)
            except PermissionError:  # a cache that may only be read
                making.unlink(missing_ok=True)
                _migrate(making)
            making.replace(self.path)

    def relocate(self) -> None:
        """Puts the addresses of our own database right, if it is there."""
        if self.is_ours and self.path.exists():
            self.make()

    def _relocate(self) -> None:
        """MLflow stores addresses of files absolute; those of another place become those of here."""
        connection = sqlite3.connect(self.path, timeout=60)
        try:
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
        finally:
            connection.close()


def _tail(uri: str) -> str:
    return "/".join(["", *uri.split("/")[-3:]])


def ui_command(place: Place) -> str:
    """The command that shows a study in a browser."""
    if not place.is_ours and place.uri.startswith("http"):
        return f"open {place.uri}"
    return (
        "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "
        f'mlflow ui --backend-store-uri "{place.uri}" --workers 1'
    )


def _migrate(making: Path) -> Path:
    # in a process of its own, so that no connection to this name stays open here
    script = "import sys; from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
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
