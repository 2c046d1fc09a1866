"""A study on a cluster of two Ray nodes, with PostgreSQL and an MLflow server, that loses some of them half-way.

    python -m benchmarks.cluster [faults=false] [trials=24] [seeds=5]

All of it runs on this machine, on loopback: two raylets, a PostgreSQL server of its own, `mlflow server`. When half of
the seed runs are done, one node is killed and the PostgreSQL server is stopped as a crash stops it, for ten seconds.
The CSV must be that of one process on SQLite (`wall_s` aside), and the server must have every run, ended. Prints one
JSON object; exit status 1 where something differs. Needs the extras `ray` and `postgres`, and Debian's `postgresql`.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import kills
from sweeps.execution.cluster import OWN_SETTINGS
from tests.postgres import PostgresServer, start_server

STUDY = """
study:
  name: cluster
  question: Does a cluster change anything?
  method: grid
  seeds: {seeds}
  space: {{lr: {{values: {rates}}}, head: {{values: [linear, mlp_relu]}}}}
  tables: [summary]
trial: {{backbone: resnet18, weights: none, freeze: none, optimizer: sgd, epochs: 1, batch_size: 8}}
data: {{source: image_folder, root: {root}, size: 32}}
"""

AWAY_S = 10.0
"""How long PostgreSQL is away."""

PATIENCE_S = 3600.0


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    num_trials, num_seeds = int(options.get("trials", 24)), int(options.get("seeds", 5))
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        kills._draw(home / "images")
        rates = [round(1e-3 * 1.3**place, 6) for place in range(num_trials // 2)]
        (home / "study.yaml").write_text(STUDY.format(seeds=list(range(num_seeds)), rates=rates, root=home / "images"))
        begun = time.monotonic()
        alone = _run(home, "alone")
        told: dict[str, Any] = {"seed runs": num_trials * num_seeds}
        if alone.wait() != 0:
            raise SystemExit((home / "alone.log").read_text())
        told["one process, s"] = round(time.monotonic() - begun)
        database = _postgres(stack)
        mlflow = stack.enter_context(_mlflow(home))
        machines = _two_nodes(stack)
        begun = time.monotonic()
        study = _run(
            home,
            "cluster",
            "run.executor=ray",
            f"run.address={machines.address}",
            f"run.storage={database.new_database('sweeps')}",
            f"run.tracking_uri={mlflow}",
        )
        if options.get("faults") != "false":
            told["at the faults, done"] = _wait_for(database, study, num_trials * num_seeds // 2)
            machines.remove_node(machines.worker_nodes.copy().pop(), allow_graceful=False)
            database.stop()
            time.sleep(AWAY_S)
            database.start()
        told["status"] = study.wait(PATIENCE_S)
        told["cluster, s"] = round(time.monotonic() - begun)
        differences = _differences(home) if told["status"] == 0 else [(home / "cluster.log").read_text()[-3000:]]
        told["on the MLflow server"] = _tracked(mlflow) if told["status"] == 0 else None
        if told["on the MLflow server"] != {"trial": num_trials, "seed run": num_trials * num_seeds}:
            differences.append(f"the MLflow server has {told['on the MLflow server']}")
        told["differences"] = differences
        print(json.dumps(told))
    return 1 if differences else 0


def _run(home: Path, name: str, *words: str) -> "subprocess.Popen[bytes]":
    log = (home / f"{name}.log").open("wb")
    own = [f"run.out={home / name}", f"run.cache={home / name / 'cache'}"]
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps.run", "study=study.yaml", *own, *words],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _postgres(stack: contextlib.ExitStack) -> PostgresServer:
    server = start_server()
    if isinstance(server, str):
        raise SystemExit(server)
    stack.callback(server.remove)
    return server


@contextlib.contextmanager
def _mlflow(home: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "server").mkdir()
    store = [
        "--backend-store-uri",
        f"sqlite:///{home}/server/mlflow.db",
        "--artifacts-destination",
        f"{home}/server/files",
    ]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            *store,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=(home / "server.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(240):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _two_nodes(stack: contextlib.ExitStack) -> Any:
    os.environ.update(OWN_SETTINGS)  # which keep Ray on loopback, as long as it is not imported yet
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    stack.callback(machines.shutdown)
    machines.add_node(num_cpus=1)
    return machines


def _wait_for(database: PostgresServer, study: "subprocess.Popen[bytes]", count: int) -> int:
    """Waits until so many seed runs are in the ledger; returns how many there are."""
    while study.poll() is None:
        with contextlib.suppress(Exception):  # the tables are not there yet
            found = database.execute("SELECT count(*) FROM sweeps_seed_runs", "sweeps")[0][0]
            if int(str(found)) >= count:
                return int(str(found))
        time.sleep(0.2)
    return -1


def _differences(home: Path) -> list[str]:
    alone, cluster = (
        pd.read_csv(home / name / "reports" / "cluster.csv").drop(columns="wall_s").astype(str)
        for name in ("alone", "cluster")
    )
    return [] if alone.equals(cluster) else [f"the CSV files differ:\n{alone.compare(cluster)}"]


def _tracked(uri: str) -> dict[str, int]:
    """Ended runs on the server, by kind."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("cluster")
    found: dict[str, int] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'", page_token=token)
        for run in page:
            kind = run.data.tags.get("kind", "")
            if re.fullmatch("trial|seed run", kind):
                found[kind] = found.get(kind, 0) + 1
        token = page.token
        if not token:
            return found


if __name__ == "__main__":
    sys.exit(main())
