"""Exact markdown from fixed frames: the formats are what users publish."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError, DataError
from sweeps.definition.outputs.registry import TABLES
from sweeps.reporting.cells import scientific, show
from sweeps.reporting.combine import combine
from sweeps.reporting.frame import frame_of
from sweeps.reporting.html import html
from sweeps.reporting.inline import Break, bold, code
from sweeps.reporting.latex import latex
from sweeps.reporting.markdown import table as markdown_table
from sweeps.reporting.reading import from_csv
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Table
from sweeps.reporting.tables import make
from tests.sweeps.reporting.studies import study as study_record

HEADER = (
    "trial,seed,state,optimizer,lr,momentum,epochs,batch_size,max_epoch,best_epoch,val/accuracy,test/loss,test/accuracy"
)


def markdown(tmp_path: Path, rows: str, kind: object, header: str = HEADER) -> str:
    path = tmp_path / "r.csv"
    path.write_text(header + "\n" + rows.strip().replace(" ", "") + "\n")
    return "\n\n".join(markdown_table(t) for t in make(from_csv(path), TABLES.spec(kind, "table")))


def test_flat(tmp_path: Path) -> None:
    got = markdown(
        tmp_path,
        """
        0,0,complete,adam,1e-6,0.9,100,32,100,91,0.7,0.5714,0.731
        1,0,complete,sgd,1e-4,0.9,25,32,25,4,0.8,0.402,0.8395
        2,0,diverged,sgd,5e-4,0.9,10,32,10,,,,
        """,
        "flat",
    )
    assert got == (
        "| Optimizer | Learning rate | Momentum | Epochs (best) | Batch size | Test loss | Test acc |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| Adam | 1e-6 | (0.9, 0.999) | 100 (91) | 32 | 0.571 | 73.10% |\n"
        "| SGD | 1e-4 | 0.9 | 25 (4) | 32 | **0.402** | **83.95%** |\n"
        "| SGD | 5e-4 | 0.9 | 10 (/) | 32 | diverged | diverged |\n"
        "\n"
        "1 of 3 trials diverged: trial 2 (seeds 0)."
    )


def test_lists(tmp_path: Path) -> None:
    got = markdown(
        tmp_path,
        """
        0,0,complete,sgd,1e-6,0.9,100,32,100,95,0.7,0.527,0.7907
        0,1,complete,sgd,1e-6,0.9,100,32,100,92,0.7,0.586,0.7283
        1,0,complete,sgd,5e-6,0.9,100,32,100,41,0.8,0.411,0.8602
        1,1,failed,sgd,5e-6,0.9,100,32,100,,,,
        """,
        "lists",
    )
    assert got == (
        "| Learning rate | Max epoch | Best epochs | Test Loss | Test Acc (%) |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 1e-6 | 100 | [95, 92] | [0.527, 0.586] | [79.07, 72.83] |\n"
        "| 5e-6 | 100 | [41, failed] | [**0.411**, failed] | [**86.02**, failed] |\n"
        "\n"
        "1 of 2 trials failed: trial 1 (seeds 1)."
    )


def test_pivot(tmp_path: Path) -> None:
    got = markdown(
        tmp_path,
        """
        0,0,complete,sgd,1e-5,0.9,100,16,100,7,0.7,0.4,0.8
        1,0,complete,sgd,5e-6,0.9,100,16,100,12,0.7,0.512,0.771
        1,1,complete,sgd,5e-6,0.9,100,16,100,9,0.7,0.498,0.7802
        2,0,complete,sgd,1e-5,0.9,100,32,100,5,0.7,0.4,0.8
        """,
        {"pivot": {"rows": "lr", "columns": "batch_size"}},
    )
    assert got == (
        "| | 16 | 32 |\n"
        "| --- | --- | --- |\n"
        "| **5e-6** | epoch = [12, 9] <br> loss = [0.512, 0.498] <br> acc = [77.10, 78.02] | / |\n"
        "| **1e-5** | epoch = [7] <br> loss = [**0.400**] <br> acc = [**80.00**] "
        "| epoch = [5] <br> loss = [**0.400**] <br> acc = [**80.00**] |\n"
        "\n"
        "Down: learning rate; across: batch size."
    )


def test_summary_is_sorted_by_val_and_shows_test_beside_it(tmp_path: Path) -> None:
    got = markdown(
        tmp_path,
        """
        0,0,complete,sgd,1e-3,0.9,5,32,5,5,0.80,0.5,0.90
        0,1,complete,sgd,1e-3,0.9,5,32,5,5,0.82,0.5,0.92
        1,0,complete,sgd,1e-2,0.9,5,32,5,5,0.90,0.5,0.85
        1,1,complete,sgd,1e-2,0.9,5,32,5,5,0.90,0.5,0.85
        2,0,complete,sgd,1e-1,0.9,5,32,5,5,0.99,0.5,0.99
        2,1,diverged,sgd,1e-1,0.9,5,32,5,,,,
        """,
        "summary",
    )
    assert got == (
        "| Learning rate | n | Val acc | Test acc | Test acc 95% CI | Test acc against the best (95% CI) | p |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 1e-2 | 2 | **90.00 ± 0.00%** | 85.00 ± 0.00% | / | best |  |\n"
        "| 1e-3 | 2 | 81.00 ± 1.41% | **91.00 ± 1.41%** | 78.29–100.00% | +6.00 [-6.71, +18.71] | "
        "too few seeds (6) |\n"
        "| 1e-1 | 2 | diverged | diverged | diverged | / | / |\n"
        "\n"
        "The best has the highest mean val/accuracy. Differences to it are in test acc, paired by seed in percentage "
        "points. Too few seeds: with 2 the least possible p of a test that allows for the best having been picked is "
        "0.5; beside it, how many would show a difference of this size and spread.  \n"
        "Intervals and p-values are for other seeds on these very test images, and say nothing of new images: what "
        "each image got is not known.  \n"
        "1 of 3 trials diverged: trial 2 (seeds 1)."
    )


def test_best_takes_the_trial_with_the_best_val_of_each_group(tmp_path: Path) -> None:
    got = markdown(
        tmp_path,
        """
        0,0,complete,resnet18,imagenet,1e-4,5,0.80,0.402,0.8395
        1,0,complete,resnet18,imagenet,1e-3,9,0.70,0.3,0.95
        2,0,complete,resnet50,IMAGENET1K_V2,1e-4,7,0.85,0.35,0.86
        """,
        {"best": {"group": "backbone"}},
        header="trial,seed,state,backbone,weights,lr,best_epoch,val/accuracy,test/loss,test/accuracy",
    )
    assert got == (
        "| ResNet | Learning rate | Best epoch | Test loss | Test acc |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 18 v.1 | 1e-4 | 5 | 0.402 | 83.95% |\n"
        "| 50 v.2 | 1e-4 | 7 | **0.350** | **86.00%** |\n"
        "\n"
        "For each backbone the trial with the best mean val/accuracy."
    )


def test_imagenet_is_read_from_torchvision(tmp_path: Path) -> None:
    got = markdown(tmp_path, "0,resnet18,0.5\n1,resnet50,0.6", "imagenet", header="trial,backbone,test/accuracy")
    assert "| 18 | v.1 | 69.76% | 89.08% | 11.7M | 44.7 Mo |" in got
    assert "| 50 | v.2 | 80.86% | 95.43% | 25.6M | 97.8 Mo |" in got


def test_one_table_for_each_value(tmp_path: Path) -> None:
    rows = """
    0,0,complete,sgd,1e-3,0.9,5,32,5,5,0.80,0.5,0.90
    1,0,complete,adam,1e-3,0.9,5,32,5,5,0.80,0.4,0.91
    """
    got = markdown(tmp_path, rows, {"flat": {"by": "optimizer"}})
    assert got.startswith("**Optimizer: SGD**")
    assert "**Optimizer: Adam**" in got
    assert "**0.500**" in got
    assert "**0.400**" in got


def test_ties_are_all_bold_as_they_are_shown(tmp_path: Path) -> None:
    rows = """
    0,0,complete,sgd,1e-3,0.9,5,32,5,5,0.80,0.50001,0.90
    1,0,complete,adam,1e-3,0.9,5,32,5,5,0.80,0.50002,0.80
    """
    assert markdown(tmp_path, rows, "flat").count("**0.500**") == 2


def test_columns_that_the_data_lacks_are_left_out(tmp_path: Path) -> None:
    got = markdown(tmp_path, "1e-3,0.9\n1e-2,0.8", "flat", header="lr,test/accuracy")
    assert got.splitlines()[0] == "| Learning rate | Test acc |"


def test_cells_that_another_tool_left_empty_are_shown_as_missing(tmp_path: Path) -> None:
    header = "lr,max_epoch,best_epoch,wall_s,val/accuracy,test/accuracy"
    rows = "1e-3,,,,0.8,0.9\n1e-2,5,3,1.5,0.7,0.8"
    assert "| 1e-3 | / (/) | **90.00%** |" in markdown(tmp_path, rows, "flat", header=header)
    assert markdown(tmp_path, rows, "summary", header=header).splitlines()[2].endswith("| / |")
    assert "| 1e-3 | / | **90.00%** |" in markdown(tmp_path, rows, {"best": {"group": "lr"}}, header=header)


def test_percent_signs_in_another_tools_csv_are_refused(tmp_path: Path) -> None:
    for header, row, message in (
        ("lr,test/accuracy", "1e-3,81", r"line 2, test/accuracy: 81 must be a fraction"),
        ("lr,test/accuracy", "1e-3,", r"line 2, test/accuracy: '' must be a finite number"),
        ("lr,test/accuracy", "1e-3,nan", r"must be a finite number"),
        ("lr,test/acuracy", "1e-3,0.8", r"did you mean `test/accuracy`"),
        ("lr,state,test/accuracy", "1e-3,done,0.8", r"'done' must be one of complete"),
        ("lr", "1e-3", r"At least one score column"),
    ):
        with pytest.raises(DataError, match=message):
            markdown(tmp_path, row, "flat", header=header)
    for header, row, message in (
        ("trial,test/accuracy", "1.2,0.5", "trial: 1.2 must be a whole number"),
        ("trial,seed,test/accuracy", "0,0,0.5\n0,,0.6", "line 3, seed: must not be empty"),
        ("trial,test/accuracy", "0,0.5\n0,0.6", "a column `seed` must tell"),
    ):
        with pytest.raises(DataError, match=message):
            markdown(tmp_path, row, "flat", header=header)
    with pytest.raises(ConfigError, match="needs a column `backbone`"):
        markdown(tmp_path, "1,0.5", "imagenet", header="lr,test/accuracy")
    with pytest.raises(DataError, match="each seed once"):
        markdown(tmp_path, "0,0,0.5\n0,0,0.6", "flat", header="trial,seed,test/accuracy")
    with pytest.raises(DataError, match="must have the same lr"):
        markdown(tmp_path, "0,0,1,0.5\n0,1,2,0.6", "flat", header="trial,seed,lr,test/accuracy")
    with pytest.raises(DataError, match="that exists"):
        from_csv(tmp_path / "none.csv")


def test_a_pivot_with_several_trials_in_a_cell_makes_a_table_for_each(tmp_path: Path) -> None:
    rows = """
    0,0,complete,sgd,1e-3,0.9,5,32,5,5,0.80,0.5,0.90
    1,0,complete,adam,1e-3,0.9,5,32,5,5,0.80,0.5,0.90
    2,0,complete,adam,1e-2,0.9,5,16,5,5,0.80,0.5,0.90
    """
    got = markdown(tmp_path, rows, {"pivot": {"rows": "lr", "columns": "batch_size"}})
    assert got.count("**Optimizer: ") == 2
    with pytest.raises(ConfigError, match="two parameters"):
        markdown(tmp_path, "1e-3,0.9\n1e-2,0.8", "pivot", header="lr,test/accuracy")


@pytest.mark.parametrize(
    ("value", "text"), [(1e-6, "1e-6"), (5e-6, "5e-6"), (0.00025, "2.5e-4"), (0.1, "1e-1"), (1, "1e0"), (0, "0")]
)
def test_learning_rates(value: float, text: str) -> None:
    assert scientific(value) == text


def test_values_as_people_write_them() -> None:
    assert (show("optimizer", "adamw"), show("patience", None), show("freeze", 0.7)) == ("AdamW", "off", "0.7")


def rows_of(scores: dict[str, list[float]], switched: str = "lr", fresh: dict[str, list[float]] | None = None) -> str:
    """CSV lines of one trial for each value of a parameter; val is test but for a constant."""
    lines = [f"study,trial,seed,state,{switched},val/accuracy,test/accuracy,wall_s"]
    for number, (value, own) in enumerate(scores.items()):
        lines += [f"s,{number},{seed},complete,{value},{v - 0.1},{v},{number + 1}" for seed, v in enumerate(own)]
        again = (fresh or {}).get(value, [])
        lines += [f"s/confirm,{number},{1000 + n},complete,{value},{v - 0.1},{v},1" for n, v in enumerate(again)]
    return "\n".join(lines) + "\n"


def written(tmp_path: Path, content: str, kind: object) -> str:
    path = tmp_path / "r.csv"
    path.write_text(content)
    return "\n\n".join(markdown_table(t) for t in make(from_csv(path), TABLES.spec(kind, "table")))


BASE = [0.70, 0.72, 0.71, 0.73, 0.69, 0.71, 0.72]


def test_a_lead_over_enough_seeds_has_a_p_value(tmp_path: Path) -> None:
    worse = [value - 0.05 - 0.001 * n for n, value in enumerate(BASE)]
    got = written(tmp_path, rows_of({"1e-3": BASE, "1e-2": worse}), "summary")
    assert "| 1e-2 | 7 | 55.84 ± 1.34% | 65.84 ± 1.34% | 64.61–67.08% | -5.30 [-5.50, -5.10] | 0.016 | 2.0 |" in got
    assert "allows for the best having been picked from these 2 trials" in got


def test_ablation(tmp_path: Path) -> None:
    scores = {
        "none": BASE,
        "hflip": [value + 0.04 + 0.001 * (n % 2) for n, value in enumerate(BASE)],
        "rotation": [value - 0.04 - 0.001 * (n % 2) for n, value in enumerate(BASE)],
        "mixup": [value + 0.01 * (-1) ** n for n, value in enumerate(BASE)],
    }
    got = written(tmp_path, rows_of(scores, "augment"), "ablation").split("\n")
    assert got[0] == "| Switched | n | Test acc | Against the base (95% CI) | p | Verdict |"
    assert got[2] == "| base | 7 | 71.14 ± 1.35% |  |  |  |"
    assert got[3] == "| Augment: hflip | 7 | **75.19 ± 1.38%** | +4.04 [+3.99, +4.09] | < 0.001 | **better** |"
    assert got[4] == "| Augment: rotation | 7 | 67.10 ± 1.31% | -4.04 [-4.09, -3.99] | < 0.001 | **worse** |"
    assert got[5].startswith(
        "| Augment: mixup | 7 | 71.29 ± 1.11% | +0.14 [-0.85, +1.13] | 0.736 | undecided; more than"
    )
    assert got[7].startswith("Base: augment none.")


def test_an_ablation_shows_what_each_option_does_to_the_predicted_probability(tmp_path: Path) -> None:
    lines = ["trial,seed,state,augment,test/accuracy,test/confidence,val/accuracy"]
    for number, augment in enumerate(["none", "hflip"]):
        lines += [
            f"{number},{seed},complete,{augment},{0.7 + 0.01 * seed},{0.6 + 0.05 * number + 0.01 * seed},0.7"
            for seed in range(3)
        ]
    got = written(tmp_path, "\n".join(lines) + "\n", "ablation").split("\n")
    assert got[0].endswith("| Verdict | Test confidence | Confidence against the base (95% CI) |")
    assert got[2].endswith("| 61.00 ± 1.00% |  |")
    assert got[3].endswith("| **66.00 ± 1.00%** | +5.00 [/] |")


def test_a_calibration_error_has_no_interval(tmp_path: Path) -> None:
    lines = ["trial,seed,state,lr,val/ece,test/ece"]
    for number, lr in enumerate(["1e-3", "1e-2"]):
        lines += [f"{number},{seed},complete,{lr},{0.05 + 0.01 * number + 0.002 * seed},0.06" for seed in range(3)]
    path = tmp_path / "r.csv"
    path.write_text("\n".join(lines) + "\n")
    got = "\n".join(markdown_table(t) for t in make(from_csv(path, "val/ece"), TABLES.spec("summary", "t")))
    assert "| 1e-3 | 3 | **5.20 ± 0.20%** | **6.00 ± 0.00%** | / |" in got  # the least error is the best
    assert "ECE itself has no interval, since few images make it look larger than it is;" in got


def test_importances_name_what_explains_the_trials(tmp_path: Path) -> None:
    lines = ["trial,seed,state,head,lr,weight_decay,val/accuracy"]
    for number, (head, lr, decay) in enumerate(itertools.product(["linear", "mlp_relu"], [1e-3, 1e-2], [0.0, 1e-4])):
        value = 0.5 + 0.3 * (lr > 5e-3) + 0.05 * (head == "linear") + 0.001 * (decay > 0)
        lines += [f"{number},{seed},complete,{head},{lr},{decay},{value + 0.002 * seed}" for seed in range(3)]
    got = written(tmp_path, "\n".join(lines) + "\n", "importances").split("\n")
    shares = {line.split(" | ")[0][2:]: int(line.split(" | ")[1].split("%")[0]) for line in got[2:6]}
    assert list(shares) == ["Learning rate", "Head", "Weight decay", "together only"]
    assert shares["Learning rate"] > 80 > 20 > shares["Head"] > shares["Weight decay"]


def test_slices_average_over_all_else(tmp_path: Path) -> None:
    lines = ["trial,seed,state,head,lr,val/accuracy"]
    for number, (head, lr) in enumerate(itertools.product(["linear", "mlp_relu"], [1e-3, 1e-2])):
        lines += [f"{number},{seed},complete,{head},{lr},{0.5 + 0.1 * number + 0.02 * seed}" for seed in range(2)]
    got = written(tmp_path, "\n".join(lines) + "\n", "slices")
    assert "| Head | linear | 2 | 56.00% | 43.29–68.71% |" in got
    assert "| Learning rate | 1e-2 | 2 | 71.00% | 58.29–83.71% |" in got


def test_confirmed_shows_search_and_fresh_seeds_side_by_side(tmp_path: Path) -> None:
    scores = {"1e-3": [0.80, 0.84, 0.82], "1e-2": [0.81, 0.80, 0.79], "1e-1": [0.5, 0.5, 0.5]}
    fresh = {"1e-3": [0.78, 0.79, 0.77, 0.78], "1e-2": [0.80, 0.81, 0.80, 0.80]}
    got = written(tmp_path, rows_of(scores, fresh=fresh), "confirmed")
    assert got.startswith("**Confirmed on fresh seeds**")
    assert (
        "| Learning rate | Val acc, search | Val acc, fresh seeds | Test acc, search | Test acc, fresh seeds |" in got
    )
    assert "| 1e-3 | **72.00 ± 2.00%** | 68.00 ± 0.82% | **82.00 ± 2.00%** | 78.00 ± 0.82% |" in got
    assert "| 4 | +2.25 [+1.45, +3.05] | 0.003 |" in got
    search = written(tmp_path, rows_of(scores, fresh=fresh), "summary")
    assert "| 1e-3 | 3 | **72.00 ± 2.00%** |" in search, "fresh seeds are no part of the search"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("s/confirm,0,1000", "s/confirm,9,1000"), "must be one of the study's trials"),
        (("s/confirm,0,1000", "s/confirm,0,0"), "fresh seeds of trial 0 must be others"),
        (("s/confirm,0,1000", "t,0,1000"), "all rows must be of one study"),
    ],
)
def test_fresh_seeds_that_are_none_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(rows_of({"1e-3": [0.5]}, fresh={"1e-3": [0.6]}).replace(*change))
    with pytest.raises(DataError, match=message):
        from_csv(path)


def test_trials_without_a_score_are_named_where_means_are_taken(tmp_path: Path) -> None:
    lines = ["trial,seed,state,head,lr,val/accuracy"]
    lines += [
        f"{n},{s},complete,linear,{lr},{0.5 + 0.1 * n + 0.02 * s}" for n, lr in enumerate((1e-3, 1e-2)) for s in (0, 1)
    ]
    lines += [f"{n},{s},diverged,mlp_relu,{lr}," for n, lr in ((2, 1e-3), (3, 1e-2)) for s in (0, 1)]
    got = written(tmp_path, "\n".join(lines) + "\n", "slices")
    assert "| Head | mlp_relu | 0 | / | / |" in got
    assert "2 of 4 trials have no score on all seeds and are in no mean." in got
    assert "2 of 4 trials diverged" in got


def test_the_best_is_the_same_one_everywhere_where_means_are_equal(tmp_path: Path) -> None:
    """A plain sum of .7, .8, .9 is another number than one of .9, .8, .7."""
    got = written(tmp_path, rows_of({"1e-3": [0.8, 0.9, 1.0], "1e-2": [1.0, 0.9, 0.8]}), "summary").split("\n")
    assert got[2].startswith("| 1e-3 |")
    assert "| best |" in got[2]


def test_a_metric_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(rows_of({"1e-3": [0.5]}))
    with pytest.raises(DataError, match="by a score that is there"):
        from_csv(tmp_path / "r.csv", "val/loss")


def test_combined_studies_keep_what_belongs_to_each() -> None:
    def study(name: str, value: float) -> Results:
        columns = dict.fromkeys(("val/accuracy", "test/accuracy"), (value, value + 0.01, value))
        one = {"values": {"lr": value}, "seeds": (0, 1, 2), "states": ("complete",) * 3, "columns": columns}
        fresh = Trial(number=0, **one | {"seeds": (7, 8, 9)})  # type: ignore[arg-type]
        trial = Trial(number=0, fingerprint=name, fresh=fresh, **one)  # type: ignore[arg-type]
        about = study_record(name=name, space={"lr": {}}, seeds=(0, 1, 2))
        return Results(
            study=name, trials=(trial,), metric="val/accuracy", seeds=(0, 1, 2), about=about,
            columns=("study", "trial", "seed", "state", "lr", "val/accuracy", "test/accuracy"),
        )  # fmt: skip

    one, other = study("a", 0.5), dataclasses.replace(study("b", 0.8), aims=("seconds",))
    assert combine([one, other]).aims == (), "what only one of them aims at is no aim of both"
    assert combine([dataclasses.replace(one, aims=("seconds",)), other]).aims == ("seconds",)
    both = combine([one, study("b", 0.8)])
    frame = frame_of(both)
    assert list(frame.drop_duplicates(["study", "trial"])[["study", "trial"]].itertuples(index=False, name=None)) == [
        ("a", 0), ("b", 1), ("a/confirm", 0), ("b/confirm", 1),
    ]  # fmt: skip
    (table,) = make(both, TABLES.spec("confirmed", "table"))
    against = table.header.index("Test acc against it (95% CI)")
    assert [row[against].split(" ")[0] for row in table.rows] == ["led", "-30.00"]


def test_studies_of_the_same_test_images_are_one_table_and_others_say_what_differs() -> None:
    def study(name: str, **data: str) -> Results:
        record = study_record(name=name, space={"lr": {}}, seeds=(0,))
        record = dataclasses.replace(record, data=dataclasses.replace(record.data, **data))
        trial = Trial(number=0, values={"lr": 1}, seeds=(0,), states=("complete",), columns={"val/accuracy": (0.5,)})
        columns = ("study", "trial", "seed", "state", "lr", "val/accuracy")
        return Results(study=name, trials=(trial,), metric="val/accuracy", seeds=(0,), about=record, columns=columns)

    plain = study("plain")
    smaller = study("smaller", presentation_name="p24", options={"source": "digits", "size": 24})
    assert len(combine([plain, smaller]).trials) == 2
    elsewhere = study("elsewhere", test_name="t2", images_name="i2", options={"source": "digits", "split_seed": 1})
    with pytest.raises(ConfigError, match="scored on the same test images") as caught:
        combine([plain, elsewhere])
    assert "data.split_seed: not set in plain, 1 in elsewhere" in str(caught.value)
    three, five = (dataclasses.replace(plain, study=name, folds=folds) for name, folds in (("three", 3), ("five", 5)))
    assert combine([three, dataclasses.replace(three, study="again")]).folds == 3
    with pytest.raises(ConfigError, match="as many folds, or they learn from fewer images, but: three with 3, five"):
        combine([three, five])


def test_latex_and_html_keep_what_is_special() -> None:
    block = Table(
        title="50% & more", header=("a_b", "<i>"), rows=((bold("x_1"), (code("c"), Break(), "5 < 6")),), notes=("±",)
    )
    tex = latex([block])
    assert r"\caption{50\% \& more}" in tex
    assert r"a\_b & $<$i$>$ \\" in tex
    assert r"\textbf{x\_1} & \begin{tabular}[t]{@{}l@{}}\texttt{c} \\ 5 $<$ 6\end{tabular} \\" in tex
    page = html("t<", [block], {})
    assert "<title>t&lt;</title>" in page
    assert "<strong>x_1</strong>" in page
    assert "<code>c</code><br>5 &lt; 6" in page


def test_importances_of_a_complete_grid_are_exact(tmp_path: Path) -> None:
    means = {("linear", 1e-3): 0.5, ("linear", 1e-2): 0.6, ("mlp_relu", 1e-3): 0.4, ("mlp_relu", 1e-2): 0.9}
    lines = ["trial,seed,state,head,lr,val/accuracy"]
    lines += [f"{n},0,complete,{head},{lr},{mean}" for n, ((head, lr), mean) in enumerate(means.items())]
    got = written(tmp_path, "\n".join(lines) + "\n", "importances")
    # by hand: variances 0.035 in all, 0.0225 of the means at each rate, 0.0025 at each head, and the rest
    assert "| Learning rate | 64% |" in got
    assert "| Head | 7% |" in got
    assert "| together only | 29% |" in got
    assert "forest" not in got


def test_equal_scores_have_no_interval_and_neither_have_equal_differences(tmp_path: Path) -> None:
    got = written(tmp_path, rows_of({"1e-3": [0.80, 0.82, 0.84], "1e-2": [0.70, 0.72, 0.74]}), "summary")
    assert "| -10.00 [/] |" in got
    got = written(tmp_path, rows_of({"1e-3": [0.8, 0.8], "1e-2": [0.7, 0.7]}), "slices")
    assert "| Learning rate | 1e-3 | 1 | 70.00% | / | 80.00% | / |" in got


def test_a_value_that_says_nothing_is_no_value(tmp_path: Path) -> None:
    lines = ["trial,seed,head,head_width,dropout,val/accuracy,test/accuracy"]
    trials = [("linear", 256, 0.5), ("mlp_relu", 128, 0.1), ("mlp_relu", 256, 0.5), ("mlp_leaky_dropout", 256, 0.1)]
    trials += [("mlp_leaky_dropout", 256, 0.3)]
    lines += [f"{n},0,{head},{width},{p},{0.5 + n / 10},0.5" for n, (head, width, p) in enumerate(trials)]
    text = "\n".join(lines) + "\n"
    got = written(tmp_path, text, "lists")
    assert "| linear |  |  | [50.00] |" in got.replace("**", "")
    assert "| mlp_relu | 128 |  | [50.00] |" in got.replace("**", "")
    assert "| mlp_leaky_dropout | 256 | 0.1 | [50.00] |" in got.replace("**", "")
    got = written(tmp_path, text, "slices")
    assert "| Head width | 256 | 3 |" in got, "the linear head has no width"
    assert "| Dropout | 0.1 | 1 |" in got
    assert "| Dropout | 0.5 |" not in got, "no head has this dropout"
    got = written(tmp_path, text, {"pivot": {"rows": "head", "columns": "head_width"}})
    assert "**Dropout: 0.1**" in got
    assert "**Dropout: 0.5**" not in got


def test_imagenet_lists_the_weights_that_trials_start_from(tmp_path: Path) -> None:
    header = "trial,backbone,weights,test/accuracy"
    got = markdown(tmp_path, "0,resnet50,IMAGENET1K_V1,0.5\n1,resnet18,none,0.6", "imagenet", header=header)
    assert "| 50 | v.1 |" in got
    assert "v.2" not in got
    assert "| 18 |" not in got
    with pytest.raises(ConfigError, match="that start from ImageNet weights, but none does"):
        markdown(tmp_path, "0,resnet50,none,0.5", "imagenet", header=header)


STOPPED = """
        0,0,complete,complete,1e-3,9,9,5,0.70,0.80
        0,1,complete,complete,1e-3,9,9,6,0.72,0.81
        1,0,complete,pruned,1e-4,9,9,8,0.90,0.95
        2,0,pruned,pruned,1e-5,9,3,2,0.60,
        3,0,pruned,pruned,1e-6,9,1,1,0.50,
        """
STOPPED_HEADER = "trial,seed,state,trial_state,lr,epochs,max_epoch,best_epoch,val/accuracy,test/accuracy"


def test_what_the_pruner_stopped_is_marked_and_not_ranked(tmp_path: Path) -> None:
    got = markdown(tmp_path, STOPPED, "summary", STOPPED_HEADER)
    ranked, *others = [line for line in got.splitlines() if line.startswith("| 1e-")]
    assert ranked.startswith("| 1e-3 ")
    assert "90.00% (pruned, n=1)" in others[0]
    assert "60.00% (pruned, epoch 3)" in others[1]
    assert "50.00% (pruned, epoch 1)" in others[2]
    assert "after epoch 1 trial 3; after epoch 3 trial 2" in got
    assert "2 of 4 trials were stopped at a rung" in got
    assert "1 of 4 trials were stopped by the race" in got


def test_in_a_list_the_best_is_one_of_those_that_are_ranked(tmp_path: Path) -> None:
    got = markdown(tmp_path, STOPPED, "lists", STOPPED_HEADER)
    assert "**81.00**" in got
    assert "**95.00**" not in got
    assert "95.00" in got


AIMED = "trial,seed,state,lr,val/accuracy,val/loss,wall_s"
ROWS = """
    0,0,complete,1e-3,0.80,0.5,4.0
    0,1,complete,1e-3,0.84,0.5,4.4
    1,0,complete,1e-2,0.90,0.4,9.0
    1,1,complete,1e-2,0.91,0.4,9.5
    2,0,complete,1e-1,0.70,0.4,10.0
    2,1,complete,1e-1,0.92,0.3,9.2
    3,0,diverged,1,,,1.0
    4,0,complete,2,0.9,0.3,1.0
"""


def test_pareto_shows_the_front_first_and_by_what_the_others_are_dominated(tmp_path: Path) -> None:
    got = markdown(tmp_path, ROWS, {"pareto": {"aims": ["val/accuracy", "seconds"]}}, AIMED)
    assert got == (
        "| Trial | Learning rate | n | Val acc | Seconds | On the front | Front in resamples |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 1 | 1e-2 | 2 | **90.50 ± 0.71%** | 9.2 ± 0.4 | yes | 74% |\n"
        "| 0 | 1e-3 | 2 | 82.00 ± 2.83% | **4.2 ± 0.3** | yes | 100% |\n"
        "| 2 | 1e-1 | 2 | 81.00 ± 15.56% | 9.6 ± 0.6 | no (trial 1) | 26% |\n"
        "\n"
        "A trial is on the front when no other is at least as good in all aims and better in one: val acc (more is "
        "better), seconds (less is better). Of those that dominate another one, the best in the first aim is named. "
        "Compared are the 3 trials that have the same 2 seeds, not 1 other. Front in resamples: the share of 1,000 "
        "draws of the 2 seeds, the same ones of all trials, in which a trial is on the front; it tells of other seeds "
        "only, not of other images.  \n"
        "1 of 5 trials diverged: trial 3 (seeds 0)."
    )


def test_the_share_in_resamples_is_that_of_the_draws_in_which_a_trial_is_ahead(tmp_path: Path) -> None:
    # trial 2 dominates trial 1 where its second seed is drawn twice, a quarter of all draws, and is dominated else
    got = markdown(tmp_path, ROWS, {"pareto": {"aims": ["val/accuracy", "seconds"]}}, AIMED)
    ahead, behind = (int(row.split(" | ")[-1].split("%")[0]) for row in got.splitlines() if row[:3] in ("| 1", "| 2"))
    assert ahead + behind == 100
    assert abs(behind - 25) <= 3


def test_with_one_seed_no_share_in_resamples_is_claimed(tmp_path: Path) -> None:
    rows = "0,0,complete,1e-3,0.80,0.5,4.0\n1,0,complete,1e-2,0.70,0.5,5.0"
    got = markdown(tmp_path, rows, {"pareto": {"aims": ["val/accuracy", "seconds"]}}, AIMED)
    assert "| 0 | 1e-3 | 1 | **80.00%** | **4.0** | yes | / |" in got
    assert "| 1 | 1e-2 | 1 | 70.00% | 5.0 | no (trial 0) | / |" in got
    assert "With one seed nothing tells how far the front hangs on it." in got


@pytest.mark.parametrize(
    ("aims", "message"),
    [
        (None, "The table pareto needs two aims or more, but the study has val/accuracy alone; name them"),
        (["val/accuracy", "val/ece"], "The table pareto needs a value of each aim, but no trial has val/ece"),
        (["val/accuracy", "parameters"], "no trial has parameters, which a CSV file lacks and the ledger has"),
    ],
)
def test_pareto_says_what_it_lacks(tmp_path: Path, aims: list[str] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        markdown(tmp_path, ROWS, {"pareto": {"aims": aims}} if aims else "pareto", AIMED)


def test_pareto_shows_the_sizes_of_networks_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(AIMED + ROWS.replace(" ", ""))
    read = from_csv(path)
    trials = [dataclasses.replace(t, sizes={"parameters": 11_178_051 + t.number}) for t in read.trials]
    results = dataclasses.replace(read, trials=tuple(trials), aims=("parameters",))
    (table,) = make(results, TABLES.spec("pareto", "table"))
    assert [row[4] for row in table.rows] == ["11,178,052", bold("11,178,051"), "11,178,053"]
    assert [row[5] for row in table.rows] == ["yes", "yes", "no (trial 1)"]
