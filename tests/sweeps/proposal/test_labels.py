"""Which labels are doubted, and what the list is worth."""

import numpy as np

from resnet_tl.metrics import log_softmax
from sweeps.proposal.first_look import _of_labels
from sweeps.proposal.labels import Doubts, as_csv, judge
from sweeps.reporting.table import Table

CLASSES = ("cat", "dog", "fish")


def drawn(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities [N, K], and labels that are drawn from them: none is wrong, some are improbable."""
    draws = np.random.default_rng(0)
    log_p_NK = log_softmax(4 * draws.normal(size=(num, 3)))
    return log_p_NK, (log_p_NK + draws.gumbel(size=(num, 3))).argmax(1)


def judged(log_p_NK: np.ndarray, labels_N: np.ndarray, *, split: str = "train") -> Doubts:
    many = len(labels_N)
    return judge(log_p_NK, labels_N, names=[f"{n}.png" for n in range(many)], splits=[split] * many, classes=CLASSES)


def test_as_many_planted_labels_are_found_as_the_list_says_that_it_holds() -> None:
    log_p_NK, labels_N = drawn(4000)
    draws = np.random.default_rng(1)
    wrong = draws.choice(4000, 200, replace=False)
    labels_N[wrong] = (labels_N[wrong] + draws.integers(1, 3, 200)) % 3
    told = judged(log_p_NK, labels_N)
    found = {doubt.index for doubt in told.found} & set(wrong.tolist())
    assert 0.5 < told.recall < 0.9
    assert abs(len(found) / 200 - told.recall) < 0.1


def test_the_most_improbable_label_comes_first() -> None:
    log_p_NK, labels_N = drawn(2000)
    found = judged(log_p_NK, labels_N).found
    assert [doubt.p_given for doubt in found] == sorted(doubt.p_given for doubt in found)
    first = found[0]
    assert first.given == CLASSES[labels_N[first.index]]
    assert first.predicted == CLASSES[log_p_NK[first.index].argmax()]
    assert all(doubt.p_given < 0.1 for doubt in found)


def test_heads_that_are_too_sure_doubt_no_more_than_others() -> None:
    log_p_NK, labels_N = drawn(2000)
    plain, sure = judged(log_p_NK, labels_N), judged(log_softmax(5 * log_p_NK), labels_N)
    assert [doubt.index for doubt in plain.found] == [doubt.index for doubt in sure.found]


def test_a_list_that_finds_little_says_so() -> None:
    log_p_NK, labels_N = drawn(2000)
    assert not any("Nor does it find much" in line for line in judged(log_p_NK, labels_N).told())
    vague = judged(log_softmax(np.random.default_rng(2).normal(size=(2000, 3))), labels_N)
    assert any("Nor does it find much" in line for line in vague.told())


def test_labels_swapped_between_classes_that_look_alike_are_found_more_rarely_and_the_list_says_so() -> None:
    draws = np.random.default_rng(0)
    log_p_NK = log_softmax(draws.normal(size=(4000, 3)) * [1, 1, 0] + np.eye(3)[draws.integers(0, 3, 4000)] * [0, 0, 9])
    labels_N = (log_p_NK + draws.gumbel(size=(4000, 3))).argmax(1)
    wrong = draws.choice(np.flatnonzero(labels_N < 2), 200, replace=False)
    labels_N[wrong] = 1 - labels_N[wrong]
    told = judged(log_p_NK, labels_N)
    found = {doubt.index for doubt in told.found} & set(wrong.tolist())
    assert len(found) / 200 < told.recall / 2
    text = " ".join(told.told())
    assert "there may be more wrong ones than it holds" in text
    assert "in all" not in text
    assert f"agree with the labels on {told.accuracy:.0%}" in text


def test_doubted_test_images_are_shown_as_such() -> None:
    learnt, test = judged(*drawn(400)), judged(*drawn(400), split="test")
    assert "makes test easier" not in " ".join(learnt.told())
    assert f"{len(test.found)} of them are test images: whoever changes these" in " ".join(test.told())
    assert {row.split(",")[1] for row in as_csv(test).splitlines()} == {"split", "test"}
    (table,) = (block for block in _of_labels(test) if isinstance(block, Table))
    assert table.header[1] == "Split"
    assert {row[1] for row in table.rows} == {"test"}


def test_heads_that_are_right_about_all_images_doubt_none() -> None:
    assert judged(log_softmax(20 * np.eye(3)[[0, 1, 2] * 5]), np.array([0, 1, 2] * 5)).found == ()
