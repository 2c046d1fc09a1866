"""What may change under a study's name, and what a refusal says."""

import dataclasses
import json
from typing import Any

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.differences import differences
from sweeps.planning.same_study import require_same
from sweeps.records import StudyRecord, study_from_json, study_to_json
from tests.sweeps.storage.test_ledger import STUDY

CALLED = ("in the ledger", "now")


def changed(**fields: Any) -> StudyRecord:
    return dataclasses.replace(STUDY, **fields)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (changed(seeds=(0,)), r"lacks \[1\]"),
        (changed(metric="val/f1"), r"`study.metric` was val/accuracy, but is val/f1 now"),
        (changed(method="random"), r"`study.method` was grid"),
    ],
)
def test_removed_seeds_other_metrics_and_methods_are_refused(now: StudyRecord, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        require_same(STUDY, now, None)
    assert "study.name=s_2" in str(caught.value)
    assert "in the ledger" in str(caught.value)


def test_further_aims_may_change_unless_a_sampler_proposed_by_them() -> None:
    aimed = changed(aims=("seconds",))
    for now, before in ((aimed, STUDY), (STUDY, aimed), (aimed, changed(aims=("parameters",)))):
        require_same(before, now, None)
        assert differences(before, now, called=CALLED) == []
        with pytest.raises(
            ConfigError, match=r"`study.metric` was \[val/accuracy.*\], but is \[.*\] now; bayes"
        ) as told:
            require_same(*(dataclasses.replace(study, method="bayes") for study in (before, now)), None)
        assert "study.name=s_2" in str(told.value)
    with pytest.raises(ConfigError, match=r"study.metric: val/accuracy in the ledger, \[val/accuracy, seconds\] now"):
        require_same(changed(method="bayes"), dataclasses.replace(aimed, method="bayes"), None)


def test_prose_tables_and_more_seeds_are_no_change() -> None:
    require_same(STUDY, changed(seeds=(0, 1, 2), question="Other?", tables=("flat",), command="other"), None)


def test_a_refusal_names_the_fields_that_differ_and_no_others() -> None:
    now = changed(
        base=STUDY.base | {"epochs": 3},
        space={"lr": {"values": [1e-3, 1e-2, 1e-1], "set": {"0.001": {"epochs": 5}}}},
        data=dataclasses.replace(STUDY.data, images_name="other", options={"source": "digits", "size": 16}),
    )
    with pytest.raises(ConfigError, match="trials differ") as caught:
        require_same(STUDY, now, "trials differ")
    lines = [line.strip() for line in caught.value.problems[2].splitlines()[1:]]
    assert lines == [
        "study.space.lr.values: [0.001, 0.01] in the ledger, [0.001, 0.01, 0.1] now",
        "trial.epochs: 2 in the ledger, 3 now",
        "study.space.lr.set.0.001.epochs: not set in the ledger, 5 now",
        "data.size: not set in the ledger, 16 now",
        "images.with their splits: d in the ledger, other now",
    ]


def with_data(**fields: Any) -> StudyRecord:
    return changed(data=dataclasses.replace(STUDY.data, **fields))


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (
            with_data(presentation_name="h", options={"source": "digits", "balanced": "oversample"}),
            ["data.balanced: not set in the ledger, oversample now"],
        ),
        (
            with_data(test_name="h", images_name="h", options={"source": "digits", "split_seed": 3}),
            ["data.split_seed: not set in the ledger, 3 now"],
        ),
        (
            with_data(test_name="h", images_name="h", presentation_name="h", classes=("a", "b", "c")),
            ["data.classes: [a, b] in the ledger, [a, b, c] now"],
        ),
        (
            with_data(test_name="h", presentation_name="h", options={"source": "digits", "size": 16}),
            ["data.size: not set in the ledger, 16 now", "images.of test: d in the ledger, h now"],
        ),
        (with_data(presentation_name="h"), ["images.as presented: d in the ledger, h now"]),
        (
            with_data(images_name="h", presentation_name="h"),
            ["images.with their splits: d in the ledger, h now"],
        ),
        (
            changed(base=STUDY.base | {"weights": "none"}, base_weights="h"),
            ["trial.weights: not set in the ledger, none now"],
        ),
    ],
)
def test_a_hash_stands_last_and_only_where_nothing_explains_it(now: StudyRecord, lines: list[str]) -> None:
    assert differences(STUDY, now, called=CALLED) == lines


def test_what_a_stage_came_to_is_no_difference() -> None:
    trained = dataclasses.replace(
        STUDY.pretrain["p"], num_train=7, scores={"resnet18": 0.5}, num_classes=2, best_epochs={"resnet18": 3},
        wall_s={"resnet18": 1.5},
    )  # fmt: skip
    assert differences(STUDY, changed(pretrain={"p": trained}), called=CALLED) == []


def test_a_key_that_is_a_number_is_one_with_its_text() -> None:
    # YAML reads 1e-3, and JSON gives back "0.001"
    written = changed(space={"lr": {"values": [1e-3, 1e-2], "set": {1e-3: {"epochs": 5}}}})
    stored = study_from_json(json.loads(json.dumps(study_to_json(written))))
    assert differences(stored, written, called=CALLED) == []
    assert differences(written, stored, called=CALLED) == []
    assert differences(STUDY, written, called=CALLED) == [
        "study.space.lr.set.0.001.epochs: not set in the ledger, 5 now"
    ]


def test_a_study_named_by_an_older_rule_is_refused_clearly() -> None:
    with pytest.raises(ConfigError, match="named trials by another rule: status and reports read it"):
        require_same(changed(naming=1), STUDY, None)
