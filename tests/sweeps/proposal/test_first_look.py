"""The best recipe beside three plain ones."""

from typing import Any

from sweeps.proposal.first_look import against_baselines, baselines
from sweeps.reporting.inline import plain_text
from sweeps.reporting.results import Results, Trial

SEEDS = (0, 1, 2)


def made(number: int, val: float, **values: Any) -> Trial:
    spread = (-0.01, 0.0, 0.01)
    return Trial(
        number=number,
        values={"weights": "imagenet", "freeze": "none"} | values,
        seeds=SEEDS,
        states=("complete",) * 3,
        columns={
            "val/accuracy": tuple(val + off for off in spread),
            "test/accuracy": tuple(val - 0.05 + off for off in spread),
        },
    )


def results(*trials: Trial) -> Results:
    return Results(
        study="s", trials=trials, metric="val/accuracy", columns=("val/accuracy", "test/accuracy"), seeds=SEEDS
    )


TRIALS = (
    made(0, 0.80, lr=1e-3),
    made(1, 0.85, lr=3e-4),
    made(2, 0.90, lr=1e-3, freeze="layer3"),
    made(3, 0.70, lr=1e-3, freeze="all"),
    made(4, 0.75, lr=1e-2, freeze="all"),
    made(5, 0.60, lr=1e-3, weights="none"),
)


def test_each_baseline_is_the_best_of_its_kind_on_val_but_the_default_is_the_first_trial() -> None:
    found = {line.name: line.trial.number for line in baselines(results(*TRIALS))}
    assert found == {"frozen network, linear head": 4, "default fine-tune": 0, "from scratch": 5}


def test_the_table_has_the_best_and_the_three() -> None:
    table = against_baselines(results(*TRIALS))
    assert table is not None
    assert [plain_text(row[0]) for row in table.rows] == [
        "best",
        "frozen network, linear head",
        "default fine-tune",
        "from scratch",
    ]
    assert plain_text(table.rows[0][2]) == "85.00 ± 1.00%"
    assert all(plain_text(row[4]).startswith("-") for row in table.rows[1:])


def test_a_baseline_that_is_the_best_is_said_to_be() -> None:
    table = against_baselines(results(*TRIALS[:2], made(2, 0.95, lr=1e-3, weights="none")))
    assert table is not None
    assert [plain_text(row[0]) for row in table.rows] == ["best: from scratch", "default fine-tune"]


def test_where_all_starts_from_nothing_there_is_no_other_default() -> None:
    found = [line.name for line in baselines(results(made(0, 0.5, weights="none"), made(1, 0.6, weights="none")))]
    assert found == ["from scratch"]


def test_without_a_complete_trial_there_is_no_table() -> None:
    assert against_baselines(results(Trial(number=0, values={}))) is None
