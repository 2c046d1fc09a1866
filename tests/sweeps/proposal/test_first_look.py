"""The best recipe beside three plain ones."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from sweeps.proposal.first_look import Look, against_baselines, baselines, next_steps, report
from sweeps.proposal.labels import NotChecked
from sweeps.reporting.inline import plain_text
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Table

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


@pytest.mark.parametrize(
    ("trials", "heading"),
    [
        (TRIALS, "The best recipe beside three plain ones"),
        (TRIALS[:2], "The best recipe beside a plain one"),
        ((made(0, 0.5, weights="none"), made(1, 0.6, weights="none")), "The best recipe"),
    ],
)
def test_the_report_counts_the_plain_recipes_that_it_shows(trials: tuple[Trial, ...], heading: str) -> None:
    look = Look(
        title="A first look",
        counts=Table(title=None, header=("", "train"), rows=()),
        found=[],
        doubts=NotChecked(why="nobody asked"),
        doubt_pages=[],
        copies="None.",
        copy_pages=[],
        next_steps=[],
    )
    assert f"\n## {heading}\n" in report(results(*trials), look, Path())


def test_commands_can_be_pasted_whatever_folders_are_called() -> None:
    steps = dict(next_steps("s", Path("my results"), Path("my study.yaml"), ["run.out=my results"]))
    assert "checkpoint=my results/mlruns/best/s" in shlex.split(steps["Use the best network"])
    assert shlex.split(steps["Run it"])[3:] == ["study=my study.yaml", "run.out=my results"]
