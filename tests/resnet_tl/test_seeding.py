import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.seeding import derive, shuffled, uniforms_BW


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_a_samples_draws_do_not_depend_on_the_other_samples(samples: list[int], key: int) -> None:
    together = uniforms_BW(key, np.array(samples), 5)
    alone = np.concatenate([uniforms_BW(key, np.array([sample]), 5) for sample in samples])
    assert np.array_equal(together, alone)


def test_streams_epochs_and_seeds_differ() -> None:
    keys = {derive(s, stream, e) for s in range(20) for stream in ("order", "augment", "dropout") for e in range(20)}
    assert len(keys) == 20 * 3 * 20


def test_draws_are_uniform_and_uncorrelated() -> None:
    draws = uniforms_BW(derive(1, "dropout", 1), np.arange(20_000), 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    # chi-square over 100 bins: mean 99, standard deviation 14
    counts = np.histogram(draws, 100, (0, 1))[0]
    assert ((counts - 800) ** 2 / 800).sum() < 99 + 5 * 14
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03
    following = uniforms_BW(derive(1, "dropout", 2), np.arange(20_000), 4)
    assert abs(np.corrcoef(draws[:, 0], following[:, 0])[0, 1]) < 0.03


def test_a_shuffle_is_a_permutation() -> None:
    assert sorted(shuffled(3, 100)) == list(range(100))
    assert not np.array_equal(shuffled(3, 100), shuffled(4, 100))


def test_the_numbers_never_change() -> None:
    """A ledger may hold results made from these very draws."""
    assert derive(0, "order", 1) == 2961819992523135983
    assert uniforms_BW(7, np.array([0, 5]), 2).round(6).tolist() == [[0.38983, 0.016788], [0.10356, 0.959874]]
