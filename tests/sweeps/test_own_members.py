"""Bagging and boosting: members of their own, in the ledger, resumed, and put together."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.draws import draw_S, read_draws
from resnet_tl.data.prepare import prepare
from resnet_tl.errors import ConfigError
from resnet_tl.inference.ensemble import read_ensemble
from resnet_tl.inference.evaluate import evaluate
from sweeps.definition.compose import compose
from sweeps.engine.own_members import OwnMembers
from sweeps.ensemble import main
from sweeps.run import main as run
from sweeps.statistics.boosting import boosted
from sweeps.status import main as status
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from tests.conftest import trial, write_images
from tests.sweeps.test_ensemble import by_predict, rows_of

STUDY = """
study: {{name: drawn, question: q, method: grid, seeds: [0, 1], space: {{lr: {{values: [0.01, 0.03]}}}}}}
trial: {{backbone: resnet18, weights: "{out}/start.pth", freeze: all, optimizer: sgd, epochs: 3, batch_size: 8}}
data: {{source: image_folder, root: "{out}/images", size: 32{shifted}}}
run: {{out: "{out}", cache: "{out}/cache", workers: 1}}
"""


def run_study(out: Path, *, shifted: bool = False) -> Path:
    """Runs study `drawn`, whose networks do not get all images right."""
    root = write_images(out / "images", count=20)
    draws = np.random.default_rng(5)
    for path in (path for number in range(6) for path in sorted(root.glob(f"*/{number:02}.png"))):
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), out / "start.pth")
    beside = f', shifted: {{other: "{write_images(out / "other", count=3)}"}}' if shifted else ""
    (out / "drawn.yaml").write_text(STUDY.format(out=out, shifted=beside))
    assert run([f"study={out / 'drawn.yaml'}"]) == 0
    return out


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(tmp_path_factory.mktemp("study"))


def ensemble(out: Path, *words: str) -> int:
    return main([f"study={out / 'drawn.yaml'}", *words])


def states(out: Path, name: str) -> dict[int, str]:
    ledger = database_of(out).read()
    found = {run.seed: run.finished for run in ledger.seed_runs(name)}
    ledger.close()
    return found


def folder_of(out: Path, name: str, seed: int) -> Path:
    return next((out / "mlruns" / "networks" / name).glob(f"*-{seed}")) / "checkpoint"


def test_members_are_seed_runs_that_are_trained_once(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ensemble(out, "method=all") == 0
    assert "No bagging: it trains 5 members of its own" in capsys.readouterr().out
    assert ensemble(out, "method=bagging", "members=2", f"out={out / 'bag'}") == 0
    first = capsys.readouterr().out
    row = rows_of(first)["bagging"]
    assert row[1:3] == ["2 of its own", "1/2 each"]
    before = states(out, "drawn/bagging")
    assert set(before) == {0, 1}
    stored = read_ensemble(out / "bag").card
    assert [(member.study, member.seed, member.weight) for member in stored.members] == [
        ("drawn/bagging", 0, 0.5), ("drawn/bagging", 1, 0.5),
    ]  # fmt: skip

    assert ensemble(out, "method=bagging", "members=3") == 0
    grown = states(out, "drawn/bagging")
    assert {seed: grown[seed] for seed in before} == before, "what is there is not trained again"
    assert set(grown) == {0, 1, 2}
    capsys.readouterr()
    assert ensemble(out, "method=bagging", "members=2") == 0
    assert rows_of(capsys.readouterr().out)["bagging"] == row, "fewer than there are: the first of them"
    status([f"run.out={out}"])
    assert "drawn/bagging: Members of bagging for the study drawn" in capsys.readouterr().out
    assert [path.name for path in (out / "mlruns" / "best").iterdir()] == ["drawn"], "no member is a study's network"
    ensemble(out, "method=all")
    assert rows_of(capsys.readouterr().out)["bagging"][1] == "3 of its own"


def test_a_stored_one_predicts_what_its_table_says(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ensemble(out, "method=bagging", "members=2", f"out={out / 'bag'}") == 0
    told = rows_of(capsys.readouterr().out)["bagging"]
    data = prepare(compose([f"study={out / 'drawn.yaml'}"]).data, out / "cache")
    for split, cell in (("val", told[3]), ("test", told[4])):
        _, accuracy = by_predict(out, out / "bag", data, split)
        assert cell == f"{100 * accuracy:.2f}%"


def test_boosting_draws_what_members_before_got_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run_study(tmp_path, shifted=True)
    assert ensemble(out, "method=boosting", "members=3", f"out={out / 'boost'}") == 0
    printed = capsys.readouterr().out
    asked = compose([f"study={out / 'drawn.yaml'}"]).data
    images, data = prepare(asked, out / "cache").load(), asked.model_copy(update={"shifted": None})
    train, draws = images.splits["train"], out / "mlruns" / "networks" / "drawn+boosting" / "draws"
    weights, says = np.full(len(train), 1 / len(train)), []
    card = read_ensemble(out / "boost").card
    for seed in range(len(card.members)):
        expected = draw_S(train, images.labels_N, weights, seed)
        assert (read_draws(draws / f"{seed}.npy") == expected).all(), "drawn by the weights that members before leave"
        told = evaluate(folder_of(out, "drawn+boosting", seed), data, split="train", cache=out / "cache")
        wrong = told.log_p_NK.argmax(1) != told.labels_N
        found = boosted(weights, wrong, 3)
        assert found is not None
        says.append(found.say)
        weights = found.weights_N
    assert [member.weight for member in card.members] == pytest.approx([say / sum(says) for say in says])
    assert len(card.members) > 1
    assert ("It ended early: member" in printed) == (len(card.members) < 3)
    before = states(out, "drawn/boosting")
    assert ensemble(out, "method=boosting", "members=3") == 0
    assert states(out, "drawn/boosting") == before
    assert rows_of(capsys.readouterr().out)["boosting"] == rows_of(printed)["boosting"]


def test_what_cannot_be_is_said_before_anything_is_trained(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="must be the number of members that bagging trains, but got all"):
        ensemble(out, "method=bagging", "members=all")
    with pytest.raises(ConfigError, match=r"method=boosting is not possible here: members of its own are trained on"):
        main(["study=drawn", f"run.out={out}", "method=boosting"])
    before = json.dumps(states(out, "drawn/bagging"))
    (out / "images" / "dots" / "00.png").rename(out / "gone.png")
    try:
        with pytest.raises(ConfigError, match="The images must be those that study drawn ran on"):
            ensemble(out, "method=bagging", "members=5")
    finally:
        (out / "gone.png").rename(out / "images" / "dots" / "00.png")
    assert json.dumps(states(out, "drawn/bagging")) == before


def test_a_member_that_came_to_nothing_leaves_the_others(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensemble(out, "method=bagging", "members=4")
    with closing(sqlite3.connect(out / "studies.db")) as database, database:
        database.execute(
            "UPDATE sweeps_seed_runs SET state = 'diverged', reason = 'loss' WHERE study = 'drawn/bagging' AND seed = 3"
        )
    with pytest.raises(ConfigError, match=r"member 4 of drawn/bagging diverged: loss. members=3 takes those before it"):
        ensemble(out, "method=bagging", "members=4")
    capsys.readouterr()
    assert ensemble(out, "method=all") == 0
    assert rows_of(capsys.readouterr().out)["bagging"][1] == "3 of its own"


def test_nothing_is_trained_unasked(out: Path) -> None:
    ensemble(out, "method=bagging", "members=3")
    with closing(sqlite3.connect(out / "studies.db")) as database, database:
        database.execute("DELETE FROM sweeps_seed_runs WHERE study = 'drawn/bagging' AND seed = 2")
    before = states(out, "drawn/bagging")
    ensemble(out, "method=all")
    ensemble(out, "method=bagging", "members=2")
    assert states(out, "drawn/bagging") == before


def test_members_start_as_the_trial_did(out: Path) -> None:
    kept = (out / "start.pth").read_bytes()
    torch.manual_seed(1)
    torch.save(torchvision.models.resnet18().state_dict(), out / "start.pth")
    try:
        with pytest.raises(ConfigError, match="Members must start as trial . of drawn did"):
            ensemble(out, "method=bagging", "members=6")
    finally:
        (out / "start.pth").write_bytes(kept)


def test_words_of_the_run_go_with_its_file(out: Path) -> None:
    with pytest.raises(ConfigError, match="data.channels was not set and is 1; give the file and the words"):
        ensemble(out, "method=bagging", "data.channels=1")
    with pytest.raises(ConfigError, match="`data.channels` goes with the study's file"):
        main(["study=drawn", f"run.out={out}", "data.channels=1"])
    with pytest.raises(ConfigError, match="`metod` is not an option; did you mean `method`"):
        ensemble(out, "metod=soup")
    with pytest.raises(ConfigError, match="`data.chanels` is not an option"):
        ensemble(out, "method=bagging", "data.chanels=1")


@pytest.mark.parametrize(("asked", "expected"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_members_are_scored_on_the_gpu_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, expected: str
) -> None:
    own: Any = object.__new__(OwnMembers)
    own._definition = SimpleNamespace(run=SimpleNamespace(device=asked), data=DataConfig(source="digits"))
    own._about = SimpleNamespace(environment=SimpleNamespace(device="cuda"))
    own._out, own._cache, own._trial = tmp_path, tmp_path, SimpleNamespace(config=trial())
    own._known = lambda _: (None, {0: None})
    used: list[str] = []
    told = SimpleNamespace(log_p_NK=np.zeros((2, 2)))
    monkeypatch.setattr(NetworkStore, "network_of", lambda *_: tmp_path)
    monkeypatch.setattr("resnet_tl.inference.predictor.predictor_of", lambda _, device: used.append(device))
    monkeypatch.setattr("resnet_tl.inference.evaluate.score", lambda *_, **__: told)
    assert own._predicted_N("study/boosting", 0).tolist() == [0, 0]
    assert used == [expected]
