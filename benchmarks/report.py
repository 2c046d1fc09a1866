"""A report over many seed runs: `python -m benchmarks.report OUT SEED_RUNS EPOCHS` makes the ledger, writes the report
with all pictures and the HTML page, each in a process of its own, and prints seconds and peak memory as JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from resnet_tl.metrics import METRICS

SEEDS = 10


def make_ledger(out: Path, seed_runs: int, epochs: int) -> None:
    """Fills a ledger with seed runs as large as real ones, with numbers drawn at random."""
    from resnet_tl.config import TrialConfig
    from sweeps.ledger import Ledger, SeedRunRow, StudyRow, TrialRow, create_tables

    out.mkdir(parents=True, exist_ok=True)
    create_tables(out / "studies.db")
    ledger = Ledger(out / "studies.db")
    draws = np.random.default_rng(0)
    environment = {"torch": "0", "torchvision": "0", "device": "cpu", "threads": 1}
    data = {"fingerprint": "0", "source": "drawn", "classes": list("abcdefghi")}
    identity = {
        "metric": "val/accuracy", "direction": "maximize", "method": "random", "seeds": list(range(SEEDS)),
        "space": {"lr": {}, "weight_decay": {}}, "data": data, "environment": environment, "trial": {},
    }  # fmt: skip
    description = {
        "question": "How quick is a report?", "hypotheses": [], "tables": ["summary", "lists", "slices", "importances"],
        "figures": ["curves", "seeds", "heatmap", "importances", "cost", "confusion", "reliability"],
        "trials": seed_runs // SEEDS, "command": "none", "num_images": {"train": 1, "val": 1, "test": 1},
        "skipped": [], "num_leaked": 0, "num_contradicting": 0,
    }  # fmt: skip
    ledger.put_study(
        StudyRow(name="big", created="2000", identity=identity, description=description, threads=1, device="cpu")
    )
    confusion = {split: [[7] * 9] * 9 for split in ("train", "val", "test")}
    for number in range(seed_runs // SEEDS):
        params = {"lr": float(10 ** draws.uniform(-5, -1)), "weight_decay": float(10 ** draws.uniform(-6, -2))}
        config = TrialConfig(
            backbone="resnet18", weights="none", optimizer="sgd", epochs=epochs, batch_size=32, **params
        )
        dumped = config.model_dump(mode="json")
        ledger.put_trials("big", [TrialRow(number=number, fingerprint=f"f{number}", params=params, config=dumped)])
        rows = []
        for seed in range(SEEDS):
            curve = draws.uniform(0.5, 0.9, (epochs, 8))
            history = [
                {
                    "epoch": e + 1, "lr": 0.1, "wall_s": 0.1,
                    "metrics": dict(zip(("train/loss", "train/accuracy", *(f"val/{m}" for m in METRICS)),
                                        map(float, curve[e]), strict=True)),
                }
                for e in range(epochs)
            ]  # fmt: skip
            scores = {f"{s}/{m}": float(draws.uniform(0.5, 0.9)) for s in ("train", "val", "test") for m in METRICS}
            rows.append(
                SeedRunRow(
                    study="big", fingerprint=f"f{number}", seed=seed, state="complete", max_epoch=epochs, best_epoch=7,
                    metrics=scores, wall_s=1.0 + number % 7, reason=None, started="2000-01-01", finished="2000-01-01",
                    commit="0", confusion=confusion, history=history, reliability=[[7.0, 5.0, 6.0]] * 10,
                )
            )  # fmt: skip
        ledger.put(rows)
    ledger.close()


def measured(*words: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a report."""
    code = (
        "import resource, sys; from sweeps.report import main; main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, float(done.stderr.split()[-1])


def main() -> None:
    """Measures."""
    out, seed_runs, epochs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    make_ledger(out, seed_runs, epochs)
    found: dict[str, float] = {}
    for form in ("markdown", "html"):
        seconds, megabytes = measured("study=big", f"run.out={out}", f"format={form}")
        found |= {f"{form}, s": seconds, f"{form}, MB": megabytes}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
