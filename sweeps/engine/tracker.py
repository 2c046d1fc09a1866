"""Where MLflow keeps what we tell it: our own database, made safely, or a server; and fetching from there."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from sweeps.ledger import url_of

# no telemetry, and an unreachable server is given up on quickly; both must stand before mlflow is imported
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def default_uri(out: Path) -> str:
    """The tracking database of a folder."""
    return url_of(out / "mlruns" / "mlflow.db")


def ui_command(out: Path, tracking_uri: str | None) -> str:
    """The command that shows a study in a browser."""
    if tracking_uri and tracking_uri.startswith("http"):
        return f"open {tracking_uri}"
    uri = tracking_uri or default_uri(out)
    return (
        "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "
        f'mlflow ui --backend-store-uri "{uri}" --workers 1'
    )


def make_database(out: Path, cache: Path) -> None:
    """Makes `mlruns/mlflow.db` under another name first: a kill during the first migration breaks it for good.

    An empty one is kept in the cache for each version of MLflow, whose migrations take four seconds.
    """
    path = out / "mlruns" / "mlflow.db"
    work = out / "mlruns" / ".work"
    (work / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(work / "locks" / "mlflow.lock"):
        if path.exists():
            return
        making = work / f"mlflow.{os.getpid()}.db"
        empty = cache / "mlflow" / f"{version('mlflow')}.db"
        try:
            if not empty.exists():
                empty.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=empty.parent) as folder:
                    _migrate(Path(folder) / "empty.db").replace(empty)
            shutil.copyfile(empty, making)
        except PermissionError:  # a cache that may only be read
            making.unlink(missing_ok=True)
            _migrate(making)
        making.replace(path)


def _migrate(making: Path) -> Path:
    # in a process of its own, so that no connection to this name stays open here
    script = "import sys; from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
    made = subprocess.run(
        [sys.executable, "-c", script, url_of(making)],
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


def fetch_checkpoint(uri: str, out: Path, tracking_uri: str | None, destination: Path) -> None:
    """Copies the checkpoint of a run, `runs:/ID`, into a folder of this machine; all of it or nothing.

    Raises:
        OSError: there is no such run, or it has no checkpoint.
    """
    if tracking_uri is None and not (out / "mlruns" / "mlflow.db").exists():
        raise OSError(f"there is no {out / 'mlruns' / 'mlflow.db'}")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    run_id = uri.removeprefix("runs:/").split("/")[0]
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as making:
        try:
            client = MlflowClient(tracking_uri or default_uri(out))
            fetched = client.download_artifacts(run_id, "checkpoint", making)
        except MlflowException as error:
            raise OSError(str(error).splitlines()[0]) from None
        shutil.rmtree(destination, ignore_errors=True)
        Path(fetched).rename(destination)
