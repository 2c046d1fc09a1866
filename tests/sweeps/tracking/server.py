"""A server on this machine that talks as MLflow's does, as far as a study asks it, and remembers who logged in."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse


class Server(ThreadingHTTPServer):
    """Answers, or with `status` refuses everything and repeats what it was told, as a bad proxy may."""

    def __init__(self, artifacts: str, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.artifacts, self.status = artifacts, status
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.logins: set[str] = set()
        self.lock = threading.Lock()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def serve(artifacts: str, status: int = 200) -> Iterator[Server]:
    with Server(artifacts, status) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def do_GET(self) -> None:
        asked = {key: values[0] for key, values in parse_qs(urlparse(self.path).query).items()}
        self._answer(asked)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def _answer(self, asked: dict[str, Any]) -> None:
        header = self.headers.get("Authorization", "")
        kind, _, login = header.partition(" ")
        plain = base64.b64decode(login).decode() if kind == "Basic" else login
        server = self.server
        with server.lock:
            server.logins.add(plain)
            call = urlparse(self.path).path.rpartition("/mlflow/")[2]
            status, told = server.status, {}
            if status == 200:
                status, told = self._told(call, asked)
            else:
                message = f"no entry for {plain} by {header} at http://{plain}@{server.place}/?password={plain}"
                told = {"error_code": "PERMISSION_DENIED", "message": message}
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _told(self, call: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        server = self.server
        if call == "experiments/get-by-name":
            found = server.experiments.get(asked["experiment_name"])
            if found is None:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
            return 200, {"experiment": found}
        if call == "experiments/create":
            number = str(len(server.experiments) + 1)
            server.experiments[asked["name"]] = {
                "experiment_id": number, "name": asked["name"], "artifact_location": server.artifacts,
                "lifecycle_stage": "active",
            }  # fmt: skip
            return 200, {"experiment_id": number}
        if call == "experiments/set-experiment-tag":
            (found,) = [own for own in server.experiments.values() if own["experiment_id"] == asked["experiment_id"]]
            found.setdefault("tags", []).append({"key": asked["key"], "value": asked["value"]})
            return 200, {}
        if call == "runs/create":
            number = f"{len(server.runs):032x}"
            info = {
                "run_id": number, "run_uuid": number, "experiment_id": asked["experiment_id"], "status": "RUNNING",
                "artifact_uri": f"{server.artifacts}/{number}", "lifecycle_stage": "active", "start_time": 0,
            }  # fmt: skip
            server.runs[number] = {
                "info": info,
                "data": {"tags": asked.get("tags", []), "params": [], "metrics": []},
            }
            return 200, {"run": server.runs[number]}
        if call == "runs/search":
            return 200, {"runs": [run for run in server.runs.values() if self._matches(run, asked.get("filter", ""))]}
        if call == "runs/get":
            return 200, {"run": server.runs[asked["run_id"]]}
        if call == "runs/update":
            run = server.runs[asked["run_id"]]
            run["info"] |= {key: asked[key] for key in ("status", "end_time") if key in asked}
            return 200, {"run_info": run["info"]}
        if call == "runs/log-batch":
            data = server.runs[asked["run_id"]]["data"]
            for kind in ("tags", "params", "metrics"):
                data[kind] += asked.get(kind, [])
            return 200, {}
        if call == "runs/log-inputs":
            server.runs[asked["run_id"]].setdefault("inputs", {})["dataset_inputs"] = asked["datasets"]
            return 200, {}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": call}

    @staticmethod
    def _matches(run: dict[str, Any], query: str) -> bool:
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        for part in filter(None, query.split(" and ")):
            name, sign, value = part.split(" ", 2)
            kind, _, key = name.partition(".")
            actual = tags.get(key) if kind == "tags" else run["info"][key]
            if (actual == value.strip("'")) != (sign == "="):
                return False
        return True
