"""What the head of a report says is true of every row below it."""

import dataclasses
from typing import Any

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.registry import TABLES, parse_tables
from sweeps.records import ConfirmRecord, StageRecord, StudyRecord, study_from_json, study_to_json
from sweeps.reporting.markdown import markdown
from sweeps.reporting.report import report
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.tables import make
from tests.sweeps.reporting.studies import study

BASE = {"head": "linear", "head_width": 256, "dropout": 0.5, "epochs": 3, "monitor": "val/accuracy"}

STAGE = {"stage": StageRecord(trial={"lr": 1}, seed=0, data={"source": "x"})}


def said(
    *trials: dict[str, Any], base: dict[str, Any], seeds: tuple[int, ...] = (0, 1), about: str = "", **changes: Any
) -> str:
    """The report of a study with these trials, none of which has run."""
    record = study(base=base, seeds=seeds, about=about, num_trials=len(trials), **{"pretrain": STAGE} | changes)
    return markdown(
        report(
            Results(
                study="s", metric="val/accuracy", columns=(), seeds=seeds, about=record,
                trials=tuple(Trial(number=n, values=BASE | values) for n, values in enumerate(trials)),
            )
        )
    )  # fmt: skip


def test_what_is_said_of_all_trials_is_true_of_each() -> None:
    text = said({"epochs": 3}, {"epochs": 2}, {"epochs": 1}, base={"epochs": 3, "head": "linear"})
    assert "All trials: head linear.  \n" in text
    text = said({"epochs": 5}, {"epochs": 5}, base={"epochs": 3})
    assert "All trials: epochs 5.  \n" in text, "values that set it win over the file"
    assert "All trials" not in said({"epochs": 1}, {"epochs": 2}, base={"epochs": 3})


def test_several_aims_are_said_and_a_single_one_is_not() -> None:
    text = said({}, base={}, aims=("seconds", "val/f1"))
    aims = "val/accuracy (more is better), seconds (less is better), val/f1 (more is better)"
    assert f"Aims: {aims}. Trials are ranked by the first." in text
    assert "Aims:" not in said({}, base={})


def test_what_has_no_effect_is_not_said() -> None:
    base = {"dropout": 0.5, "head_width": 256}
    assert "All trials" not in said({"head": "linear"}, {"head": "mlp_relu"}, base=base)
    assert "All trials: head_width 256.  \n" in said({"head": "mlp_relu"}, base=base)
    assert "All trials: dropout 0.5, head_width 256.  \n" in said({"head": "mlp_leaky_dropout"}, base=base)


def test_a_pretrained_network_is_told_with_its_images_and_scores() -> None:
    known = dataclasses.replace(STAGE["stage"], num_train=631, monitor="val/f1", scores={"resnet18": 0.98125})
    text = said({"weights": "stage"}, base={}, pretrain={"stage": known})
    assert "`stage` pretrained on x (631 training images; lr 1; val/f1 0.9812)" in text
    both = dataclasses.replace(known, scores={"resnet18": 0.98, "resnet34": 0.99})
    text = said({"weights": "stage"}, base={}, pretrain={"stage": both})
    assert "; val/f1 0.9800 (resnet18), val/f1 0.9900 (resnet34))" in text
    assert "`stage` pretrained on x (lr 1)" in said({"weights": "stage"}, base={}), "of a version that noted neither"


TRAINED = dataclasses.replace(
    STAGE["stage"], trial={"lr": 1, "epochs": 20}, num_train=1631, num_classes=5, monitor="val/f1",
    scores={"resnet18": 0.98125}, best_epochs={"resnet18": 17}, wall_s={"resnet18": 1234.56},
)  # fmt: skip
HEAD = "| Stage | Backbone | Images | Train images | Classes | Epochs (best) | "


def test_pretrained_networks_have_rows_by_depth_behind_the_tables_of_the_study() -> None:
    depths = [{"weights": "stage", "backbone": f"resnet{depth}"} for depth in (18, 34, 34)]
    stages = {"stage": TRAINED, "idle": STAGE["stage"]}
    text = said(*depths, {"weights": "none"}, base={}, pretrain=stages)
    assert text.count("## Pretrained networks") == 1
    assert text.index("## Trials by rank") < text.index("## Pretrained networks")
    assert f"{HEAD}Val score | Seconds | Trials |" in text
    assert "| stage | resnet18 | x | 1,631 | 5 | 20 (17) | Val F1 98.12% | 1,234.6 | 1 |" in text
    assert "| stage | resnet34 | x | 1,631 | 5 | 20 (/) | / | / | 2 |" in text, "not trained yet"
    assert "| idle | / | x | / | / | / (/) | / | / | 0 |" in text, "no trial starts from it"
    text = said(*depths, base={}, pretrain={"stage": TRAINED})
    assert f"{HEAD}Val F1 | Seconds | Trials |" in text, "one score heads the column"
    assert "| 20 (17) | 98.12% |" in text
    assert "Stage | Backbone" not in said({"weights": "none"}, base={}), "nothing starts from one"


def one_trial(about: StudyRecord | None, *tables: str) -> Results:
    trials = (Trial(number=0, values=BASE | {"weights": "stage", "backbone": "resnet18"}),)
    return Results(
        study="s", metric="val/accuracy", columns=(), seeds=(0,), trials=trials, about=about,
        tables=parse_tables(list(tables)),
    )  # fmt: skip


def test_pretrained_networks_stand_where_the_study_names_them() -> None:
    text = markdown(report(one_trial(study(pretrain={"stage": TRAINED}), "pretrain", "summary")))
    assert text.count(HEAD) == 1
    assert text.index("## Pretrained networks") < text.index("## Trials by rank")


def test_pretrained_networks_of_older_records_are_shown_as_far_as_they_are_known() -> None:
    content = study_to_json(study(pretrain={"stage": TRAINED}))
    for newer in ("num_classes", "best_epochs", "wall_s"):
        del content["pretrain"]["stage"][newer]
    (table,) = make(one_trial(study_from_json(content)), TABLES.spec("pretrain", "table"))
    assert table.rows == (("stage", "resnet18", "x", "1,631", "/", "20 (/)", "98.12%", "/", "1"),)
    for about in (None, study()):
        with pytest.raises(ConfigError, match="needs a study with stages under `pretrain:`"):
            make(one_trial(about), TABLES.spec("pretrain", "table"))


def test_what_is_left_of_the_confirmation_is_said() -> None:
    confirm = ConfirmRecord(top=3, seeds=(7, 8))
    assert "2 trials (grid) × 2 seeds; 0 of 4 seed runs and 0 of 4 on fresh seeds done." in said(
        {}, {}, base={}, confirm=confirm
    )


def test_what_selects_the_epochs_is_said_where_it_is_something_else() -> None:
    told = "Epochs are selected by val/accuracy of each run, trials and networks by its mean over seeds"
    assert told in said({}, base={})
    text = said({"monitor": "val/loss"}, base={})
    assert "Epochs are selected by val/loss of each run, trials and networks by mean val/accuracy" in text


def test_one_is_no_plural_and_questions_are_text() -> None:
    text = said({}, base={}, seeds=(0,))
    assert "1 trial (grid) × 1 seed; 0 of 1 seed runs done" in text
    assert "\n\nIs 1 < 2\\_?\n\n" in text


def test_prose_keeps_its_markup() -> None:
    assert "\n\n- *a*\n- `b`\n\n" in said({}, base={}, about="- *a*\n- `b`\n")


def test_a_pretrained_network_is_named_where_a_trial_starts_from_it() -> None:
    assert "All trials: `stage` pretrained on x (lr 1).  \n" in said({"weights": "stage"}, {"weights": "none"}, base={})
    assert "pretrained" not in said({"weights": "none"}, base={})


def test_values_that_mean_the_same_network_are_named_and_stand_in_the_cell() -> None:
    left_out = {"freeze": 0.9, "lr": 0.1}, {"freeze": 0.8, "lr": 0.1}
    record = dataclasses.replace(study(name="s", space={"freeze": {}, "lr": {}}, seeds=(0,)), coinciding=(left_out,))
    trials = tuple(
        Trial(
            number=number, values={"freeze": freeze, "lr": 0.1}, seeds=(0,), states=("complete",),
            columns={"val/accuracy": (0.5 + number / 10,)},
        )
        for number, freeze in enumerate((0.7, 0.8))
    )  # fmt: skip
    columns = ("study", "trial", "seed", "state", "freeze", "lr", "val/accuracy")
    results = Results(
        study="s", trials=trials, metric="val/accuracy", seeds=(0,), about=record, columns=columns,
        tables=(TABLES.spec("summary", "table"),),
    )  # fmt: skip
    text = markdown(report(results))
    assert "freeze=0.9 lr=0.1 means the same network as freeze=0.8 lr=0.1, and was run as that." in text
    assert "| 0.8, 0.9 | 1 |" in text
    assert "| 0.7 | 1 |" in text
