"""What is said of trials beside the best: in numbers, in words, and with or without what each image got."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.errors import DataError
from sweeps.reporting.image_scores import Rows, images_path, read_images, write_images
from sweeps.reporting.inline import plain_text
from sweeps.reporting.markdown import table as written
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import chance, knows_images, sample
from sweeps.reporting.standings import standings
from sweeps.reporting.tables.summary import Options, draw
from sweeps.reporting.tables.variance import Options as VarianceOptions
from sweeps.reporting.tables.variance import draw as variance
from sweeps.reporting.verdict import verdict
from sweeps.statistics.planned import OnImages
from tests.sweeps.reporting.studies import study


class Known:
    """Scores of images made up for a test."""

    def __init__(self, tables: dict[tuple[int, str], np.ndarray], clusters: np.ndarray | None = None) -> None:
        self.tables, self.clusters = tables, clusters

    def on_images(self, trial: Trial, column: str) -> OnImages | None:
        table = self.tables.get((trial.number, column))
        return None if table is None else OnImages(values_SN=table, clusters_N=self.clusters, bounds=(0.0, 1.0))

    def order(self) -> str | None:
        return "these"


def results_of(
    accuracies: list[float], *, seeds: int = 3, images: int = 120, draw_of: int = 0, known: bool = True,
    clusters: np.ndarray | None = None,
) -> Results:  # fmt: skip
    draws = np.random.default_rng(draw_of)
    difficulty = draws.random((2, 1, images))
    tables, trials = {}, []
    for number, accuracy in enumerate(accuracies):
        for split, own in zip(("val", "test"), difficulty, strict=True):
            tables[number, f"{split}/accuracy"] = 0.7 * own + 0.3 * draws.random((seeds, images)) < accuracy
        columns: dict[str, tuple[float | None, ...]] = {
            name: tuple(tables[number, name].mean(1).tolist()) for name in ("val/accuracy", "test/accuracy")
        }
        columns |= {
            "wall_s": tuple([float(10 - number)] * seeds),
            "best_epoch": (1,) * seeds,
            "max_epoch": (1,) * seeds,
        }
        trials.append(
            Trial(
                number=number, values={"lr": 0.1 / (number + 1), "head": "linear"}, seeds=tuple(range(seeds)),
                states=("complete",) * seeds, columns=columns, fingerprint=f"f{number}",
            )
        )  # fmt: skip
    return Results(
        study="s", trials=tuple(trials), metric="val/accuracy", columns=(), seeds=tuple(range(seeds)),
        about=study(seeds=tuple(range(seeds)), space={"lr": {"values": [0.1]}}),
        images=Known(tables, clusters) if known else None,
    )  # fmt: skip


def rows_of(results: Results) -> Rows:
    """Of the CSV file that such results make."""
    sides = [(trial, False) for trial in results.trials]
    sides += [(trial.fresh, True) for trial in results.trials if trial.fresh]
    return tuple((trial.number, fresh, seed) for trial, fresh in sides for seed in trial.seeds)


def words(results: Results) -> str:
    return " ".join(plain_text(line) for line in verdict(results))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0.3, 0.5, 0.55, 0.6, 0.8]), min_size=2, max_size=6), st.integers(2, 4), st.booleans(),
    st.integers(0, 100),
)  # fmt: skip
def test_the_words_say_no_more_than_the_table(accuracies: list[float], seeds: int, known: bool, draw_of: int) -> None:
    results = results_of(accuracies, seeds=seeds, known=known, draw_of=draw_of)
    said = words(results)
    (table,) = draw(results, results.trials, Options())
    p = [plain_text(row[table.header.index("p")]) for row in table.rows]
    shown = [plain_text(row[table.header.index("Test acc 95% CI")]) for row in table.rows]
    worse = sum(
        not cell.startswith(("too few", "/")) and cell != "" and (cell[0] == "<" or float(cell) <= 0.05) for cell in p
    )
    alike = len(accuracies) - 1 - worse
    assert p[0] == ""
    assert shown[0].replace("–", " to ") in said or shown[0] == "/"
    assert ("All others that can be compared are worse." in said) == (alike == 0)
    assert (f"Worse than it: {worse} other" in said) == (worse > 0 and alike > 0)
    assert ("on new images" in said) == known
    if any(cell.startswith("too few") for cell in p):
        assert "cannot be told from it" in said
    elif alike:
        assert f"Not distinguishable from it: {alike} other" in said


def test_others_come_cheapest_first_and_the_first_trial_is_judged() -> None:
    said = words(results_of([0.55, 0.6, 0.58], images=60))
    assert "cheapest first: lr 3.333e-2; lr 1e-1" in said
    assert "The first trial (lr 1e-1) is not shown to be worse than the best" in said
    assert "The first trial (lr 1e-1) is worse than the best" in words(results_of([0.2, 0.8, 0.7], images=400))


def test_images_that_belong_together_make_the_claim_weaker() -> None:
    alone = results_of([0.5, 0.6], images=120, seeds=5)
    together = results_of([0.5, 0.6], images=120, seeds=5, clusters=np.arange(120) // 6)
    one, other = (standings(results, results.trials, "test/accuracy") for results in (alone, together))
    assert one is not None
    assert other is not None
    assert one.on_images
    assert "120 test images, 20 of them independent" in chance(together, together.trials, "test/accuracy")


def test_a_score_without_images_of_all_trials_stands_on_seeds_alone() -> None:
    whole = results_of([0.5, 0.6, 0.7])
    assert isinstance(whole.images, Known)
    tables = {key: table for key, table in whole.images.tables.items() if key != (1, "test/accuracy")}
    partly = replace(whole, images=Known(tables))
    assert knows_images(whole, "test/accuracy")
    assert not knows_images(partly, "test/accuracy")
    assert sample(partly, partly.trials[0], "test/accuracy").on_images is None
    assert "say nothing of new images" in chance(partly, partly.trials, "test/accuracy")
    (table,) = draw(partly, partly.trials, Options())
    assert any("sign flips" in plain_text(note) or "Too few seeds" in plain_text(note) for note in table.notes)


def test_the_interval_for_the_same_images_is_a_column_on_request() -> None:
    results = results_of([0.5, 0.6])
    (plain,), (both,) = (draw(results, results.trials, Options(ci=ci)) for ci in ("images", "seeds"))  # type: ignore[arg-type]
    assert "Test acc 95% CI, same images" not in plain.header
    assert "Test acc 95% CI, same images" in both.header
    assert "Test acc 95% CI" in both.header


def test_a_network_no_better_than_the_commonest_class_is_said_to_be() -> None:
    results = results_of([0.5, 0.4], images=50)
    assert results.about
    for share, told in ((45, True), (5, False)):
        counts = (
            {"test": {"cats": share, "dogs": 50 - share}}
            if share > 25
            else {"test": {"cats": 5, "dogs": 5, **{f"c{n}": 5 for n in range(8)}}}
        )
        about = replace(results.about, data=replace(results.about.data, counts=counts))
        assert ("naming the commonest class" in words(replace(results, about=about))) == told


def test_variance_has_its_sources_and_what_more_would_bring() -> None:
    results = results_of([0.5, 0.6, 0.55], seeds=4)
    (table,) = variance(results, results.trials, VarianceOptions())
    text = written(table)
    assert [plain_text(row[0]) for row in table.rows] == ["seeds", "test images", "seeds with images", "in all"]
    shares = [float(plain_text(row[2]).rstrip("%")) for row in table.rows[:3]]
    assert sum(shares) == pytest.approx(100, abs=1.5)
    assert "Four times as many seeds would narrow the interval of the best by" in text


def test_what_each_image_got_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = results_of([0.5, 0.6], clusters=np.arange(120) // 2)
    fresh = replace(results.trials[0], seeds=(7, 8, 9))
    assert isinstance(results.images, Known)
    results = replace(results, trials=(replace(results.trials[0], fresh=fresh), results.trials[1]))
    path = tmp_path / "s.csv"
    write_images(results, path, "hash")
    found = read_images(path, "hash", rows_of(results))
    assert found is not None
    for trial in (*results.trials, fresh):
        for column in ("val/accuracy", "test/accuracy"):
            one, other = results.on_images(trial, column), found.on_images(trial, column)
            assert one is not None
            assert other is not None
            assert np.array_equal(one.values_SN, other.values_SN)
            assert np.array_equal(one.clusters_N, other.clusters_N)  # type: ignore[arg-type]
    assert found.order() == "these"
    assert found.on_images(results.trials[0], "test/f1") is None
    with pytest.raises(DataError, match="which was changed since"):
        read_images(path, "another", rows_of(results))
    images_path(path).write_bytes(images_path(path).read_bytes()[:50])
    with pytest.raises(DataError, match="cannot be read"):
        read_images(path, "hash", rows_of(results))
    write_images(replace(results, images=None), path, "hash")
    assert not images_path(path).exists()


def test_of_losses_the_lowest_is_the_best_and_a_worse_one_is_worse() -> None:
    draws = np.random.default_rng(0)
    tables = {
        (number, f"{split}/loss"): level + 0.3 * draws.random((4, 200))
        for number, level in enumerate((0.9, 0.5, 0.52)) for split in ("val", "test")
    }  # fmt: skip
    plain = results_of([0.5, 0.5, 0.5], seeds=4)
    trials = tuple(
        replace(
            trial,
            columns=dict(trial.columns)
            | {name: tuple(tables[trial.number, name].mean(1).tolist()) for name in ("val/loss", "test/loss")},
        )
        for trial in plain.trials
    )
    results = replace(plain, trials=trials, metric="val/loss", images=Known(tables))
    found = standings(results, results.trials, "test/loss")
    assert found is not None
    assert found.on_images
    assert found.best.number == 1
    assert {other.trial.number: other.standing for other in found.others}[0] == "worse"
    assert "Best by val/loss: lr 5e-2" in words(results)


def test_a_better_trial_with_other_seeds_is_named_first() -> None:
    results = results_of([0.5, 0.55, 0.6, 0.9], seeds=3)
    more = results_of([0.5, 0.55, 0.6, 0.9], seeds=5)
    assert isinstance(results.images, Known)
    assert isinstance(more.images, Known)
    tables = {key: (more if key[0] == 3 else results).images.tables[key] for key in results.images.tables}  # type: ignore[union-attr]
    mixed = replace(results, trials=(*results.trials[:3], more.trials[3]), images=Known(tables))
    said = words(mixed)
    assert said.startswith("Of the 3 trials with the same 3 seeds: Best by val/accuracy: lr 3.333e-2")
    assert "Not compared, since it has 5 seeds, but with a better mean val/accuracy: lr 2.5e-2." in said


def test_one_seed_is_no_ground_for_intervals() -> None:
    results = results_of([0.5, 0.6], seeds=1)
    assert "One seed for each trial" in chance(results, results.trials, "test/accuracy")
    assert "not shown to be worse" not in words(results)


def test_clusters_and_images_reach_the_test_against_the_best() -> None:
    apart = results_of([0.5, 0.54], images=120, seeds=5)
    together = results_of([0.5, 0.54], images=120, seeds=5, clusters=np.arange(120) // 12)
    one, other = (standings(results, results.trials, "test/accuracy") for results in (apart, together))
    assert one is not None
    assert other is not None
    assert one.others[0].p != other.others[0].p
    assert one.others[0].difference.low != other.others[0].difference.low


def test_a_best_trial_that_was_still_getting_better_is_said_to_be() -> None:
    results = results_of([0.2, 0.8], images=400)
    assert "the last epoch was the best" not in words(results), "of one epoch nothing is known"
    for ends, told in (((5, 5, 3), True), ((5, 3, 3), False)):
        trials = tuple(
            replace(trial, columns=trial.columns | {"max_epoch": (5, 5, 5), "best_epoch": ends})
            for trial in results.trials
        )
        said = "In 2 of its 3 seed runs the last epoch was the best: more epochs may do better."
        assert (said in words(replace(results, trials=trials))) == told


def test_two_equal_scores_are_said_to_be_equal() -> None:
    results = results_of([0.6], images=60)
    twin = replace(results.trials[0], number=1, values={"lr": 1.0, "head": "linear"}, fingerprint="f1")
    scored = {(number, name): table for (_, name), table in results.images.tables.items() for number in (0, 1)}
    both = replace(results, trials=(*results.trials, twin), images=Known(scored))
    assert "The first two have the same test acc." in words(both)
