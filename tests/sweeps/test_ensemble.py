"""Ensembles of a finished study, from its ledger to the folder that predicts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.inference.ensemble import read_ensemble
from resnet_tl.inference.predict import classify
from resnet_tl.metrics import Floats
from sweeps.ensemble import main
from sweeps.report import main as report
from sweeps.reporting.ensembles import METHODS, Ensemble, Library, Members, make, metrics_of
from sweeps.reporting.reading import from_ledger
from sweeps.storage.database import database_of
from sweeps.storage.network_store import _of_images
from tests.sweeps.finished import finished_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    out = tmp_path_factory.mktemp("study")
    return out, finished_study(out)


def ensemble(out: Path, *words: str) -> int:
    return main(["study=drawn", f"run.out={out}", *words])


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of the printed table by method."""
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row for row in rows[2:]}


def by_predict(out: Path, folder: Path, data: Prepared, split: str) -> tuple[Floats, float]:
    """As a user would measure it, probabilities and accuracy of the stored folder on the image files of a split."""
    images = data.load()
    paths = [out / "images" / images.names[index] for index in images.splits[split]]
    found = classify(folder, paths)
    assert found.paths == paths
    accuracy = float((found.probabilities_NK.argmax(1) == images.labels_N[images.splits[split]]).mean())
    return found.probabilities_NK, accuracy


@pytest.fixture
def library(study: tuple[Path, Prepared]) -> Iterator[Library]:
    ledger = database_of(study[0]).read()
    yield Library(from_ledger(ledger, "drawn", study[0]))
    ledger.close()


@pytest.mark.parametrize(("method", "members"), [("mean", "best"), ("greedy", "all"), ("stacking", "best")])
def test_a_stored_ensemble_predicts_what_the_table_says(
    study: tuple[Path, Prepared],
    library: Library,
    method: str,
    members: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, data = study
    assert ensemble(out, f"method={method}", f"members={members}", f"out={tmp_path / 'stored'}") == 0
    row = rows_of(capsys.readouterr().out)[method]
    p_NK, accuracy = by_predict(out, tmp_path / "stored", data, "test")
    assert accuracy > 0.34, "a network that says one class always would prove nothing"
    assert f"{accuracy:.2%}" == row[4]
    one = built(library, method, "best" if members == "best" else "all")
    assert np.allclose(p_NK, one.probabilities["test"], atol=1e-5)
    assert f"{metrics_of(library, one)['val/accuracy']:.2%}" == row[3]


def built(library: Library, method: str, members: Members | None = None) -> Ensemble:
    found = make(library, method, members)
    assert isinstance(found, Ensemble)
    return found


def names(one: Ensemble) -> list[tuple[int, int]]:
    return [(member.trial.number, member.seed) for member in one.members]


def test_members_are_the_seeds_of_the_best_trial_or_of_as_many_as_are_asked_for(library: Library) -> None:
    best = library.best.number
    assert names(built(library, "mean")) == [(best, 0), (best, 1)]
    assert names(built(library, "mean", 1)) == names(built(library, "mean", "best"))
    every = [(best, 0), (best, 1), (1 - best, 0), (1 - best, 1)]
    assert names(built(library, "mean", 2)) == names(built(library, "mean", "all")) == every
    assert built(library, "greedy").num_candidates == 4


def test_labels_of_test_choose_nothing(study: tuple[Path, Prepared]) -> None:
    notes = study[0] / "mlruns" / "networks" / "drawn" / "images.json"
    before = notes.read_text()
    ledger = database_of(study[0]).read()
    chosen, tested = [], []
    try:
        for shift in (0, 1):
            content = json.loads(before)
            content["test"]["labels"] = [(label + shift) % 3 for label in content["test"]["labels"]]
            notes.write_text(json.dumps(content))
            _of_images.cache_clear()
            library = Library(from_ledger(ledger, "drawn", study[0]))
            for method in ("greedy", "stacking"):
                one = built(library, method)
                scores = metrics_of(library, one)
                chosen.append((names(one), repr(one.rule), scores["val/accuracy"]))
                tested.append(scores["test/accuracy"])
    finally:
        ledger.close()
        notes.write_text(before)
        _of_images.cache_clear()
    assert chosen[:2] == chosen[2:]
    assert tested[:2] != tested[2:]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method=voting"], "`method` must be one of all, mean, greedy, stacking"),
        (["method=gredy"], "did you mean `greedy`"),
        (["method=bagging"], "members of its own are trained on the images"),
        (["method=boosting", "members=best"], "must be the number of members that boosting trains, but got best"),
        (["members=9"], "`members` must be at most 2"),
        (["members=0"], "a number of trials from 1 up, but got 0"),
        (["members=worst"], "`members` must be best, all or a number"),
        (["out=anywhere"], "`out=` writes one ensemble"),
        (["metod=all"], "`metod` is not an option"),
    ],
)
def test_wrong_words_are_refused(study: tuple[Path, Prepared], words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        ensemble(study[0], *words)


def test_a_folder_of_other_things_is_not_replaced(study: tuple[Path, Prepared], tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    with pytest.raises(ConfigError, match="must be a new folder"):
        ensemble(study[0], "method=mean", f"out={tmp_path / 'letters'}")
    assert (tmp_path / "letters" / "mine.txt").read_text() == "dear"


def test_a_network_that_is_not_kept_is_named(study: tuple[Path, Prepared], tmp_path: Path) -> None:
    out, _ = study
    away = out / "away"
    place = out / "mlruns" / "networks" / "drawn" / "f1-1" / "checkpoint"
    place.rename(away)
    try:
        with pytest.raises(ConfigError, match=r"are not kept(.|\n)*trial 1, seed 1"):
            ensemble(out, "method=mean", "members=all", f"out={tmp_path / 'stored'}")
    finally:
        away.rename(place)
    assert not (tmp_path / "stored").exists()


def test_a_member_that_was_exchanged_is_refused(study: tuple[Path, Prepared], tmp_path: Path) -> None:
    out, _ = study
    ensemble(out, "method=mean", f"out={tmp_path / 'stored'}")
    first, second = (tmp_path / "stored" / "members" / name for name in ("00", "01"))
    first.rename(tmp_path / "first")
    second.rename(first)
    (tmp_path / "first").rename(second)
    with pytest.raises(CheckpointError, match="it was exchanged or is damaged"):
        read_ensemble(tmp_path / "stored")


def test_reports_have_the_table_too(study: tuple[Path, Prepared], capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = study
    ensemble(out)
    told = capsys.readouterr().out
    printed = {name: row for name, row in rows_of(told).items() if name in METHODS or name == "one network"}
    assert "No soup: soups look at the images" in told
    assert report(["study=drawn", f"run.out={out}", "table=ensembles"]) == 0
    assert rows_of(capsys.readouterr().out) == printed
    assert report(["study=drawn", f"run.out={out}", "table={ensembles: {method: mean, members: 2}}"]) == 0
    assert rows_of(capsys.readouterr().out)["mean"][1] == "4 (2 trials)"
