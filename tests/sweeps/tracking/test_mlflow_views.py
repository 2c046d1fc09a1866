"""What a study's link opens in MLflow's UI."""

import dataclasses
import json
from typing import Any

from sweeps.tracking.mlflow_views import run_link, trials_link, view_tags
from tests.sweeps.tracking.test_tracker import ABOUT


def state(key: str, **changes: Any) -> dict[str, Any]:
    tags = view_tags(dataclasses.replace(ABOUT, **changes))
    found: dict[str, Any] = json.loads(json.loads(tags[f"mlflow.sharedViewState.{key}"])["state"])
    return found


def test_trials_stand_by_rank_with_what_the_study_aims_at_and_searches() -> None:
    found = state("trials", space={"lr": {}, "head": {}}, aims=("seconds", "parameters"))
    scores = ["metrics.`val/accuracy`", "metrics.`val/accuracy_sd`", "metrics.`seconds`", "metrics.`n`"]
    assert found["selectedColumns"] == [*scores, "params.`head`", "params.`lr`"]
    assert found["searchFilter"] == "tags.kind = 'trial'"
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`val/accuracy`", False)


def test_where_less_is_better_the_least_stands_first() -> None:
    found = state("trials", metric="val/loss", direction="minimize")
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`val/loss`", True)


def test_seed_runs_have_their_selected_scores_by_the_names_that_their_runs_give_them() -> None:
    found = state("seeds")
    scores = ["metrics.`best/val/accuracy`", "metrics.`test/accuracy`", "metrics.`wall_s`"]
    assert found["selectedColumns"] == [*scores, "params.`lr`", "params.`seed`"]


def test_a_study_that_aims_at_sizes_alone_is_listed_by_time() -> None:
    assert state("trials", metric="parameters", direction="minimize")["orderByKey"] == "attributes.start_time"
    assert state("seeds", metric="parameters", direction="minimize")["orderByKey"] == "attributes.start_time"


def test_the_same_study_has_the_same_tags() -> None:
    assert view_tags(ABOUT) == view_tags(dataclasses.replace(ABOUT))


def test_links_choose_the_view_only_where_it_is_there() -> None:
    plain = "http://h:1/#/experiments/7/runs?workflowType=machine_learning"
    assert trials_link("http://h:1", "7", has_view=False) == plain
    assert trials_link("http://h:1", "7") == f"{plain}&viewStateShareKey=trials"
    assert run_link("http://h:1", "7", "ab") == "http://h:1/#/experiments/7/runs/ab?workflowType=machine_learning"
