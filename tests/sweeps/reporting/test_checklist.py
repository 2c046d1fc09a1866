"""Each line of the checklist is computed from what was run."""

from dataclasses import replace

import pytest

from resnet_tl.errors import ConfigError
from sweeps.reporting.inline import plain_text
from sweeps.reporting.results import Origin, Results
from sweeps.reporting.tables.checklist import Options, draw, duration
from tests.sweeps.reporting.test_standings import results_of


def lines(results: Results) -> dict[str, str]:
    (table,) = draw(results, results.trials, Options())
    return {plain_text(question): plain_text(answer) for question, answer in table.rows}


def made() -> Results:
    results = results_of([0.5, 0.6, 0.7], seeds=4)
    assert results.about
    space = {
        "lr": {"min": 1e-5, "max": 1e-1, "distribution": "log_uniform_values"},
        "momentum": [
            {"values": [0.0, 0.9], "when": {"optimizer": "sgd"}},
            {"values": [0.5], "when": {"optimizer": "adam"}},
        ],
        "optimizer": {"values": ["sgd", "adam"]},
        "batch_size": {"min": 8, "max": 32},
    }  # fmt: skip
    data = replace(
        results.about.data, num_images={"train": 10, "val": 20, "test": 120}, skipped={"a/b.png": "cannot be decoded"},
        counts={"test": {"cats": 70, "dogs": 50}}, num_leaked=2,
    )  # fmt: skip
    about = replace(
        results.about, space=space, data=data, num_trials=3, method="random", hardware=("A chip, 2 CPUs, 24 GB",)
    )
    return replace(results, about=about, origin=Origin(repeated_s=90.0, dates=("2026-01-01", "2026-01-03")))


def test_ranges_are_told_as_they_were_searched() -> None:
    told = lines(made())["What was searched, and in which ranges?"]
    assert "Learning rate: 1e-5 to 1e-1 (log-uniform)" in told
    assert "Momentum: 0.0, 0.9 where optimizer is SGD or 0.5 where optimizer is Adam" in told
    assert "Batch size: 8 to 32 (uniform, whole numbers)" in told


def test_runs_and_compute_are_counted_with_what_was_tried_again() -> None:
    told = lines(made())
    assert told["How many runs?"] == "12 planned, 4 seeds for each trial: 12 complete."
    seconds = 4 * (10 + 9 + 8) + 90
    assert told["How much compute, runs without a result included?"].startswith(f"{duration(seconds)} of training")
    assert "90 s of it in tries that were made again" in told["How much compute, runs without a result included?"]
    assert told["On what hardware?"] == "A chip, 2 CPUs, 24 GB; 1 CPU thread for each run."


def test_images_and_what_was_left_out() -> None:
    told = lines(made())
    assert "test 120 (cats 70, dogs 50)" in told["Which images, and how were they split?"]
    assert told["Which images were left out?"].startswith("1 broken ones: b.png.")
    assert "None of 2 of val and test that stand in train too" in told["Which images were left out?"]


def test_what_intervals_mean_is_said_of_these_intervals() -> None:
    with_images, without = made(), replace(made(), images=None)
    question = "What do ± and the intervals mean?"
    assert "fresh seeds and fresh images, from 4 seeds and 120 test images" in lines(with_images)[question]
    assert "say nothing of new images" in lines(without)[question]


def test_a_bare_csv_has_no_checklist() -> None:
    with pytest.raises(ConfigError, match="about.json"):
        draw(replace(made(), about=None), [], Options())


def test_durations_have_the_unit_that_fits() -> None:
    assert [duration(s) for s in (0.45, 90, 200, 7200)] == ["0.45 s", "90 s", "3.33 min", "2 h"]
