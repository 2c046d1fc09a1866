"""What a report cannot show is known before anything is trained."""

import re
from pathlib import Path

import pytest
import yaml

from sweeps.definition.compose import compose
from sweeps.reporting.rehearsal import undrawable


def said(tmp_path: Path, space: dict[str, object], **study: object) -> list[str]:
    content = {
        "study": {"name": "s", "question": "q", "method": "grid", "metric": "val/accuracy", "seeds": [0]}
        | {"space": space} | study,
        "trial": {
            name: value
            for name, value in {
                "backbone": "resnet18", "weights": "none", "optimizer": "sgd", "epochs": 2, "batch_size": 8, "lr": 0.1,
            }.items()
            if name not in space
        },
        "data": {"source": "digits"},
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    return undrawable(compose([f"study={tmp_path / 's.yaml'}"]))


LR = {"lr": {"values": [0.1, 0.01]}}
TWO = LR | {"batch_size": {"values": [8, 16]}}


@pytest.mark.parametrize(
    ("space", "asked", "message"),
    [
        (LR, {"tables": ["pivot"]}, "no table pivot, .* needs two parameters with several values"),
        (TWO | {"epochs": {"values": [1, 2]}}, {"tables": ["pivot"]}, "must have one trial in each cell"),
        (LR, {"figures": ["pareto"]}, "no picture pareto, .* needs two aims or more, but the study has val/accuracy"),
        (LR, {"figures": ["heatmap"]}, "no picture heatmap, .* two parameters"),
        (LR, {"figures": ["importances"]}, "no picture importances, .* at least 4 complete trials"),
        (LR, {"tables": ["importances"]}, "no table importances, .* at least 4 complete trials"),
        ({"lr": {"values": [0.1]}}, {"tables": ["slices"]}, "no table slices"),
    ],
)
def test_what_no_result_could_fill_is_named(
    tmp_path: Path, space: dict[str, object], asked: dict[str, object], message: str
) -> None:
    (sentence,) = said(tmp_path, space, **asked)
    assert re.search(message, sentence), sentence


def test_what_can_be_made_is_not_named(tmp_path: Path) -> None:
    tables = ["flat", "lists", "summary", "best", "slices", "importances", "pivot", "classes"]
    figures = ["heatmap", "importances", "cost", "seeds", "curves", "confusion"]
    assert said(tmp_path, TWO, tables=tables, figures=figures) == []
    assert said(tmp_path, LR, figures="all") == []
    aims = ["val/accuracy", "trained_parameters", "seconds"]
    assert said(tmp_path, LR, metric=aims, tables=["pareto"], figures=["pareto"]) == []
    assert said(tmp_path, LR, tables=["pivot"], method="random", trials=3) == []


def test_a_hypothesis_that_no_trials_can_answer_is_named(tmp_path: Path) -> None:
    compared = {"seeds": [0, 1, 2], "hypotheses": [{"compare": {"lr": [0.1, 0.01]}, "expect": "difference"}]}
    confounded = {
        "lr": {"values": [0.1, 0.01]},
        "epochs": [{"value": 1, "when": {"lr": 0.1}}, {"value": 2, "when": {"lr": 0.01}}],
    }
    (sentence,) = said(tmp_path, confounded, **compared)
    assert "about lr will have no answer" in sentence
    assert "no trials differ in lr alone" in sentence
    assert said(tmp_path, LR, **compared) == []
    tied = {"lr": {"values": [0.1, 0.01], "set": {0.01: {"epochs": 1}}}}
    assert said(tmp_path, tied, **compared) == [], "what a value sets is compared with it"
    (few,) = said(tmp_path, LR, **compared | {"seeds": [0, 1]})
    assert "too few seeds: 3 are the least, but the study has 2" in few


def test_a_race_may_leave_hypotheses_undecided(tmp_path: Path) -> None:
    asked = {"hypotheses": [{"compare": {"lr": [0.1, 0.01]}, "expect": 0.1}], "seeds": [0, 1, 2]}
    assert not said(tmp_path, LR, **asked)
    (sentence,) = said(tmp_path, LR, **asked, pruner={"kind": "race"})
    assert "will stay undecided" in sentence
