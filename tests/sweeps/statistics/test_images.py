"""Fresh seeds and fresh images: the variance's parts, intervals, and the test against the best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.false_claims import studies
from resnet_tl.metrics import of_images
from sweeps.statistics.images import (
    against_best_on_images,
    between_sets,
    components_of,
    difference,
    interval,
    parts_of,
    share_of_rest,
)
from sweeps.statistics.stats import LEVEL, against_best

FRACTION = (0.0, 1.0)


def drawn(seed: int, S: int = 6, N: int = 40) -> np.ndarray:
    draws = np.random.default_rng(seed)
    return draws.normal(size=(S, 1)) + draws.normal(size=(1, N)) + draws.normal(size=(S, N))


def test_the_parts_are_those_of_a_two_way_analysis_of_variance() -> None:
    """Against the mean squares written out by hand, and a table of a textbook's form."""
    table = drawn(0)
    S, N = table.shape
    rows, columns, mean = table.mean(1), table.mean(0), table.mean()
    ms_seeds = N * ((rows - mean) ** 2).sum() / (S - 1)
    ms_images = S * ((columns - mean) ** 2).sum() / (N - 1)
    ms_rest = ((table - rows[:, None] - columns + mean) ** 2).sum() / ((S - 1) * (N - 1))
    got = parts_of(table)
    assert got.rows == pytest.approx(ms_seeds / (S * N))
    assert got.seeds() == pytest.approx((ms_seeds - share_of_rest(S) * ms_rest) / (S * N))
    assert got.images == pytest.approx(ms_images / (S * N))
    assert got.together == pytest.approx(ms_rest / (S * N))


def test_images_alone_in_their_clusters_are_images() -> None:
    table = drawn(1)
    alone = parts_of(table, np.arange(40)[::-1].copy())
    assert alone.rows == pytest.approx(parts_of(table).rows)
    assert alone.images == pytest.approx(parts_of(table).images)


def test_copies_count_once() -> None:
    """Every image four times is no more than every image once."""
    draws = np.random.default_rng(2)
    table = (draws.normal(size=(1, 50)) + draws.normal(size=(6, 50)) > 0).astype(float)
    fourfold, clusters = np.repeat(table, 4, axis=1), np.repeat(np.arange(50), 4)
    once, blind = parts_of(table), parts_of(fourfold)
    together = parts_of(fourfold, clusters)
    assert together.half() == pytest.approx(once.half())
    assert blind.half() < 0.7 * once.half()
    assert interval(fourfold, clusters, bounds=FRACTION) == pytest.approx(interval(table, bounds=FRACTION), abs=0.02)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_intervals_never_leave_the_range_of_the_score(seed: int, accuracy: float) -> None:
    table = np.random.default_rng(seed).random((3, 20)) < accuracy
    low, high = interval(table, bounds=FRACTION)
    assert 0 <= low <= table.mean() + 1e-9
    assert table.mean() - 1e-9 <= high <= 1


def test_all_right_is_no_certainty() -> None:
    """Of 50 images and none wrong, up to about 7% may be: Wilson's interval of 50 images."""
    low, high = interval(np.ones((3, 50)), bounds=FRACTION)
    assert high == pytest.approx(1)
    assert low == pytest.approx(0.9286, abs=0.01)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_an_interval_holds_a_score_at_the_bound_to_the_last_bit(score: float) -> None:
    for images in range(2, 200):
        low, high = interval(np.full((5, images), score), bounds=FRACTION)
        assert low <= score <= high


def test_a_loss_has_a_plain_interval() -> None:
    table = np.abs(drawn(3))
    low, high = interval(table, bounds=(0.0, float("inf")))
    assert (low + high) / 2 == pytest.approx(table.mean())
    assert high - low == pytest.approx(2 * parts_of(table).half())


@given(st.integers(0, 50))
def test_the_order_of_seeds_and_images_makes_no_difference(seed: int) -> None:
    draws = np.random.default_rng(seed)
    a, b = draws.random((2, 4, 30)) < 0.6
    rows, columns = draws.permutation(4), draws.permutation(30)
    one = difference(a, b, np.arange(30) // 3, bounds=FRACTION)
    other = difference(a[rows][:, columns], b[rows][:, columns], np.arange(30)[columns] // 3, bounds=FRACTION)
    assert one.p() == pytest.approx(other.p(), abs=1e-9)
    assert one.half() == pytest.approx(other.half())
    swapped = difference(b, a, np.arange(30) // 3, bounds=FRACTION)
    assert swapped.p() == pytest.approx(one.p())


def test_more_of_either_narrows_by_what_is_said() -> None:
    got = parts_of(drawn(4, S=5, N=100))
    assert got.with_more(images=2).half() < got.half()
    assert got.with_more(seeds=4).half() < got.half()
    endless = got.with_more(seeds=1e6, images=1e6)
    assert endless.half() < 0.01 * got.half()
    alone = got.with_more(seeds=1e9)
    assert alone.images == pytest.approx(got.images - got.together), "the images' own part stays"


@pytest.mark.parametrize("cluster", [1, 4])
@pytest.mark.parametrize(("seeds", "images"), [(3, 50), (5, 200)])
def test_intervals_hold_for_fresh_seeds_and_images(seeds: int, images: int, cluster: int) -> None:
    clusters = None if cluster == 1 else np.arange(images // cluster * cluster) // cluster
    held = old = 0
    draws = np.random.default_rng(images)
    for table in studies(draws, 400, 1, seeds, images // cluster * cluster, [0.75], 0.003, cluster):
        low, high = interval(table[0], clusters, bounds=FRACTION)
        held += low <= 0.75 <= high
        scores = table[0].mean(1)
        half = {3: 4.303, 5: 2.776}[seeds] * scores.std(ddof=1) / np.sqrt(seeds)
        old += abs(scores.mean() - 0.75) <= half
    assert held / 400 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)
    assert held > old, "an interval over seeds alone does not hold for new images"


def test_clusters_of_unequal_sizes_have_intervals_that_hold() -> None:
    """A few large groups among many small ones: about 60 clusters that say as much as 25 of one size."""
    draws, held, blind = np.random.default_rng(8), 0, 0
    for table in studies(draws, 400, 1, 5, 60 * 20, [0.75], 0.003, 20):
        sizes = np.minimum(np.ceil(np.exp(draws.normal(0.8, 1.0, 60))), 20).astype(int)
        kept = np.concatenate([20 * cluster + np.arange(size) for cluster, size in enumerate(sizes)])
        for clusters in (kept // 20, None):
            low, high = interval(table[0][:, kept], clusters, bounds=FRACTION)
            if clusters is None:
                blind += low <= 0.75 <= high
            else:
                held += low <= 0.75 <= high
    assert held / 400 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)
    assert blind < held - 40


def test_a_strict_level_is_kept_as_well() -> None:
    """One of eight comparisons, where seeds differ by more than images: what a constant share would get wrong."""
    draws, claims = np.random.default_rng(9), 0
    for a, b in studies(draws, 3000, 2, 3, 400, [0.75] * 2, 0.03, 1):
        claims += difference(a, b, bounds=FRACTION).p() <= LEVEL / 8
    assert claims / 3000 <= LEVEL / 8 + 3 * np.sqrt(LEVEL / 8 / 3000)


@pytest.mark.parametrize(("seeds", "images"), [(3, 50), (5, 200), (10, 200)])
def test_two_equally_good_trials_are_seldom_told_apart(seeds: int, images: int) -> None:
    draws = np.random.default_rng(seeds)
    claims = sum(
        difference(a, b, bounds=FRACTION).p() <= LEVEL
        for a, b in studies(draws, 400, 2, seeds, images, [0.75] * 2, 0.03, 1)
    )
    assert claims / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("trials", "seeds"), [(2, 5), (8, 3), (8, 10)])
def test_where_nothing_differs_the_best_is_seldom_called_better(trials: int, seeds: int) -> None:
    draws, claims = np.random.default_rng(trials), 0
    for table in studies(draws, 300, trials, seeds, 200, [0.75] * trials, 0.003, 1):
        val, test = list(table[:, :, :100]), list(table[:, :, 100:])
        best = int(table[:, :, :100].mean((1, 2)).argmax())
        claims += any(
            p is not None and p <= LEVEL for p in against_best_on_images(val, test, best=best, num_draws=499).p
        )
    assert claims / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_clear_lead_is_found_with_three_seeds() -> None:
    (table,) = studies(np.random.default_rng(5), 1, 3, 3, 800, [0.8, 0.79, 0.5], 0.003, 1)
    got = against_best_on_images(list(table[:, :, :400]), list(table[:, :, 400:]), best=0)
    assert got.p[0] is None
    assert got.p[1] is not None
    assert got.p[2] is not None
    assert got.p[2] <= 0.05 < got.p[1]


def test_signs_of_seeds_would_not_do() -> None:
    """The reason for drawing images: an image's luck is the same for all seeds, so seeds agree on what is not there."""
    flips = images = 0
    for table in studies(np.random.default_rng(6), 200, 8, 10, 200, [0.75] * 8, 0.003, 1):
        val, test = table[:, :, :100], table[:, :, 100:]
        best = int(val.mean((1, 2)).argmax())
        one = against_best(val.mean(2, dtype=np.float64), test.mean(2, dtype=np.float64), best=best)
        two = against_best_on_images(list(val), list(test), best=best, num_draws=499)
        flips += any(p is not None and p <= LEVEL for p in one.p)
        images += any(p is not None and p <= LEVEL for p in two.p)
    assert flips / 200 > 0.12
    assert images / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_where_val_and_test_are_the_same_images_their_luck_chooses_too() -> None:
    """With folds every image is val once and test once, so what makes a trial look good on one does so on the other."""
    draws = np.random.default_rng(8)
    apart = together = 0
    for _ in range(200):
        easy_TSN = draws.normal(1.0, 1.5, 100) + draws.normal(0, 2.5, (16, 1, 100)) + draws.normal(0, 0.15, (16, 10, 1))
        val, test = (list(draws.random(easy_TSN.shape) < 1 / (1 + np.exp(-easy_TSN))) for _ in range(2))
        best = int(np.argmax([table.mean() for table in val]))
        one, two = (
            against_best_on_images(val, test, best=best, same_images=same, num_draws=499) for same in (False, True)
        )
        apart += any(p is not None and p <= LEVEL for p in one.p)
        together += any(p is not None and p <= LEVEL for p in two.p)
    assert apart / 200 > 0.2
    assert together / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_more_trials_than_clusters_are_drawn_as_well() -> None:
    draws = np.random.default_rng(7)
    tables = list(draws.random((30, 4, 12)) < 0.7)
    got = against_best_on_images(tables, tables, best=int(np.argmax([t.mean() for t in tables])))
    assert all(p is None or 0 < p <= 1 for p in got.p)


@pytest.mark.parametrize(
    ("case", "seeds", "images", "rest"),
    [("smooth", 0.001831511, 0.048134602, 0.005011153), ("right", 0.006818182, 0.012878787, 0.226515152)],
)
def test_the_components_are_those_of_lme4(case: str, seeds: float, images: float, rest: float) -> None:
    """lmer(y ~ 1 + (1|seed) + (1|image)) of lme4 1.1-31, on the same tables."""
    s, i = np.arange(5)[:, None], np.arange(12)[None]
    table = (
        np.round(0.8 + 0.05 * np.sin(3 * s + 1) + 0.3 * np.cos(2 * i) + 0.1 * np.sin(5 * s * i + s + i), 4)
        if case == "smooth"
        else ((7 * s + 3 * i * i + s * i) % 11 < 4 + i % 5).astype(float)
    )
    got = components_of(table)
    assert (5 * got.seeds, 12 * got.images, 60 * got.together) == pytest.approx((seeds, images, rest), abs=2e-9)
    assert got.total == pytest.approx(got.seeds + got.images + got.together)


@pytest.mark.parametrize(("sizes", "trials"), [((30,) * 6, 2), ((*([1] * 120), 10, 10, 10, 10, 10), 4)])
def test_few_or_unequal_clusters_make_no_claims_against_the_best(sizes: tuple[int, ...], trials: int) -> None:
    draws, claims = np.random.default_rng(10), 0
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    for _ in range(300):
        own = 1.5 * draws.normal(size=(2, trials, 1, len(sizes)))[..., clusters]
        tables = own + draws.normal(size=(2, trials, 5, len(clusters))) > 0
        best = int(tables[0].mean((1, 2)).argmax())
        got = against_best_on_images(list(tables[0]), list(tables[1]), clusters, clusters, best=best, num_draws=499)
        claims += any(p is not None and p <= LEVEL for p in got.p)
    assert claims / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_where_lower_is_better_the_lowest_is_the_best() -> None:
    draws = np.random.default_rng(11)
    losses = [level + 0.1 * draws.random((5, 100)) for level in (0.5, 0.51, 2.0)]
    got = against_best_on_images(losses, losses, best=0, signs=(-1.0, -1.0))
    assert got.p[2] is not None
    assert got.p[2] < 0.01
    turned = against_best_on_images([-loss for loss in losses], [-loss for loss in losses], best=0)
    assert [p for p in got.p if p is not None] == pytest.approx([p for p in turned.p if p is not None], abs=0.03)


def test_an_average_over_classes_rests_on_its_rarest() -> None:
    """Recall of 5 images of one class and 95 of another, all right: not what 100 images would show."""
    labels = np.repeat([0, 1], [5, 95])
    log_p = np.log(np.where(np.eye(2)[labels] > 0, 0.9, 0.1))
    brought = of_images("recall", log_p, log_p.argmax(-1), labels)
    table = np.stack([brought] * 3)
    sizes = np.array([5, 95])
    low, _ = interval(table, bounds=FRACTION, effective=float(4 / (1 / sizes).sum()))
    assert low < 0.85 < interval(table, bounds=FRACTION)[0]


@pytest.mark.parametrize("name", ["recall", "auroc"])
def test_intervals_of_averages_over_classes_hold_with_a_rare_class(name: str) -> None:
    draws, held = np.random.default_rng(12), 0
    truth = float(np.mean([evaluate(draws, name, 20_000, 1)[0].mean() for _ in range(3)]))
    for _ in range(300):
        table, effective = evaluate(draws, name, 100, 5)
        low, high = interval(table, bounds=FRACTION, effective=effective)
        held += low <= truth <= high
    assert held / 300 >= 0.9


def evaluate(draws: np.random.Generator, name: str, N: int, S: int) -> tuple[np.ndarray, float]:
    """What images bring to a score of networks that know a class of a tenth of the images less well."""
    labels = (draws.random(N) < 0.1).astype(np.int64)
    labels[0], labels[1] = 0, 1
    common = draws.normal(size=N)
    rows = []
    for _ in range(S):
        margin = 1.2 * (2 * labels - 1) + 0.8 * common + 0.6 * draws.normal(size=N)
        log_p = np.stack([-np.logaddexp(0, margin), -np.logaddexp(0, -margin)], axis=1)
        rows.append(of_images(name, log_p, log_p.argmax(-1), labels))
    sizes = np.bincount(labels)
    return np.stack(rows), float(len(sizes) ** 2 / (1 / sizes).sum())


def test_a_difference_between_two_sets_of_images_covers_the_truth() -> None:
    draws = np.random.default_rng(3)
    S, N, M, held = 4, 120, 60, 0
    for _ in range(400):
        luck_S = 0.02 * draws.standard_normal(S)
        plain, shifted = (
            draws.random((S, count)) * 0.5 + 0.5 * draws.random((1, count)) < accuracy_S[:, None]
            for count, accuracy_S in ((N, 0.8 + luck_S), (M, 0.55 + luck_S + 0.02 * draws.standard_normal(S)))
        )
        told = between_sets(shifted, plain, bounds=(0.0, 1.0))
        truth = _below(0.55) - _below(0.8)
        held += abs(told.mean - truth) <= told.half()
    assert 0.93 <= held / 400 <= 1.0


def _below(threshold: float) -> float:
    """Share of sums of two uniform numbers on [0, ½] that are below a threshold."""
    return 2 * threshold**2 if threshold <= 0.5 else 1 - 2 * (1 - threshold) ** 2


def test_images_of_both_sets_are_counted_and_seeds_paired() -> None:
    draws = np.random.default_rng(4)
    luck_S = draws.standard_normal(5)
    a_SN, b_SM = luck_S[:, None] + draws.standard_normal((1, 40)), luck_S[:, None] + draws.standard_normal((1, 30))
    told = between_sets(a_SN, b_SM, bounds=(-np.inf, np.inf))
    assert told.rows == pytest.approx(0, abs=1e-12), "both sets share the seeds' luck, which is no difference"
    assert told.images == pytest.approx(a_SN[0].var(ddof=1) / 40 + b_SM[0].var(ddof=1) / 30)
    twice = between_sets(
        np.repeat(a_SN, 2, 1), np.repeat(b_SM, 2, 1), (np.arange(80) // 2, np.arange(60) // 2), bounds=(-np.inf, np.inf)
    )
    assert twice.images == pytest.approx(told.images), "copies say nothing new"
