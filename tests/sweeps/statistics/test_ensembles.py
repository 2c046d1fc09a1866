"""Selections and stacked models, on predictions whose best combination is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm as normal

from resnet_tl.inference.ensemble import Average
from resnet_tl.metrics import METRICS, Floats, Ints, log_softmax
from sweeps.statistics.ensembles import NotPossible, greedy, of_images, score, scores_M, stack
from sweeps.statistics.planned import OnImages, Sample, paired


def drawn(seed: int, M: int = 6, N: int = 60, K: int = 3) -> tuple[Floats, Ints]:
    """Networks of different quality on the same images."""
    draws = np.random.default_rng(seed)
    labels_N = np.arange(N) % K
    strength_M = draws.uniform(0, 2, M)
    logits_MNK = strength_M[:, None, None] * np.eye(K)[labels_N] + draws.normal(size=(M, N, K))
    return np.exp(log_softmax(logits_MNK)), labels_N


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(METRICS)))
def test_greedy_is_never_worse_than_the_best_single_network_where_it_chose(seed: int, name: str) -> None:
    p_MNK, labels_N = drawn(seed)
    found = greedy(p_MNK, labels_N, name, rounds=12)
    chosen = found.rule.combine(p_MNK[list(found.places)])
    singles_M = scores_M(name, p_MNK, labels_N)
    if METRICS[name].better == "max":
        assert score(name, chosen, labels_N) >= singles_M.max()
    else:
        assert score(name, chosen, labels_N) <= singles_M.min()


def test_greedy_takes_a_network_more_than_once_where_that_is_best() -> None:
    # the first is right everywhere but on one image, where it is unsure; the second is right there, and else unsure
    labels_N = np.array([0, 0, 0, 1])
    first = np.array([[0.8, 0.2]] * 3 + [[0.55, 0.45]])
    second = np.array([[0.1, 0.9]] * 3 + [[0.2, 0.8]])
    found = greedy(np.stack([first, second]), labels_N, "accuracy")
    assert found.places == (0, 1)
    assert found.times[0] > found.times[1] > 0
    assert score("accuracy", found.rule.combine(np.stack([first, second])), labels_N) == 1.0


def test_the_mean_of_identical_members_is_the_member_to_the_last_bit() -> None:
    p_MNK, _ = drawn(0)
    same = np.stack([p_MNK[0]] * 7)
    assert np.array_equal(Average(weights_M=(1 / 7,) * 7).combine(same), p_MNK[0])


def test_what_images_bring_has_the_score_for_its_mean() -> None:
    p_MNK, labels_N = drawn(1)
    for name in (name for name, metric in METRICS.items() if metric.of_images):
        assert of_images(name, p_MNK[0], labels_N).mean() == pytest.approx(score(name, p_MNK[0], labels_N))


def test_stacking_finds_the_network_that_knows() -> None:
    draws = np.random.default_rng(3)
    labels_N = np.arange(240) % 3
    logits_MNK = draws.normal(size=(4, 240, 3))
    logits_MNK[2] += 3.0 * np.eye(3)[labels_N]
    p_MNK = np.exp(log_softmax(logits_MNK))
    found = stack(p_MNK, labels_N, None)
    weights_M = np.abs(found.rule.slopes_KMK).sum((0, 2))
    assert weights_M.argmax() == 2
    assert score("accuracy", found.held_out_NK, labels_N) == pytest.approx(
        score("accuracy", p_MNK[2], labels_N), abs=0.04
    )
    assert np.allclose(found.rule.combine(p_MNK).sum(1), 1)


@pytest.mark.parametrize("K", [2, 3])
def test_stacking_is_not_judged_on_what_it_learnt_from(K: int) -> None:
    draws = np.random.default_rng(4)
    p_MNK = np.exp(log_softmax(2 * draws.normal(size=(20, 120, K))))  # noise: nothing can be learnt of the labels
    labels_N = draws.permutation(np.arange(120) % K)
    found = stack(p_MNK, labels_N, None)
    held_out = score("accuracy", found.held_out_NK, labels_N)
    learnt = score("accuracy", found.rule.combine(p_MNK), labels_N)
    assert held_out < 1 / K + 0.12
    assert learnt > held_out + 0.15


def test_copies_do_not_tell_stacking_the_answer() -> None:
    """Each image is there twice: a fold that has one of the two would know what is asked of the other."""
    draws = np.random.default_rng(5)
    once = 2 * draws.normal(size=(60, 40, 2))
    p_MNK = np.exp(log_softmax(np.concatenate([once, once], axis=1)))
    labels_N = np.tile(draws.permutation(np.arange(40) % 2), 2)
    clusters_N = np.tile(np.arange(40), 2)
    together = score("accuracy", stack(p_MNK, labels_N, clusters_N).held_out_NK, labels_N)
    apart = score("accuracy", stack(p_MNK, labels_N, None).held_out_NK, labels_N)
    assert together < 0.65
    assert apart > 0.8


def test_stacking_says_what_it_lacks() -> None:
    p_MNK, labels_N = drawn(6, N=6)
    with pytest.raises(NotPossible, match="three independent images of val at least"):
        stack(p_MNK, labels_N, None)
    p_MNK, labels_N = drawn(6, M=700)
    with pytest.raises(NotPossible, match="members=k"):
        stack(p_MNK, labels_N, None)


def test_intervals_against_one_network_cover_whatever_chose_the_ensemble() -> None:
    """500 studies of five networks, of which the two best on val are put together: what the ensemble is truly better
    by than a network of a fresh seed, on fresh images, lies in the interval in 95% of them."""
    draws = np.random.default_rng(7)
    S, N, of_seeds, of_cells = 5, 120, 0.25, 0.8
    of_one = normal.cdf(0.4 / math.sqrt(1 + of_seeds**2 + of_cells**2))
    covered = []
    for _ in range(500):
        luck_S = of_seeds * draws.normal(size=S)

        def margins_SN(luck_S: Floats = luck_S) -> Floats:
            """By how much each network is right on each of N images that nobody saw before."""
            return 0.4 + luck_S[:, None] + draws.normal(size=N) + of_cells * draws.normal(size=(S, N))

        chosen = np.argsort((margins_SN() > 0).mean(1))[-2:]
        test_SN = margins_SN()
        together_N = test_SN[chosen].mean(0) > 0
        truly = normal.cdf((0.4 + luck_S[chosen].mean()) / math.sqrt(1 + of_cells**2 / 2)) - of_one
        samples = [
            Sample(
                values_S=tuple(values_SN.mean(1)),
                on_images=OnImages(values_SN=values_SN, clusters_N=None, bounds=(0.0, 1.0)),
            )
            for values_SN in (np.tile(together_N, (S, 1)), test_SN > 0)
        ]
        told = paired(*samples)
        assert told.low is not None
        assert told.high is not None
        covered.append(told.low <= truly <= told.high)
    assert 0.93 <= np.mean(covered) <= 0.985
