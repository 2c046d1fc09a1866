"""Kills studies at random moments, finishes each, and compares all that it leaves with a run that nobody killed.

    python -m benchmarks.kills                     78 kills: three studies, killed in three ways
    python -m benchmarks.kills count=6 seed=1      other moments, fewer of them
    python -m benchmarks.kills only=frozen         one of the studies

Compared are the CSV (`wall_s` aside), the best network (the bytes of its tensors, and which trial it is of), MLflow
(experiments, runs with their parameters, metrics, status and files), the files under `run.out` and `run.cache`, and
the processes: nothing may be left over. Exit status 1 if anything differs; each difference is printed.
"""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

MARK = "SWEEPS_KILLS"
"""Variable by which processes of a killed study are known, whoever is their parent by then."""

STUDY = """
study:
  name: killed
  question: Does a kill change anything?
  method: grid
  direction: maximize
  seeds: [0, 1]
  space: {lr: {values: [1e-3, 1e-2]}}
  tables: [summary]
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {workers: 2}
"""

STUDIES = {
    "frozen": ["study.seeds=[0,1,2]", "trial.epochs=120", "trial.augment=hflip"],
    "full": ["trial.weights=none", "trial.freeze=none"],
    "bayes": [
        "study.method=bayes", "study.trials=5", "study.seeds=[0]", "study.confirm={top: 2, seeds: [10, 11]}",
        "study.space={lr: {distribution: log_uniform_values, min: 1e-4, max: 0.1}, head: {values: [linear, mlp_relu]}}",
        "trial.epochs=40",
    ],
}  # fmt: skip
"""Options of each study, beside those of `STUDY`."""

KINDS = ("driver", "group", "child")
"""What is killed: the driver alone, its whole process group, or one of the processes under it."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    count, seed, only = int(options.get("count", 78)), int(options.get("seed", 0)), options.get("only")
    names = [only] if only else list(STUDIES)
    differing = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder)
        _draw(home / "images")
        (home / "killed.yaml").write_text(STUDY)
        wholes = {name: _whole(home, name) for name in names}
        for number in range(count):
            name, kind = names[number % len(names)], KINDS[number // len(names) % len(KINDS)]
            found = kill_once(home, name, kind, wholes[name], random.Random(f"{seed}/{number}"))
            differing += bool(found.differences)
            print(f"{number + 1:3}/{count} {name:6} {kind:6} at {found.moment}", flush=True)
            for line in found.differences:
                print(f"      {line}", flush=True)
    print(f"{count} kills, {differing} of them left something different")
    return 1 if differing else 0


# -- studies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A study that nobody killed."""

    left: dict[str, Any]
    wall_s: float
    cache: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What came of a kill."""

    moment: str
    differences: list[str]


def _whole(home: Path, name: str) -> Whole:
    first, out = home / f"first-{name}", home / f"whole-{name}"
    _require(_finish(home, name, first, first / "cache"))
    _make_cache(out / "cache", first / "cache", pretrained=False)
    begun = time.monotonic()
    _require(_finish(home, name, out, out / "cache"))
    wall_s = time.monotonic() - begun
    _require(_all_differences(left(first, first / "cache"), left(out, out / "cache")))
    return Whole(left=left(out, out / "cache"), wall_s=wall_s, cache=out / "cache")


def _require(differences: list[str]) -> None:
    if differences:
        raise SystemExit("two runs that nobody killed must be alike:\n" + "\n".join(differences))


def _make_cache(cache: Path, like: Path, *, pretrained: bool) -> None:
    """A cache that lacks what the study computes, but has the empty database of MLflow, which takes seconds to make."""
    shutil.copytree(like / "mlflow", cache / "mlflow")
    if pretrained and (like / "pretrained").exists():
        shutil.copytree(like / "pretrained", cache / "pretrained")


def kill_once(home: Path, name: str, kind: str, whole: Whole, draws: random.Random) -> Found:
    """Kills a study once, finishes it, and looks at what it left."""
    out = home / "out"
    shutil.rmtree(out, ignore_errors=True)
    mark = uuid.uuid4().hex
    pretrained = draws.random() < 0.5
    _make_cache(out / "cache", whole.cache, pretrained=pretrained)
    after_s = draws.uniform(0.2, whole.wall_s)
    process = _start(home, name, out, out / "cache", mark)
    begun = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
        shorter = replace(whole, wall_s=time.monotonic() - begun)
        return kill_once(home, name, kind, shorter, draws)  # it had ended; there is nothing to kill any more
    moment = f"{after_s:.2f} s{_kill(process, kind, draws)}"
    differences = []
    try:
        process.communicate(timeout=120 if kind == "child" else 20)
    except subprocess.TimeoutExpired:
        differences.append(f"the driver went on for too long after its {kind} was killed")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if alive := _alive(mark, patience_s=20):
        differences.append(f"processes outlive their driver: {alive}")
    differences += _finish(home, name, out, out / "cache")
    differences += _all_differences(whole.left, left(out, out / "cache"))
    return Found(moment=moment, differences=differences)


def _kill(process: "subprocess.Popen[str]", kind: str, draws: random.Random) -> str:
    if kind == "driver":
        process.kill()
    elif kind == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        below = sorted(_below(process.pid))
        if not below:
            process.kill()
            return ", which had no child yet; the driver itself"
        victim = draws.choice(below)
        said = Path(f"/proc/{victim}/cmdline").read_text().replace("\0", " ")[-60:] if _is_there(victim) else ""
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return ", a child that had just ended"
        return f", one of {len(below)} children ({said.strip()})"
    return ""


def _words(name: str, out: Path, cache: Path) -> list[str]:
    base = ["-m", "sweeps.run", "study=killed.yaml", *STUDIES[name]]
    return [sys.executable, *base, f"run.out={out}", f"run.cache={cache}"]


def _start(home: Path, name: str, out: Path, cache: Path, mark: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        _words(name, out, cache),
        cwd=home,
        env=_environment() | {MARK: mark},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _finish(home: Path, name: str, out: Path, cache: Path) -> list[str]:
    done = subprocess.run(
        _words(name, out, cache), cwd=home, env=_environment(), text=True, capture_output=True, check=False
    )
    if done.returncode:
        return [f"the next start ended with status {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"]
    return []


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


# -- processes --------------------------------------------------------------------------------------------------------


def _below(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield int(child)
            yield from _below(int(child))


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _alive(mark: str, patience_s: float) -> list[int]:
    end = time.monotonic() + patience_s
    while (found := list(_marked(mark))) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _marked(mark: str) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:
            continue  # of somebody else, or just ended


# -- what a study leaves ----------------------------------------------------------------------------------------------


def left(out: Path, cache: Path, study: str = "killed") -> dict[str, Any]:
    """All that must be the same whether it was killed or not."""
    frame = pd.read_csv(out / "reports" / f"{study}.csv").drop(columns="wall_s").astype(object).fillna("")
    best = out / "mlruns" / "best" / study
    runs = _runs(out / "mlruns" / "mlflow.db")
    return {
        "CSV": {f"{row['trial']}/{row['seed']}": str(row) for row in frame.to_dict(orient="records")},
        "best network": {
            "of": (best / "origin.txt").read_text() if (best / "origin.txt").exists() else None,
            "tensors": _sha256(best / "model.safetensors"),
        },
        "MLflow": {f"{run['name']}, {part}": run[part] for run in runs for part in ("count", *_PARTS)},
        "files": _files(out, {run["id"]: run["name"] for run in runs}),
        "cache": {path: True for path in sorted(_names(cache)) if not path.endswith("/used")},
    }


def _is_time(name: str) -> bool:
    """Whether a metric of MLflow is a time, which no two runs have alike."""
    return "wall_s" in name or name == "seconds"


_PARTS = ("status", "params", "metrics", "latest", "files")


def _runs(database: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(database)
    try:
        ask = connection.execute
        found: dict[str, dict[str, Any]] = {}
        ids = ask(
            "SELECT r.run_uuid, r.status, r.artifact_uri, e.name FROM runs r JOIN experiments e USING (experiment_id)"
        ).fetchall()
        for run_id, status, uri, experiment in ids:
            tags = dict(ask("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)).fetchall())
            name = f"{experiment} {tags.get('kind')} {tags.get('fingerprint')} {tags.get('seed')}"
            metrics = ask("SELECT key, step, value FROM metrics WHERE run_uuid = ?", (run_id,)).fetchall()
            latest = ask("SELECT key, step, value FROM latest_metrics WHERE run_uuid = ?", (run_id,)).fetchall()
            folder = Path(uri.removeprefix("file://"))
            run = {
                "id": run_id,
                "name": name,
                "count": 1 + found.get(name, {}).get("count", 0),
                "status": status,
                "params": sorted(ask("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)).fetchall()),
                "metrics": sorted(row for row in metrics if not _is_time(row[0])),
                "latest": sorted(row for row in latest if not _is_time(row[0])),
                "files": sorted(
                    (path, _sha256(folder / path) if path.endswith((".safetensors", "confusion.json")) else "")
                    for path in _names(folder)
                ),
            }
            found[name] = run
        return list(found.values())
    finally:
        connection.close()


def _files(out: Path, names: dict[str, str]) -> dict[str, bool]:
    """Their paths; runs of MLflow by what they are of, since their own names are drawn."""
    found = {}
    for path in sorted(_names(out)):
        if path.startswith("cache/") or path.endswith(("-wal", "-shm")) or "/locks/" in path:
            continue
        for run_id, name in names.items():
            path = path.replace(run_id, name)
        found[path] = True
    return found


def _names(folder: Path) -> list[str]:
    """Files, and folders that are empty or hidden."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() or path.name.startswith(".") or not any(path.iterdir())
    ]


def _all_differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [f"{part}: {line}" for part in expected for line in _differences(expected[part], found[part])]


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    lines = [f"{key} is missing" for key in expected if key not in found]
    lines += [f"{key} is left over" for key in found if key not in expected]
    for key, value in expected.items():
        if key in found and found[key] != value:
            lines.append(f"{key} differs: {str(value)[:300]} became {str(found[key])[:300]}")
    return lines


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _draw(root: Path) -> None:
    """Two classes of learnable drawings."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[0:32, 0:32]
    for name, pattern in (("bars", rows % 8 < 4), ("dots", (rows % 8 < 4) & (columns % 8 < 4))):
        (root / name).mkdir(parents=True)
        for index in range(18):
            noise = draws.integers(0, 90, (32, 32, 3))
            pixels = np.clip(noise + 150 * pattern[:, :, None], 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:02}.png")


if __name__ == "__main__":
    sys.exit(main())
