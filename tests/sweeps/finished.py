"""A finished study of two trials, trained for real: images, ledger, predictions and networks."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.training.seed_run import fit
from sweeps.records import NAMING, DataRecord, EnvironmentRecord, RunState, SeedRun, StudyRecord, TrialRecord
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from tests.conftest import CPU, trial, write_images

FILE = """
study: {{name: drawn, question: q, method: grid, seeds: [0, 1], space: {{lr: {{values: [0.01, 0.03]}}}}}}
trial: {{backbone: resnet18, weights: "{out}/start.pth", optimizer: sgd, epochs: 2, batch_size: 8}}
data: {{source: image_folder, root: "{out}/images", size: 32}}
run: {{out: "{out}", cache: "{out}/cache"}}
"""


def finished_study(
    out: Path, *, freeze: str = "all", head: str = "linear", epochs: int = 8, seeds: Sequence[int] = (0, 1)
) -> Prepared:
    """Study `drawn`, and its file: two learning rates from the same random weights."""
    root = write_images(out / "images", count=20)
    asked = DataConfig.model_validate({"source": "image_folder", "root": str(root), "size": 32})
    data = prepare(asked, out / "cache")
    (out / "drawn.yaml").write_text(FILE.format(out=out))
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), out / "start.pth")
    configs = [
        trial(weights=str(out / "start.pth"), freeze=freeze, head=head, lr=lr, epochs=epochs) for lr in (0.01, 0.03)
    ]
    ledger = database_of(out).open()
    ledger.put_study(
        StudyRecord(
            name="drawn", created="2000", naming=NAMING, question="q", about="", hypotheses=(), hypotheses_changed=None,
            method="grid", metric="val/accuracy", direction="maximize", seeds=tuple(seeds), space={"lr": {}}, base={},
            base_weights=None, pretrain={},
            data=DataRecord(
                source="image_folder", options={}, classes=data.classes, num_images=data.num_images, test_name="0",
                images_name="0", presentation_name="0",
            ),
            environment=EnvironmentRecord(numerics=0, torch="0", torchvision="0", device="cpu", threads=1),
            tables=(), confirm=None, num_trials=2, figures=(), command="none", out=".",
        )
    )  # fmt: skip
    networks = NetworkStore(out, "drawn")
    networks.describe_images(data)
    ledger.put_trials(
        "drawn",
        [
            TrialRecord(number=number, fingerprint=f"f{number}", params={"lr": config.lr}, config=config)
            for number, config in enumerate(configs)
        ],
    )
    ledger.put(
        [
            _run(config, number, seed, data, networks, out / "work" / f"{number}-{seed}")
            for number, config in enumerate(configs)
            for seed in seeds
        ]
    )
    ledger.close()
    return data


def _run(config: TrialConfig, number: int, seed: int, data: Prepared, networks: NetworkStore, work: Path) -> SeedRun:
    result = fit(config, data, seed=seed, environment=CPU, folder=work)
    return SeedRun(
        study="drawn", fingerprint=f"f{number}", seed=seed, state=RunState.COMPLETE, max_epoch=config.epochs,
        best_epoch=result.best_epoch, metrics=result.metrics, wall_s=1.0, reason=None, started="2000", finished="2000",
        commit=None, network=networks.adopt([(work, f"f{number}", seed)])[0],
        compact=result.compact, history=tuple(result.history),
    )  # fmt: skip
