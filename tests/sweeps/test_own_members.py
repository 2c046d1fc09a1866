"""Bagging and boosting: members of their own, in the ledger, resumed, and put together."""

import json
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.draws import read_draws
from resnet_tl.errors import ConfigError
from resnet_tl.inference.ensemble import read_ensemble
from resnet_tl.inference.evaluate import evaluate
from sweeps.definition.compose import compose
from sweeps.ensemble import main
from sweeps.statistics.boosting import boosted
from sweeps.status import main as status
from sweeps.storage.database import database_of
from tests.sweeps.finished import finished_study
from tests.sweeps.test_ensemble import by_predict, rows_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    finished_study(out)
    return out


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
    assert not (out / "mlruns" / "best").exists(), "no member is the study's network"
    ensemble(out, "method=all")
    assert rows_of(capsys.readouterr().out)["bagging"][1] == "3 of its own"


def test_a_stored_one_predicts_what_its_table_says(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = finished_study(out.parent / "again")
    assert ensemble(out.parent / "again", "method=bagging", "members=2", f"out={out.parent / 'bag'}") == 0
    told = rows_of(capsys.readouterr().out)["bagging"]
    for split, cell in (("val", told[3]), ("test", told[4])):
        _, accuracy = by_predict(out.parent / "again", out.parent / "bag", data, split)
        assert cell == f"{100 * accuracy:.2f}%"


def test_boosting_draws_what_members_before_got_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path
    finished_study(out, epochs=3, num_noise=6)
    assert ensemble(out, "method=boosting", "members=3", f"out={out / 'boost'}") == 0
    printed = capsys.readouterr().out
    data = compose([f"study={out / 'drawn.yaml'}"]).data
    weights, says = None, []
    card = read_ensemble(out / "boost").card
    for seed in range(len(card.members)):
        told = evaluate(folder_of(out, "drawn+boosting", seed), data, split="train", cache=out / "cache")
        wrong = told.log_p_NK.argmax(1) != told.labels_N
        weights = np.full(len(wrong), 1 / len(wrong)) if weights is None else weights
        found = boosted(weights, wrong, 3)
        assert found is not None
        says.append(found.say)
        weights = found.weights_N
    assert [member.weight for member in card.members] == pytest.approx([say / sum(says) for say in says])
    draws = out / "mlruns" / "networks" / "drawn+boosting" / "draws"
    assert len(card.members) > 1
    assert (read_draws(draws / "0.npy") != read_draws(draws / "1.npy")).any()
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
