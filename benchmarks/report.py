"""A report over many seed runs: `python -m benchmarks.report OUT SEED_RUNS EPOCHS` makes the ledger, writes the report
with all pictures and the HTML page, each in a process of its own, and prints seconds and peak memory as JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from resnet_tl.metrics import METRICS, evaluate_many

SEEDS = 10
N = 200
"""Images of val, and of test."""


def make_ledger(out: Path, seed_runs: int, epochs: int) -> None:
    """Fills a ledger with seed runs as large as real ones, with numbers drawn at random."""
    from resnet_tl import predictions
    from resnet_tl.config import TrialConfig
    from resnet_tl.files import write_text
    from resnet_tl.result import Epoch
    from sweeps.records import NAMING, DataRecord, EnvironmentRecord, RunState, SeedRun, StudyRecord, TrialRecord
    from sweeps.storage.database import database_of
    from sweeps.storage.network_store import NetworkStore

    ledger = database_of(out).open()
    draws = np.random.default_rng(0)
    ledger.put_study(
        StudyRecord(
            name="big", created="2000", naming=NAMING, question="How quick is a report?", about="", hypotheses=(),
            hypotheses_changed=None, method="random", metric="val/accuracy", direction="maximize",
            seeds=tuple(range(SEEDS)), space={"lr": {}, "weight_decay": {}}, base={}, base_weights=None, pretrain={},
            data=DataRecord(
                source="drawn", options={}, classes=tuple("abcdefghi"), num_images={"train": 1, "val": N, "test": N},
                test_name="0", images_name="0", presentation_name="0",
            ),
            environment=EnvironmentRecord(numerics=0, torch="0", torchvision="0", device="cpu", threads=1),
            tables=("summary", "lists", "slices", "importances"), confirm=None, num_trials=seed_runs // SEEDS,
            figures=("curves", "seeds", "heatmap", "importances", "cost", "confusion", "reliability"),
            command="none", out=".",
        )
    )  # fmt: skip
    networks = NetworkStore(out, "big")
    labels_N = np.arange(N) % 9
    sides = {split: {"names": list(map(str, range(N))), "labels": labels_N.tolist()} for split in ("val", "test")}
    write_text(out / "mlruns" / "networks" / "big" / "images.json", json.dumps(sides))
    for number in range(seed_runs // SEEDS):
        params = {"lr": float(10 ** draws.uniform(-5, -1)), "weight_decay": float(10 ** draws.uniform(-6, -2))}
        config = TrialConfig(
            backbone="resnet18", weights="none", optimizer="sgd", epochs=epochs, batch_size=32, **params
        )
        ledger.put_trials("big", [TrialRecord(number=number, fingerprint=f"f{number}", params=params, config=config)])
        rows = []
        for seed in range(SEEDS):
            names = ("train/loss", "train/accuracy", *(f"val/{m}" for m in METRICS))
            curve = draws.uniform(0.5, 0.9, (epochs, len(names)))
            history = tuple(
                Epoch(epoch=e + 1, lr=0.1, wall_s=0.1, metrics=dict(zip(names, map(float, curve[e]), strict=True)))
                for e in range(epochs)
            )
            logits = {
                split: (draws.normal(size=(N, 9)) + (1 + number / 1000) * np.eye(9)[labels_N]).astype(np.float32)
                for split in ("val", "test")
            }
            work = out / "work"
            predictions.write(work, logits)
            networks.adopt([(work, f"f{number}", seed)])
            compact = {split: predictions.pack(logits_NK, labels_N) for split, logits_NK in logits.items()}
            scores = {
                f"{split}/{name}": float(value[0])
                for split, logits_NK in logits.items()
                for name, value in evaluate_many(logits_NK[None].astype(float), labels_N).items()
            }
            rows.append(
                SeedRun(
                    study="big", fingerprint=f"f{number}", seed=seed, state=RunState.COMPLETE, max_epoch=epochs,
                    best_epoch=7, metrics=scores, wall_s=1.0 + number % 7, reason=None, started="2000-01-01",
                    finished="2000-01-01", commit="0", history=history, compact=compact,
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
