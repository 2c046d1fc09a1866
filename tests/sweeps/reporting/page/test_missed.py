"""Which images are shown, of which networks, and which seed runs have a curve."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_tl import predictions
from resnet_tl.errors import CheckpointError
from resnet_tl.metrics import evaluate_many
from resnet_tl.result import Epoch
from sweeps.records import RunState, SeedRun, TrialRecord
from sweeps.reporting.page import missed
from sweeps.reporting.page.missed import missed_images
from sweeps.reporting.page.seed_runs import seed_runs
from sweeps.reporting.reading import from_ledger
from sweeps.reporting.results import Results
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from tests.conftest import trial
from tests.sweeps.reporting.studies import STUDY, study

LABELS = np.array([0, 1, 2, 0, 1, 2])
RUNS = {
    (0, 0): "012012", (0, 1): "112010", (1, 0): "112210", (1, 1): "110110",
}  # fmt: skip
"""What each network says of the six test images, by trial and seed."""


def logits_of(said: str) -> np.ndarray:
    """Logits whose largest is that of what was said."""
    return (4 * np.eye(3)[[int(label) for label in said]]).astype(np.float32)


def make(out: Path, names: Sequence[str], *, diverged: tuple[int, int] | None = None) -> None:
    """A ledger of two trials and two seeds, with predictions."""
    ledger = database_of(out).open()
    data = replace(STUDY.data, classes=("a", "b", "c"), num_images={"train": 9, "val": 6, "test": 6})
    ledger.put_study(study(data=data, num_trials=2))
    networks = NetworkStore(out, "s")
    side = {"names": list(names), "labels": LABELS.tolist(), "clusters": list(range(6))}
    networks_at = out / "mlruns" / "networks" / "s"
    networks_at.mkdir(parents=True)
    (networks_at / "images.json").write_text(
        json.dumps({"data": "d", "classes": ["a", "b", "c"], "val": side, "test": side})
    )
    for number in (0, 1):
        config = trial(lr=0.1 * (number + 1))
        record = TrialRecord(number=number, fingerprint=f"f{number}", params={"lr": config.lr}, config=config)
        ledger.put_trials("s", [record])
    for (number, seed), said in RUNS.items():
        is_whole = (number, seed) != diverged
        logits = dict.fromkeys(("val", "test"), logits_of(said))
        if is_whole:
            predictions.write(out / "work", logits)
            networks.adopt([(out / "work", f"f{number}", seed)])
        scores = {
            f"{split}/{name}": float(value[0])
            for split, logits_NK in logits.items()
            for name, value in evaluate_many(logits_NK[None].astype(float), LABELS).items()
        }
        curve = (0.5, 0.61239 if is_whole else None)
        ledger.put(
            [
                SeedRun(
                    study="s", fingerprint=f"f{number}", seed=seed, max_epoch=2, wall_s=1.0, reason=None, commit=None,
                    state=RunState.COMPLETE if is_whole else RunState.DIVERGED, best_epoch=2 if is_whole else None,
                    metrics=scores if is_whole else {}, started="2000-01-01", finished="2000-01-01",
                    history=tuple(
                        Epoch(epoch=place, lr=0.1, wall_s=1.0, metrics={} if value is None else {"val/accuracy": value})
                        for place, value in enumerate(curve, start=1)
                    ),
                    compact={s: predictions.pack(each, LABELS) for s, each in logits.items()} if is_whole else None,
                )
            ]
        )  # fmt: skip
    ledger.close()


def read(out: Path) -> Results:
    """The study."""
    return from_ledger(database_of(out).read(), "s", out)


NAMES = [f"/somewhere/photos/{'abc'[label]}/{place}.png" for place, label in enumerate(LABELS.tolist())]


def test_images_are_grouped_by_how_many_networks_miss_them(tmp_path: Path) -> None:
    make(tmp_path, NAMES)
    found = missed_images(read(tmp_path), tmp_path / "cache")
    assert found is not None
    assert (found.num_networks, found.num_images) == (4, 6)
    # 0 is missed by three, 5 by three, 3 by two of four; 2 and 4 by one
    assert (found.num_by_all, found.num_by_half) == (0, 3)
    assert [image.name for image in found.by_half] == ["a/0.png", "c/5.png", "a/3.png"]
    assert [image.num_missed for image in found.by_half] == [3, 3, 2]
    assert found.by_half[0].given == "a"
    assert found.by_half[0].said == (("b", 3), ("a", 1))
    assert found.by_half[2].said == (("a", 2), ("c", 1), ("b", 1))
    assert all(image.address is None for image in found.by_half)


def test_an_image_that_all_miss_is_in_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNS, (0, 0), "112012")
    monkeypatch.setattr(missed, "MOST_SHOWN", 1)
    make(tmp_path, NAMES)
    found = missed_images(read(tmp_path), tmp_path / "cache")
    assert found is not None
    assert (found.num_by_all, found.num_by_half) == (1, 2)
    assert [image.name for image in (*found.by_all, *found.by_half)] == ["a/0.png", "c/5.png"], "the first of each"


def test_only_complete_runs_are_asked(tmp_path: Path) -> None:
    make(tmp_path, NAMES, diverged=(1, 1))
    found = missed_images(read(tmp_path), tmp_path / "cache")
    assert found is not None
    assert found.num_networks == 3


def test_names_of_other_images_than_predicted_are_refused(tmp_path: Path) -> None:
    make(tmp_path, NAMES[:-1])
    with pytest.raises(CheckpointError, match="predictions of 6 images of test, but the names of 5"):
        missed_images(read(tmp_path), tmp_path / "cache")


def test_curves_are_whole_steps_and_an_epoch_without_a_score_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, NAMES, diverged=(1, 1))
    found = seed_runs(read(tmp_path))
    assert found is not None
    assert found.curves.runs["0/0"] == (2, (5000, 6124))
    assert found.curves.runs["1/1"] == (None, (5000, None))
    assert (found.curves.digits, found.curves.sign) == (2, "%")
    assert [row.trial for row in found.rows] == [0, 1], "trials without a rank stand behind those with one"
    assert found.rows[0].cells[0] == ("100.00%", 1.0)
    assert found.rows[1].cells[1] == ("diverged", None)


def test_a_page_holds_so_many_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps.reporting.page import seed_runs as module

    monkeypatch.setattr(module, "MOST_RUNS", 2)
    make(tmp_path, NAMES)
    found = seed_runs(read(tmp_path))
    assert found is not None
    assert [row.trial for row in found.rows] == [0]
    assert found.num_left_out == 1
    assert sorted(found.curves.runs) == ["0/0", "0/1"]
