"""What reports say of classes, from the predictions that seed runs left."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_tl import predictions
from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.files import write_text
from sweeps.definition.outputs.registry import FIGURES, TABLES
from sweeps.records import NAMING, DataRecord, EnvironmentRecord, RunState, SeedRun, StudyRecord, TrialRecord
from sweeps.reporting.chart import Grid, Stack
from sweeps.reporting.figures import caption, draw
from sweeps.reporting.interactive import figure
from sweeps.reporting.markdown import table as markdown_table
from sweeps.reporting.reading import from_csv, from_ledger
from sweeps.reporting.results import Results
from sweeps.reporting.svg import svg
from sweeps.reporting.tables import make
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore


def study(
    out: Path, labels: Sequence[int], predicted: Sequence[Sequence[int]], num_classes: int
) -> tuple[Results, list[SeedRun]]:
    """A study of one trial with what it predicts under each seed, on val as on test."""
    ledger = database_of(out).open()
    classes = tuple(f"class {k}" for k in range(num_classes))
    ledger.put_study(
        StudyRecord(
            name="s", created="2000", naming=NAMING, question="q", about="", hypotheses=(), hypotheses_changed=None,
            method="grid", metric="val/accuracy", direction="maximize", seeds=tuple(range(len(predicted))),
            space={"lr": {}}, base={}, base_weights=None, pretrain={},
            data=DataRecord(
                source="drawn", options={}, classes=classes, num_images={"train": 1, "val": 1, "test": 1},
                test_name="0", images_name="0", presentation_name="0",
            ),
            environment=EnvironmentRecord(numerics=0, torch="0", torchvision="0", device="cpu", threads=1),
            tables=(), confirm=None, num_trials=1, figures=(), command="none", out=".",
        )
    )  # fmt: skip
    config = TrialConfig(backbone="resnet18", weights="none", optimizer="sgd", epochs=1, batch_size=2, lr=0.1)
    ledger.put_trials("s", [TrialRecord(number=0, fingerprint="f", params={}, config=config)])
    networks = NetworkStore(out, "s")
    side = {"names": [str(n) for n in range(len(labels))], "labels": list(labels)}
    write_text(out / "mlruns" / "networks" / "s" / "images.json", json.dumps({"val": side, "test": side}))
    runs = []
    for seed, classes_N in enumerate(predicted):
        logits: NDArray[np.float64] = 5.0 * np.eye(num_classes)[list(classes_N)]
        predictions.write(out / "work", {"val": logits, "test": logits})
        networks.adopt([(out / "work", "f", seed)])
        runs.append(
            SeedRun(
                study="s", fingerprint="f", seed=seed, state=RunState.COMPLETE, max_epoch=1, best_epoch=1,
                metrics={"val/accuracy": 0.5, "test/accuracy": 0.5}, wall_s=1.0, reason=None, started="2000-01-01",
                finished="2000-01-01", commit="0",
            )
        )  # fmt: skip
    ledger.put(runs)
    return from_ledger(ledger, "s", out), runs


def test_a_score_that_only_some_seed_runs_have_is_left_out(tmp_path: Path) -> None:
    _, runs = study(tmp_path, [0, 1], [[0, 1], [0, 0]], num_classes=2)
    ledger = database_of(tmp_path).open()
    ledger.put([replace(runs[1], seed=2, metrics=runs[1].metrics | {"test/brier": 0.5})])
    results = from_ledger(ledger, "s", tmp_path)
    assert "test/accuracy" in results.columns
    assert "test/brier" not in results.columns
    assert not results.has("test/brier")


def test_a_table_of_classes_has_the_worst_first_and_what_they_are_taken_for(tmp_path: Path) -> None:
    results, _ = study(tmp_path, [0, 0, 1, 1, 2, 2], [[0, 1, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]], num_classes=4)
    found = markdown_table(make(results, TABLES.spec("classes", "t"))[0]).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in found[2:6]] == ["class 1", "class 0", "class 2", "class 3"]
    assert found[2].startswith("| class 1 | 2 | 0.00 | 0.00 | 0.00 |")
    assert found[2].endswith("| class 2 (100%) |")
    assert found[3].startswith("| class 0 | 2 | 100.00 | 75.00 | 83.33 |")
    assert found[3].endswith("| class 1 (25%) |")
    assert found[5] == "| class 3 | 0 | / | / | / | / | / |"
    assert "means over 2 seeds" in found[-2]
    assert found[-1] == "1 of 4 classes have no image in test (/), and are in no average."
    worst = markdown_table(make(results, TABLES.spec({"classes": {"most": 1}}, "t"))[0])
    assert "class 1" in worst
    assert "class 0" not in worst
    assert "These are the worst 1 of 4 classes." in worst


def test_the_matrix_of_few_classes_is_drawn_whole(tmp_path: Path) -> None:
    results, _ = study(tmp_path, [0, 0, 1], [[0, 1, 1]], num_classes=3)
    chart = draw(results, FIGURES.spec("confusion", "f"))
    assert isinstance(chart, Grid)
    assert chart.texts == (("50", "50", "0"), ("0", "100", "0"), ("/", "/", "/"))
    assert chart.values[2] == (None, None, None)


def test_of_many_classes_the_picture_has_the_pairs_most_confused_and_the_worst_classes(tmp_path: Path) -> None:
    num_classes = 1000
    labels = [k for k in range(num_classes) for _ in range(2)]
    predicted = list(labels)
    predicted[14:16] = [700, 700]
    predicted[40] = 3
    results, _ = study(tmp_path, labels, [predicted, predicted], num_classes)
    chart = draw(results, FIGURES.spec("confusion", "f"))
    assert isinstance(chart, Stack)
    pairs, worst = chart.parts
    assert pairs.names == ("class 7 taken for class 700", "class 20 taken for class 3")
    assert pairs.values == (4.0, 2.0)
    assert worst.names[:3] == ("class 7", "class 20", "class 0")
    assert worst.values[:3] == (0.0, 50.0, 100.0)
    assert len(worst.names) == 15
    assert "1,000 classes" in caption(results, FIGURES.spec("confusion", "f"))
    assert len(re.findall("taken for", svg(chart))) == 2
    assert len(figure(chart).data) == 2


def test_a_perfect_network_of_many_classes_can_be_drawn(tmp_path: Path) -> None:
    labels = list(range(40))
    chart = draw(study(tmp_path, labels, [labels], 40)[0], FIGURES.spec("confusion", "f"))
    assert isinstance(chart, Stack)
    assert chart.parts[0].names == ()
    assert svg(chart)
    assert figure(chart)


def test_trackers_get_the_matrix_of_many_classes_as_the_cells_that_are_not_empty(tmp_path: Path) -> None:
    labels = list(range(31))
    _, (run,) = study(tmp_path, labels, [[1, *labels[1:]]], 31)
    confusion = NetworkStore(tmp_path, "s").confusion_of(run)
    assert confusion is not None
    cells = confusion["test"]
    assert list(zip(cells["true"], cells["predicted"], cells["images"], strict=True))[:2] == [(0, 1, 1), (1, 1, 1)]
    assert len(json.dumps(confusion)) < 2000


def test_details_are_not_in_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("trial,seed,lr,val/accuracy\n0,0,0.1,0.5\n")
    with pytest.raises(ConfigError, match="needs one study of the ledger"):
        make(from_csv(path), TABLES.spec("classes", "t"))
    with pytest.raises(ConfigError, match="needs one study of the ledger"):
        draw(from_csv(path), FIGURES.spec("confusion", "f"))
