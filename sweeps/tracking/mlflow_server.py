"""MLflow's browser UI on this machine: started with the settings it needs, and ended with all that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from resnet_tl.errors import ConfigError, UserError
from sweeps.tracking.credentials import one_line
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_views import REPORT, SAVED_VIEW, TRIALS

HOST = "127.0.0.1"

SETTINGS: Mapping[str, str] = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without the second, MLflow 3.17 starts further processes that wait for jobs of its GenAI part."""

REFUSED_PORTS = frozenset(
    [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080]
)
"""Browsers open no page there, since other protocols have them. Source: https://fetch.spec.whatwg.org/#port-blocking"""

READY_S = 120.0
"""Patience with its start, which takes 4 s here."""

END_S = 10.0
"""Patience with its end, before it is killed."""

LOOK_EVERY_S = 0.2


class ServerError(UserError):
    """MLflow's UI did not start, or ended by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A study in MLflow."""

    name: str
    experiment: str
    """Id."""
    report: str | None
    """Id of the study's own run, which has its report; None before there is one."""
    has_view: bool
    """Whether our view of its trials is there; experiments of earlier versions have none."""


@contextlib.contextmanager
def serving(place: Place, port: int) -> Iterator["Server"]:
    """MLflow's UI for a store, starting; whatever ends the block, nothing of it is left running.

    Raises:
        ConfigError: there is no store, or the port cannot be used.
    """
    if place.is_ours and not place.path.exists():
        raise ConfigError(
            f"`run.out` must be a folder that studies were run in, but there is no {place.path}; give run.out=FOLDER "
            "of the study."
        )
    if port in REFUSED_PORTS:
        raise ConfigError(f"`port` must be one that browsers open, but they refuse {port}; the usual one is 5000.")
    _require_free(port)
    place.relocate()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            # the address by the environment, since everybody can read a command line
            env=os.environ | SETTINGS | {"MLFLOW_BACKEND_STORE_URI": place.uri},
            cwd=place.out,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # it starts others; together they are one group that can be ended
        )
        try:
            yield Server(process, said, f"http://{HOST}:{port}")
        finally:
            _end(process)


class Server:
    """The server while it runs.

    Args:
        said: what it has printed.
        base: where it answers.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", said: IO[bytes], base: str) -> None:
        self._process, self._said, self.base = process, said, base

    def wait_ready(self) -> None:
        """Waits until it answers.

        Raises:
            ServerError: it ended, or takes too long.
        """
        deadline = time.monotonic() + READY_S
        while True:
            self._require_running()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.base}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            if time.monotonic() > deadline:
                raise ServerError(f"MLflow's UI must answer at {self.base} within {READY_S:.0f} s. {self._told()}")
            time.sleep(LOOK_EVERY_S)

    def wait(self) -> None:
        """Waits until it ends, which it does not do by itself.

        Raises:
            ServerError: it did.
        """
        while True:
            self._require_running()
            time.sleep(LOOK_EVERY_S)

    def _require_running(self) -> None:
        if (status := self._process.poll()) is not None:
            raise ServerError(f"MLflow's UI has ended by itself (status {status}). {self._told()}")

    def _told(self) -> str:
        self._said.seek(0)
        lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(["It said last:", *lines[-5:]]) if lines else "It said nothing."


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # as servers bind: what closed connections still hold is free
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"`port` must be free, but {port} cannot be used ({error.strerror}); another UI may run there. Give "
                "port=NUMBER."
            ) from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the server with all that it started."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        process.wait()
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # asked again, it would leave the server behind
        with contextlib.suppress(ValueError):  # of another thread
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    deadline = time.monotonic() + END_S
    kind = signal.SIGTERM
    with contextlib.suppress(ProcessLookupError):  # raised when nobody of the group is left
        while True:
            os.killpg(process.pid, kind)
            process.poll()  # takes the first of them, which would stay in the group otherwise
            time.sleep(0.05)
            os.killpg(process.pid, 0)
            if time.monotonic() > deadline:
                kind = signal.SIGKILL
    process.wait()


def find_studies(uri: str) -> list[Shown]:
    """The studies of a server, newest first.

    Raises:
        ServerError: it cannot be asked.
    """
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(uri)
        return [_shown(client, found) for found in _experiments(client) if found.name != "Default"]
    except Exception as error:  # MLflow's own, and those of the connection
        raise ServerError(f"MLflow at {uri} must answer, but: {one_line(error)}.") from None


def add_views(uri: str, study: Shown, tags: Mapping[str, str]) -> None:
    """Gives an experiment of an earlier version its views."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    for key, value in tags.items():
        client.set_experiment_tag(study.experiment, key, value)


def _experiments(client: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _shown(client: Any, experiment: Any) -> Shown:
    own = client.search_runs([experiment.experiment_id], f"tags.kind = '{REPORT}'", max_results=1)
    return Shown(
        name=experiment.name,
        experiment=experiment.experiment_id,
        report=own[0].info.run_id if own else None,
        has_view=f"{SAVED_VIEW}{TRIALS}" in experiment.tags,
    )
