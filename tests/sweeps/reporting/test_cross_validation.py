"""What reports say of studies with folds, and what they do not claim."""

import dataclasses
from pathlib import Path

import numpy as np

from sweeps.definition.outputs.registry import TABLES
from sweeps.reporting import cross_validation
from sweeps.reporting.markdown import table as markdown_table
from sweeps.reporting.reading import from_csv
from sweeps.reporting.results import Results
from sweeps.reporting.standings import standings
from sweeps.reporting.tables import make
from tests.sweeps.reporting.test_standings import Known, results_of
from tests.sweeps.reporting.test_tables import rows_of


def text(results: Results, kind: str) -> str:
    return "\n".join(markdown_table(table) for table in make(results, TABLES.spec(kind, "table")))


def test_notes_say_for_which_training_sets_intervals_are() -> None:
    results = results_of([0.6, 0.8])
    assert "folds" not in text(results, "summary")
    folded = text(dataclasses.replace(results, folds=5), "summary")
    assert "each taken as independent. Each seed cut the images into 5 folds anew; this holds for " in folded
    assert "training sets of this size, 60% of the images." in folded


def test_the_luck_that_chose_the_best_is_no_lead() -> None:
    """A trial looks good on images that happen to suit it, whether they are called val or test."""
    draws = np.random.default_rng(4)
    plain = results_of([0.5] * 12, seeds=10, images=60)
    easy_TSN = draws.normal(0.5, 1.0, 60) + draws.normal(0, 2.5, (12, 1, 60)) + np.zeros((12, 10, 1))
    scored = {}
    for split in ("val", "test"):
        right_TSN = draws.random(easy_TSN.shape) < 1 / (1 + np.exp(-easy_TSN))
        scored |= {(number, f"{split}/accuracy"): right_SN for number, right_SN in enumerate(right_TSN)}
    trials = tuple(
        dataclasses.replace(
            trial,
            columns=trial.columns
            | {name: tuple(scored[trial.number, name].mean(1).tolist()) for name in ("val/accuracy", "test/accuracy")},
        )
        for trial in plain.trials
    )
    plain = dataclasses.replace(plain, trials=trials, images=Known(scored))
    apart = standings(plain, plain.trials, "test/accuracy")
    folded = dataclasses.replace(plain, folds=5)
    together = standings(folded, folded.trials, "test/accuracy")
    assert apart is not None
    assert together is not None
    assert min(other.p for other in together.others) > 2 * min(other.p for other in apart.others)


def test_a_confirmation_shows_means_but_no_test(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    scores = {"1e-3": [0.80, 0.84, 0.82], "1e-2": [0.81, 0.80, 0.79]}
    path.write_text(rows_of(scores, fresh={"1e-3": [0.78, 0.79, 0.77], "1e-2": [0.80, 0.81, 0.80]}))
    results = from_csv(path)
    assert "against it" in text(results, "confirmed")
    folded = text(dataclasses.replace(results, folds=3), "confirmed")
    assert "against it" not in folded
    assert cross_validation.NOT_FRESH in folded
    assert "68.00 ± 1.00%" in folded


def test_what_a_seed_brings_includes_its_cut() -> None:
    results = results_of([0.6, 0.8])
    assert "| seeds |" in text(results, "variance")
    assert "| seeds, each with its own cut |" in text(dataclasses.replace(results, folds=5), "variance")
