"""From a folder to a study that runs as it is."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from rich.console import Console

from resnet_tl.errors import ConfigError, DataError, WeightsError
from resnet_tl.option_text import load_yaml_file
from sweeps import init
from sweeps.definition.compose import compose
from sweeps.definition.config import Definition
from sweeps.init import _request, main
from sweeps.proposal import first_look, labels, rounds
from sweeps.proposal import speed as speeds
from sweeps.proposal.labels import Doubts, NotChecked, check_labels
from sweeps.proposal.pictures import draw_doubts
from sweeps.proposal.propose import propose, write
from sweeps.proposal.rounds import next_proposal
from sweeps.reporting.results import Trial
from sweeps.run import main as run
from sweeps.storage.database import database_of
from tests.conftest import write_images
from tests.sweeps.reporting.studies import study

QUICK = speeds.Speed(whole_s={32: 0.001, 64: 0.004}, forward_s={32: 0.0003, 64: 0.0012}, load_s=1.0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, on a machine of known speed without a connection."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(speeds, "measure", lambda *_, **__: QUICK)
    return tmp_path


def written(*words: str) -> Definition:
    assert main(words) == 0
    return compose(["study=study.yaml"])


def test_the_written_file_is_a_study_that_can_be_run_from_anywhere(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(home / "my images")
    definition = written("my images", "weights=rotations")
    capsys.readouterr()
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert run(["study=../study.yaml", "run.dry_run=true"]) == 0
    told = capsys.readouterr().out
    assert definition.study.name == "my_images"
    assert len(re.findall(r"\n +\d  (?:own_images|none) ", told)) == 7
    assert "warning" not in told.replace("warning: the pretrain stage own_images learns", "")


def test_weights_that_cannot_be_had_are_replaced_aloud_and_only_where_they_were_not_asked_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(home / "images")
    definition = written("images")
    assert "must be downloaded once, but that failed" in " ".join(capsys.readouterr().out.split())
    assert next(definition.points())["weights"] == "own_images"
    assert "but that failed" in (home / "study.yaml").read_text()
    with pytest.raises(WeightsError, match="weights=rotations"):
        main(["images", "weights=imagenet", "out=other.yaml"])
    assert not (home / "other.yaml").exists()


def test_weights_of_a_file_are_found_from_anywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(home / "images")
    torch.save(torchvision.models.resnet18().state_dict(), home / "own.pth")
    definition = written("images", "weights=own.pth")
    assert {definition.trial(params).weights for params in definition.points()} == {str(home / "own.pth"), "none"}
    assert definition.pretrain == {}
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert run(["study=../study.yaml", "run.dry_run=true"]) == 0


def test_the_study_to_go_on_with_is_around_the_best(home: Path) -> None:
    write_images(home / "images", count=20)
    request, _ = _request(["images", "weights=rotations"])
    proposed = propose(request)
    best = Trial(number=0, values={"weights": "own_images", "freeze": "layer3", "lr": 0.003})
    later = next_proposal(proposed, best)
    definition = write(later, request)
    first = next(definition.points())
    assert (first["lr"], definition.base["freeze"], definition.base["weights"]) == (0.003, "layer3", "own_images")
    assert definition.study.confirm is not None
    assert list(definition.pretrain) == ["own_images"]
    assert run(["study=study.yaml", "run.dry_run=true"]) == 0


def test_without_weights_only_training_from_nothing_is_compared(home: Path) -> None:
    write_images(home / "images")
    definition = written("images", "weights=none")
    assert [definition.trial(params).weights for params in definition.points()] == ["none", "none"]
    assert definition.pretrain == {}


def test_a_file_that_exists_is_left_alone_unless_told(home: Path) -> None:
    write_images(home / "images")
    (home / "study.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"study\.yaml exists.*replace=true"):
        main(["images"])
    assert (home / "study.yaml").read_text() == "mine"
    written("images", "weights=none", "replace=true")


def test_nothing_but_the_file_is_left_behind_or_changed(home: Path) -> None:
    write_images(home / "images")
    (home / ".study.yaml.draft.yaml").write_text("mine")
    written("images", "weights=none")
    assert sorted(path.name for path in home.iterdir()) == [".study.yaml.draft.yaml", "cache", "images", "study.yaml"]
    assert (home / ".study.yaml.draft.yaml").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_looked_at(home: Path) -> None:
    with pytest.raises(ConfigError, match="`out` must be in a folder in which files can be written, but /proc"):
        main(["nowhere", "out=/proc/study.yaml"])


def test_a_folder_may_be_called_as_an_option_is(home: Path) -> None:
    write_images(home / "weights")
    assert written("weights", "weights=none").study.name == "weights"


@pytest.mark.parametrize("taken", ["images", "images_labels", "images_next"])
def test_a_name_is_free_where_those_that_are_made_from_it_are(home: Path, taken: str) -> None:
    write_images(home / "images")
    definition = written("images", "weights=none")
    assert definition.study.name == "images"
    ledger = database_of(home).open()
    ledger.put_study(study(name=taken))
    ledger.close()
    assert written("images", "weights=none", "replace=true").study.name == "images_2"


def test_patients_in_names_are_kept_together_and_the_guess_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_patients(home / "scans")
    definition = written("scans", "weights=none")
    assert definition.data.group_key == r"/(\d+)_[^/]*$"
    told = capsys.readouterr().out
    assert "A GUESS" in told
    assert "in whole groups" in told  # the splits that are shown are those that the study has
    assert "LOOK AT THIS, it is a guess" in (home / "study.yaml").read_text()


def test_a_folder_of_patients_is_decoded_once_and_their_pictures_are_no_copies(home: Path) -> None:
    write_patients(home / "scans")
    Image.open(home / "scans" / "bars" / "0_0.png").rotate(90).save(home / "scans" / "bars" / "0_3.png")
    request, _ = _request(["scans", "weights=none"])
    proposed = propose(request)
    assert proposed.proposal.patients is not None
    assert len(list((home / "cache" / "resnet-sweeps" / "data" / "seen").glob("*.json"))) == 1
    names = proposed.data.load().names
    assert [{Path(names[index]).name for index in found} for found in proposed.copies.sets] == [{"0_0.png", "0_3.png"}]


def test_patients_that_the_own_splits_divide_are_told_and_not_grouped(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_patients(home / "scans")
    for label in ("bars", "dots"):
        for split, rest in (("train", (0, 1)), ("test", (2,))):
            (home / "split" / split / label).mkdir(parents=True)
            for path in (home / "scans" / label).iterdir():
                if int(path.stem.partition("_")[2]) in rest:
                    path.rename(home / "split" / split / label / path.name)
    definition = written("split", "weights=none")
    assert definition.data.group_key is None
    assert "LOOK AT THIS" in (home / "study.yaml").read_text()
    assert "too good for new patients" in " ".join(capsys.readouterr().out.split())


def test_options_that_the_user_gave_are_written_once(home: Path) -> None:
    write_patients(home / "scans")
    (home / "scans" / "bars" / "0_0.png").rename(home / "scans" / "bars" / "other.png")
    definition = written("scans", "weights=none", "data.split_seed=3", "data.group_missing=refuse")
    assert definition.data.split_seed == 3
    assert definition.data.group_key is None  # some names have no group, and that is to be refused
    assert "must be found in every path" in " ".join((home / "study.yaml").read_text().replace("#", "").split())
    assert written("scans", "weights=none", "replace=true").data.group_missing == "own"


def write_patients(root: Path) -> None:
    """Twelve patients of two classes with three pictures each."""
    write_images(root, classes=("bars", "dots"), count=18)
    for label, name in enumerate(("bars", "dots")):
        for number, path in enumerate(sorted((root / name).iterdir())):
            path.rename(path.with_name(f"{100 * label + number // 3}_{number % 3}.png"))


def test_a_rare_class_is_not_left_to_plain_accuracy(home: Path) -> None:
    write_images(home / "images", count=12)
    for path in sorted((home / "images" / "dots").iterdir())[4:]:
        path.unlink()
    assert written("images", "weights=none").study.metric == "val/balanced_accuracy"


def test_grey_images_get_one_channel(home: Path) -> None:
    write_images(home / "images")
    for path in (home / "images").rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert written("images", "weights=none").data.channels == 1


@pytest.mark.parametrize("name", ["it's: a #1 - {set}", "drei Vögel", "a\nb", '"quoted"', "- list", "'single'", "\\d"])
def test_words_of_the_user_are_text_in_the_file(home: Path, name: str) -> None:
    write_images(home / name / name / "train")
    definition = written(f"{name}/{name}", "data.skip_bad=true", "weights=none")
    assert definition.data.root == str(home / name / name)
    assert definition.data.skip_bad is True


def test_arrays_are_proposed_for_too(home: Path) -> None:
    draws = np.random.default_rng(0)
    (home / "digits").mkdir()
    np.save(home / "digits" / "x_train.npy", draws.integers(0, 256, (90, 28, 28), dtype=np.uint8))
    np.save(home / "digits" / "y_train.npy", np.arange(90) % 3)
    definition = written("digits")
    assert definition.data.source == "arrays"
    assert definition.pretrain == {}
    assert run(["study=study.yaml", "run.dry_run=true"]) == 0


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "One folder of images must be given, but got none"),
        (["images", "more"], "One folder of images must be given, but got images, more"),
        (["images", "minutes=0"], "`minutes` must be a number"),
        (["images", "minutes=true"], "`minutes` must be a number"),
        (["images", "backbone=resnet19"], "`backbone` must be one of"),
        (["images", "data.size=64"], "`data.size` is chosen here"),
        (["images", "data.synthetic={share: 0.5}"], "`data.synthetic` is nothing for a first look"),
        (["images", "data.chanels=1"], "chanels"),
        (["images", "wieghts=none"], "did you mean `?weights"),
        (["images", "run=maybe"], "`run` must be true or false"),
        (["images", "out=study.txt"], "must be a YAML file"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Path, words: list[str], match: str) -> None:
    write_images(home / "images")
    (home / "more").mkdir()
    with pytest.raises(ConfigError, match=match):
        main(words or ["weights=none"])
    assert not (home / "study.yaml").exists()


def test_a_folder_that_holds_no_classes_is_refused(home: Path) -> None:
    (home / "images").mkdir()
    with pytest.raises(DataError, match="At least two class folders"):
        main(["images"])


CHILD = """
import signal, sys, time
def end(number, frame):
    time.sleep(0.6)  # as long as it takes to end in order
    print(f"ended in order by {signal.Signals(number).name}", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, end), signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(20)
"""


@pytest.mark.skipif(os.name == "nt", reason="groups of processes")
@pytest.mark.parametrize(("kind", "comes_to"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)])
def test_the_study_ends_in_order_when_the_command_is_interrupted(
    kind: signal.Signals, comes_to: Callable[[int, int], None]
) -> None:
    """Ctrl-C comes from the terminal to both processes, SIGTERM to the command alone."""
    code = f"import sys\nfrom sweeps.init import _ended\nsys.exit(_ended([sys.executable, '-c', {CHILD!r}]))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        comes_to(command.pid, kind)
        assert command.stdout.read() == f"ended in order by {kind.name}\n"
        assert command.wait() == 130


def test_an_interrupted_second_phase_says_how_the_study_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(home / "images")
    monkeypatch.setattr(rounds, "run_first_seed", lambda *_, **__: 1.0)
    monkeypatch.setattr(init, "_ended", lambda _: 130)
    assert main(["images", "weights=none", "run=true"]) == 130
    assert "the study goes on with  python -m sweeps.run study=study.yaml" in capsys.readouterr().out


def test_an_interrupted_check_of_labels_leaves_the_rest_of_the_first_look(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def finish(_: Any, __: Any, doubts: Any, **___: Any) -> list[str]:
        told.append(doubts)
        return []

    told: list[Any] = []
    write_images(home / "images")
    monkeypatch.setattr(rounds, "run_first_seed", lambda *_, **__: 1.0)
    monkeypatch.setattr(init, "_ended", lambda _: 0)
    monkeypatch.setattr(labels, "check_labels", interrupted)
    monkeypatch.setattr(first_look, "finish", finish)
    assert main(["images", "weights=none", "run=true"]) == 130
    assert told == [NotChecked(why="it was interrupted")]


@pytest.mark.slow
def test_a_first_look_runs_from_the_folder_to_a_second_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """For real: timed, run, labels and copies looked for, and a second file that can be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write_images(tmp_path / "images", count=40)
    Image.open(root / "dots" / "05.png").rotate(90).save(root / "dots" / "turned.png")
    assert main(["images", "run=true", "minutes=1", "weights=rotations"]) == 0
    told = capfd.readouterr().out
    assert re.search(r"This takes about .* from now on", told)
    assert re.search(r"Took .*; announced were", told)
    report = (tmp_path / "reports" / "images.first_look.md").read_text()
    for baseline in ("frozen network, linear head", "default fine-tune", "from scratch"):
        assert baseline in report
    assert "labels are improbable" in report
    assert (tmp_path / "reports" / "images.copies" / "contact-0001.png").exists()
    assert load_yaml_file(tmp_path / "study_next.yaml")["study"]["confirm"]
    (command,) = re.findall(r"Run it: `python -m sweeps\.run (.*)`", report)
    assert run([*shlex.split(command), "run.dry_run=true"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("splits", [False, True])
def test_planted_labels_are_doubted_first_in_splits_of_the_data_too(home: Path, splits: bool) -> None:
    root = write_images(home / "images" / ("train" if splits else ""), count=40)
    planted = [f"wrong_{number}.png" for number in range(3)]
    for number, name in enumerate(planted):
        (root / "bars" / f"{number:02}.png").rename(root / "rings" / name)
    if splits:
        write_images(home / "images" / "val", count=5)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), home / "own.pth")
    request, _ = _request(["images", "weights=own.pth"])
    proposed = propose(request)
    write(proposed.proposal, request)
    doubts = check_labels(proposed, request, command="init", console=Console(quiet=True))
    assert isinstance(doubts, Doubts)
    assert doubts.num_images == 120 + 15 * splits
    assert {doubt.split for doubt in doubts.found} <= {"train", "val", "test"}
    images = proposed.data.load()
    of_test = {Path(images.names[index]).name for index in images.splits["test"]} & set(planted)
    assert {Path(doubt.name).name for doubt in doubts.found[:3] if doubt.split == "test"} == of_test
    assert {Path(doubt.name).name for doubt in doubts.found[:3]} == set(planted)
    pages = draw_doubts(doubts, compose(["study=study.yaml"]).data, home / "pages")
    assert [page.name for page in pages] == ["contact-0001.png"]
    assert {doubt.given for doubt in doubts.found[:3]} == {"rings"}
    assert {doubt.predicted for doubt in doubts.found[:3]} == {"bars"}
