"""Exact markdown from fixed frames: the formats are what users publish."""

from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError, DataError
from sweeps.definition.tables import parse_table
from sweeps.reporting.documents import markdown_table, tables_of
from sweeps.reporting.results import from_csv
from sweeps.reporting.tables import scientific, show

HEADER = (
    "trial,seed,state,optimizer,lr,momentum,epochs,batch_size,max_epoch,best_epoch,val/accuracy,test/loss,test/accuracy"
)


def markdown(tmp_path: Path, rows: str, kind: object, header: str = HEADER) -> str:
    path = tmp_path / "r.csv"
    path.write_text(header + "\n" + rows.strip().replace(" ", "") + "\n")
    return "\n\n".join(markdown_table(t) for t in tables_of(from_csv(path), [parse_table(kind)]))


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
        "| Learning rate | n | Val acc | Test acc | Test acc 95% CI |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 1e-2 | 2 | **90.00 ± 0.00%** | 85.00 ± 0.00% | 85.00–85.00% |\n"
        "| 1e-3 | 2 | 81.00 ± 1.41% | **91.00 ± 1.41%** | 78.29–103.71% |\n"
        "| 1e-1 | 2 | diverged | diverged | diverged |\n"
        "\n"
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
