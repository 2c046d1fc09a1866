"""What a dry run tells before anything is trained."""

import time
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.errors import ConfigError
from sweeps.run import main
from tests.conftest import write_images

STUDY = """
study:
  name: mine
  question: Why?
  method: random
  trials: 1
  seeds: [0]
  space: {SPACE}
trial: {backbone: resnet18, optimizer: sgd, weights: none, batch_size: 8}
data: {source: digits, size: 16}
"""


PRETRAINED = [
    "trial.weights=stage",
    "pretrain.stage={trial: {optimizer: sgd, lr: 0.1, epochs: 1, batch_size: 8}, data: {source: digits, size: 16}}",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], space: str, *words: str) -> str:
    Path("study.yaml").write_text(STUDY.replace("SPACE", space))
    assert main(["study=study.yaml", "run.dry_run=true", *words]) == 0
    return capsys.readouterr().out


def test_a_space_that_often_breaks_a_rule_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lr = "lr: {min: 0.01, max: 0.1}"
    often = told(capsys, f"{lr}, warmup_epochs: {{min: 0, max: 9}}, epochs: {{min: 1, max: 10}}")
    assert "warning: about 4" in often
    assert "`warmup_epochs < epochs` must hold" in often
    assert "1 more trial will be proposed by random" in often
    assert "1 seed run in all" in often
    assert "warning" not in told(capsys, f"{lr}, warmup_epochs: {{min: 0, max: 1}}, epochs: {{min: 2, max: 10}}")


def test_a_million_values_take_no_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    told(capsys, "lr: {min: 0.01, max: 0.1}, epochs: {min: 1, max: 1000000}, head_width: {min: 1, max: 1000000}",
         "trial.head=mlp_relu")  # fmt: skip
    assert time.perf_counter() - began < 20


def test_a_sweep_of_wandb_is_run_and_says_how_it_was_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("theirs.yaml").write_text(
        "method: random\nrun_cap: 2\nparameters: {learning-rate: {min: 0.1, max: 0.2}, momentum: {value: 0.5}}\n"
        "command: ['${program}', --fast]\n"
    )
    words = ["study=theirs.yaml", "run.dry_run=true", "study.seeds=[0]", "trial.backbone=resnet18", "data=digits",
             "trial.optimizer=sgd", "trial.epochs=1", "trial.batch_size=8", "trial.weights=none"]  # fmt: skip
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("theirs.yaml is read as a W&B sweep. It means: learning-rate is trial.lr;")
    assert "2 seed runs in all" in out


def test_a_share_without_effect_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        write_images(home / "images" / split, count=8)
    Image.new("RGB", (32, 32)).save(home / "images" / "val" / "bars" / "one.png")
    words = ("data.source=image_folder", "data.root=images", "data.size=32", "data.val_fraction=0.3", "trial.epochs=1")
    out = told(capsys, "lr: {min: 0.01, max: 0.1}", *words, "data.test_fraction=0.3")
    assert "data.val_fraction has no effect: the data brings its own val." in out
    assert "test_fraction` has no effect" not in out


@pytest.mark.parametrize("words", [[], ["run.dry_run=true"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything(home: Path, words: list[str]) -> None:
    (home / "file").write_text("")
    with pytest.raises(ConfigError, match="`run.out` must be a folder in which files can be written, but .*file is no"):
        main(["study=quickstart", "run.out=file/inside", *words])


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [number for number, line in enumerate(lines) if "(default " in line or line.endswith("(required)")]
    assert len(named) > 60
    for number in named:
        assert lines[number + 1].startswith("      "), f"no words for {lines[number]}"


def test_balancing_says_what_it_does(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(home / "images", count=20)
    for path in sorted((home / "images" / "rings").iterdir())[8:]:
        path.unlink()
    words = ("data.source=image_folder", "data.root=images", "data.size=32", "trial.epochs=1")
    plain = told(capsys, "lr: {values: [0.1]}", *words)
    drawn = told(capsys, "lr: {values: [0.1]}", *words, "data.balanced=oversample")
    assert (
        "Balanced by drawing (data.balanced=oversample): an epoch has 42 draws in place of 34 images, 14 of each class."
    ) in drawn
    weighed = told(capsys, "lr: {values: [0.1]}", *words, "data.balanced=class_weights")
    assert (
        "Balanced in the loss (data.balanced=class_weights): an image of a class weighs rings 1.89, bars 0.81, dots "
        "0.81."
    ) in weighed
    assert "Balanced" not in plain


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "nothing is frozen"),
        (["trial.freeze=all"], "the frozen part has random weights, which each seed draws anew"),
        (["trial.freeze=0.5", "trial.bn=batch_stats", *PRETRAINED],
         "what the frozen part makes of an image changes with training (bn: batch_stats)"),
        (["trial.freeze=0.5", "trial.augment=[hflip,rotation]", *PRETRAINED],
         "no image is seen twice in the same way (augment: rotation)"),
        (["trial.freeze=0.00001", *PRETRAINED], "the frozen part ends within the first layer"),
    ],
)  # fmt: skip
def test_it_is_said_why_nothing_can_be_shared(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert f"shared: nothing, since {why}\n" in told(capsys, "lr: {values: [0.1]}", "trial.epochs=1", *words)


def test_the_disk_of_trials_that_are_still_to_be_proposed_is_counted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(capsys, "lr: {min: 0.01, max: 0.1}", "study.trials=10", "study.seeds=[0,1]", "trial.epochs=1",
               "study.confirm={top: 3, seeds: 2}")  # fmt: skip
    assert "disk: one network for each of 20 seed runs and 6 on fresh seeds to do, about 1.16 GB in all" in out
    assert "20 seed runs and 6 on fresh seeds in all, 0 done, 26 to do" in out


def test_trials_are_a_table_of_what_tells_them_apart(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(
        capsys, "lr: {values: [0.01, 0.1]}, momentum: {value: 0.5}, freeze: {values: [none, all]}",
        "study.method=grid", "study.trials=null", "study.seeds=[0,1]", "trial.epochs=2",
    )  # fmt: skip
    lines = said.splitlines()
    assert lines[0] == "mine: Why?"
    assert lines[1].startswith("4 trials × 2 seeds on digits, device auto; report: ")
    assert "every trial: momentum=0.5" in lines
    (header,) = (line for line in lines if line.startswith("trial"))
    assert header.split("  ")[0] == "trial"
    assert "momentum" not in header
    first = lines[lines.index(header) + 1].split()
    assert first[:4] == ["0", "0.01", "none", "11,175,370"]
    assert first[4:7] == ["0", "of", "2"]
    assert float(first[7]) > 0, "seconds of a seed run, as its steps took"
    assert any(line.startswith("time: about ") and "on " in line for line in lines)


def test_a_long_table_shows_its_ends(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ", ".join(str(number / 1000) for number in range(1, 71))
    said = told(
        capsys,
        f"lr: {{values: [{values}]}}",
        "study.method=grid",
        "study.trials=null",
        "trial.freeze=all",
        "trial.epochs=1",
    )
    assert "… 10 more …" in said
    assert [line.split()[0] for line in said.splitlines() if line.strip()[:2].isdigit()].count("69") == 1


def test_a_step_that_cannot_be_made_is_said_and_all_else_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeps.engine import preflight
    from sweeps.execution.everywhere import CannotTime

    def fails(*_: object, **__: object) -> None:
        raise CannotTime("RuntimeError: no room")

    monkeypatch.setattr(preflight, "forecast", fails)
    said = told(capsys, "lr: {min: 0.01, max: 0.1}", "trial.epochs=1")
    assert "time: the steps of a training could not be timed: RuntimeError: no room" in said
    assert "1 seed run in all" in said
