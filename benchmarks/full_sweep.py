"""A real sweep of 24 full fine-tunes × 5 seeds, with and without `study.pruner`, against the tuned loop.

    python -m benchmarks.full_sweep [FOLDER]     make bench-search does it, too

60 drawings of each of nine classes at 32 pixels, 8 epochs of a ResNet-18 in bf16, 8 learning rates × 3 batch sizes,
from weights that learnt digits. Ours are whole commands, from typing them to the report; the loop is `tuned` of
`benchmarks.peers`, for which every fit but one of each batch size is counted, not run. Rounds take turns. Writes
reports/full_sweep.md: seconds, epochs, the trial that each way names, and whether what the pruner let through has the
bits of the whole study.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.images import lay_out
from sweeps.execution.devices import hardware

RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
BATCHES = [16, 32, 64]
SEEDS, EPOCHS, ROUNDS = 5, 8, 2
REPORT = Path(__file__).parent.parent / "reports" / "full_sweep.md"
PRUNERS = {
    "whole": "none",
    "rungs and race": "[{kind: rungs}, {kind: race}]",
}
STUDY = f"""
study:
  name: full
  question: Which learning rate and batch size?
  method: grid
  seeds: {list(range(SEEDS))}
  space: {{lr: {{values: {RATES}}}, batch_size: {{values: {BATCHES}}}}}
trial: {{backbone: resnet18, weights: digits, optimizer: sgd, epochs: {EPOCHS}, precision: bf16}}
data: {{source: image_folder, root: images, size: 32, val_fraction: 0.3, test_fraction: 0.1, skip_bad: true}}
run: {{cache: cache, workers: 2, threads: 1, keep: best}}
pretrain:
  digits:
    trial: {{backbone: resnet18, optimizer: sgd, lr: 0.01, epochs: 3, batch_size: 32}}
    data: {{source: digits, size: 32}}
"""


def main() -> None:
    """Measures."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="full-sweep-"))
    lay_out(work / "images", 60)
    (work / "full.yaml").write_text(STUDY)
    _ours(work, "none", "study.space={lr: {values: [1e-4]}, batch_size: {values: [64]}}", "study.seeds=[0]")
    state = _plain_weights(work)
    (data,) = {path.parent for path in (work / "cache").rglob("images.npy") if _num_classes(path.parent) == 9}
    rounds: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        told: dict[str, Any] = {"round": number + 1}
        frames = {}
        for name, pruner in PRUNERS.items():
            seconds, frames[name] = _ours(work, pruner)
            told[name] = {"seconds": round(seconds, 1), **_of(frames[name])}
        told["same bits"] = _same(frames["rungs and race"], frames["whole"])
        each = {size: _tuned(work, data, state, size) for size in BATCHES}
        told["tuned loop"] = {
            "seconds of a fit": {size: round(seconds, 2) for size, seconds in each.items()},
            "seconds": round(sum(each.values()) * len(RATES) * SEEDS, 1),
        }
        loop = told["tuned loop"]["seconds"]
        told["times as fast as the loop"] = {name: round(loop / told[name]["seconds"], 2) for name in PRUNERS}
        print(json.dumps(told), flush=True)
        rounds.append(told)
        REPORT.write_text(_page(rounds), encoding="utf-8")


def _page(rounds: list[dict[str, Any]]) -> str:
    lines = [
        "# A real sweep of full fine-tunes",
        "",
        f"Made by `python -m benchmarks.full_sweep` on {hardware('cpu')}:",
        f"{len(RATES) * len(BATCHES)} full fine-tunes × {SEEDS} seeds × {EPOCHS} epochs of a ResNet-18 in bf16,",
        "drawings at 32 pixels. Seconds of ours are those of a whole command, from typing it to the report; those of",
        "the tuned loop (`benchmarks/peers.py`) are of training alone, measured for one fit of each batch size,",
        "and multiplied.",
        "",
        "| Round | Way | Seconds | Times as fast | Epochs | Names trial | Its mean on val | Same bits |",
        "| --- " * 8 + "|",
    ]
    for told in rounds:
        loop = told["tuned loop"]["seconds"]
        every = len(RATES) * len(BATCHES) * SEEDS * EPOCHS
        lines.append(f"| {told['round']} | tuned loop | {loop:.0f} | 1 | {every} | / | / | / |")
        for name in PRUNERS:
            own = told[name]
            same = "/" if name == "whole" else "yes" if told["same bits"] else "NO"
            lines.append(
                f"| {told['round']} | ours, {name} | {own['seconds']:.0f} | {loop / own['seconds']:.2f} | "
                f"{own['epochs']} | {own['names trial']} | {100 * own['val']:.2f}% | {same} |"
            )
    return "\n".join(lines) + "\n"


def _ours(work: Path, pruner: str, *words: str) -> tuple[float, pd.DataFrame]:
    shutil.rmtree(work / "out", ignore_errors=True)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "sweeps.run", "study=full.yaml", "run.out=out",
         f"study.pruner={pruner}", *words],
        cwd=work, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return seconds, pd.read_csv(work / "out" / "reports" / "full.csv")


def _of(frame: pd.DataFrame) -> dict[str, Any]:
    """Epochs that were trained, and the trial that the study names."""
    whole = frame[frame["trial_state"] == "complete"]
    means = whole.groupby("trial")["val/accuracy"].mean().sort_values(ascending=False, kind="stable")
    return {"epochs": int(frame["max_epoch"].sum()), "names trial": int(means.index[0]), "val": float(means.iloc[0])}


def _same(some: pd.DataFrame, every: pd.DataFrame) -> bool:
    some = some[some["state"] == "complete"]
    keys = ["trial", "seed"]
    numbers = [name for name in some if name.startswith(("val/", "test/")) or name == "best_epoch"]
    both = some[keys + numbers].merge(every[keys + numbers], on=keys)
    return len(both) == len(some) and all((both[f"{name}_x"] == both[f"{name}_y"]).all() for name in numbers)


def _tuned(work: Path, data: Path, state: Path, batch_size: int) -> float:
    task = {
        "name": "tuned", "freeze": 0.0, "epochs": EPOCHS, "data": str(data), "root": str(work / "images"),
        "weights": str(state), "batch_size": batch_size, "threads": 2,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.peers", json.dumps(task)],
        cwd=work, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    seconds: float = json.loads(done.stdout.strip().splitlines()[-1])["seconds"]
    return seconds


def _plain_weights(work: Path) -> Path:
    """The weights of the stage as the loop reads them."""
    import torch

    from resnet_tl.model.first_layer import fit_first_layer
    from resnet_tl.model.weights import load

    (checkpoint,) = (work / "cache" / "pretrained").glob("*/checkpoint")
    stage = load(str(checkpoint.resolve()), "resnet18")
    state = dict(stage.state)
    state["conv1.weight"] = fit_first_layer(state["conv1.weight"], 3, std=stage.std, rule="sum")
    torch.save(state, work / "digits.pth")
    return work / "digits.pth"


def _num_classes(folder: Path) -> int:
    return max(json.loads((folder / "data.json").read_text())["labels"]) + 1


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


if __name__ == "__main__":
    main()
