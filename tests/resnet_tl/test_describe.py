import re
import subprocess
import sys

import pytest

from resnet_tl.describe import main
from resnet_tl.errors import ConfigError


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_a_network_is_shown_with_its_cut(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "trial.backbone=resnet34", "trial.freeze=0.8", "data.size=224")
    lines = out.splitlines()
    assert lines[0] == "resnet34, 2 classes, head linear, starting weights imagenet"
    (cut,) = (number for number, line in enumerate(lines) if line.startswith("- cut"))
    assert lines[cut - 1].startswith("layer4, to layer4.2.conv1")
    assert "2,361,857 of 21,285,185 parameters train." in lines
    assert "Multiply-adds" in out
    assert re.search(r"total +21,285,185 +18,923,328 +3,663,249,920", out)


def test_a_crop_is_what_the_network_sees(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "trial.backbone=resnet18", "data.crop=64", "data.channels=1", "classes=5")
    assert "1×64×64" in out
    assert "512×2×2" in out
    assert "2,565" in out, "the head has an output for each class"


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("none", "Nothing is frozen."),
        ("layer2", "Cut behind layer2.1:"),
        ("all", "Cut behind pool:"),
        ("1e-4", "No cut: the frozen part ends within the first layers."),
    ],
)
def test_what_is_frozen_is_said(capsys: pytest.CaptureFixture[str], freeze: str, said: str) -> None:
    assert said in shown(capsys, "trial.backbone=resnet18", f"trial.freeze={freeze}")


def test_a_first_phase_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    main(["trial.backbone=resnet18", "trial.head_epochs=3", "classes=3"])
    out = capsys.readouterr().out
    assert "For 3 epochs first 1,539 parameters train, those of the head.\n11,178,051 of 11,178,051" in out


def test_why_there_is_no_cut_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("trial.backbone=resnet18", "trial.freeze=layer2")
    assert "changes with training (bn: batch_stats)" in shown(capsys, *base, "trial.bn=batch_stats")
    assert "no image is seen twice" in shown(capsys, *base, "trial.augment=mixup")
    assert "random weights, which each seed" in shown(capsys, *base, "trial.weights=none")


def test_words_of_users_and_secrets_stay_out_of_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("trial.backbone=resnet18", 'trial.weights=a"] --> <b>`', "format=mermaid")
    out = shown(capsys, *words)
    assert "a#34;#93; #45;#45;#62; #60;b#62;#96;" in out
    assert "geheim" not in shown(capsys, words[0], "trial.weights=https://me:geheim@x.org/w.pth", "format=plantuml")


def test_all_problems_are_told_at_once() -> None:
    words = ["study=mine", "data.root=here", "data.sizes=1", "trial.lr=-1", "format=tabel", "classes=1", "what.is=1"]
    with pytest.raises(ConfigError) as caught:
        main(words)
    told = str(caught.value)
    assert "`python -m sweeps.describe study=mine`" in told
    for part in (
        "`data.root` must be left out",
        "`data.sizes` is not an option; did you mean `size`",
        "`trial.lr`",
        "`trial.backbone` must be given",
        "did you mean `table`",
        "`classes`",
        "`what.is` is not an option",
    ):
        assert part in told, part


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trial.head=linear", "trial.dropout=0.1"], "`dropout` must be left out"),
        (["trial.augment=five_crop"], "needs `data.crop`"),
        (["trial.criterion=bce", "classes=3"], "needs two classes"),
        (["data.size=none"], "`data.size` must be a number here"),
    ],
)
def test_options_that_contradict_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main(["trial.backbone=resnet18", *words])


def test_torch_is_not_loaded() -> None:
    code = (
        "import sys; from resnet_tl.describe import main; main(['trial.backbone=resnet50', 'format=mermaid']); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
