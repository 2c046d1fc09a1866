"""What is said of a name that is no parameter: the real reason first, in whole sentences."""

import re

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.compose import compose

BASE = ("study=resnet18_heads", "data=digits")


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose([*BASE, *words])
    return str(caught.value)


OF_DATA = [("channels", "data.channels"), ("resize", "data.resize"), ("bits", "data.bits")]


@pytest.mark.parametrize(("name", "option"), OF_DATA)
@pytest.mark.parametrize(
    "word",
    [
        "study.hypotheses=[{{compare: {{{name}: [1, 2]}}, expect: difference}}]",
        "study.hypotheses=[{{compare: {{lr: [1, 2]}}, expect: difference, where: {{{name}: 1}}}}]",
        "study.space={{{name}: {{values: [1, 2]}}}}",
        "study.space={{lr: {{values: [1, 2], when: {{{name}: 1}}}}}}",
        "study.space={{lr: {{values: [1, 2], set: {{1: {{{name}: 1}}}}}}}}",
    ],
)
def test_options_of_the_data_are_told_how_to_be_compared(name: str, option: str, word: str) -> None:
    message = refused(word.format(name=name))
    assert f"`{option}` is the same for all trials of a study. Run one study for each value, and put them" in message
    assert (
        "side by side with  python -m sweeps.report study=[one,other] table=ablation  (the first one is the base)."
        in message
    )
    assert "did you mean" not in message


def test_options_that_change_the_test_images_are_not_said_to_be_comparable() -> None:
    message = refused("study.space={split_seed: {values: [1, 2]}}")
    assert "their test images are not the same, so no table compares them." in message
    assert "side by side" not in message


@pytest.mark.parametrize(
    "word",
    [
        "study.hypotheses=[{compare: {backbon: [1, 2]}, expect: difference}]",
        "study.hypotheses=[{compare: {channels: [1, 2]}, expect: difference}]",
        "study.hypotheses=[{compare: {lr: [1, 2]}, expect: difference, metric: test/acuracy}]",
        "study.hypotheses=[{compare: {lr: [1, 2]}, expect: difference, wher: 1}]",
        "study.hypotheses=[{compare: {lr: [1, 2]}, expect: 3}]",
        "study.tables=[sumary]",
        "study.tables=[{pivot: {rows: l, columns: batch_size}}]",
        "study.figures=[curvs]",
        "study.metric=val/acc",
        "study.method=gird",
        "study.direction=up",
        "study.space={lr: {distribution: unifrm}}",
        "study.space={lr: {value: [1]}}",
        "trial.optimizer=adamm",
        "trial.augment=[hflp]",
        "run.device=gpu",
        "data.source=digts",
        "study.confirm={top: 3, seed: 1}",
        "trial.learnin_rate=1",
    ],
)
def test_no_message_has_a_point_behind_another_mark(word: str) -> None:
    message = refused(word)
    assert not re.search(r"[?!.:;,][.;]( |$)", message, re.MULTILINE), message
