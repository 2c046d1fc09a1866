import dataclasses
import os
import subprocess
import sys

from resnet_tl.cli import describe_data
from resnet_tl.data.prepare import Prepared


def test_a_command_line_makes_cublas_repeatable_before_torch_is_loaded() -> None:
    code = """
import os, sys
import resnet_tl.fit, resnet_tl.predict, resnet_tl.pretrain, sweeps.run
from resnet_tl.command import entry
entry(lambda: print(os.environ["CUBLAS_WORKSPACE_CONFIG"], "torch" in sys.modules) or 0)
"""
    clean = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    for given, expected in ({}, ":4096:8"), ({"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, ":16:8"):
        done = subprocess.run([sys.executable, "-c", code], env=clean | given, capture_output=True, text=True)
        assert done.stdout.split() == [expected, "False"]


def test_classes_are_shown_with_their_images_in_each_split(prepared: Prepared) -> None:
    cut = "val (15%) was cut from the training images, class by class, by data.split_seed=0."
    noted = dataclasses.replace(prepared, how_cut=cut, notes=("Folders were taken for splits: train is `Training`.",))
    assert describe_data(noted).splitlines() == [
        "          train      val     test",
        "bars          8        2        2",
        "dots          8        2        2",
        "rings         8        2        2",
        "images       24        6        6",
        cut,
        "Folders were taken for splits: train is `Training`.",
        "6 test images are few: they alone leave an accuracy of 50% open by ±40 points. A larger data.test_fraction "
        "helps, or a study's study.folds, which tests every image.",
    ]


def test_a_set_of_many_classes_is_cut_short(prepared: Prepared) -> None:
    names = tuple(f"class {index:04}" for index in range(1000))
    counts = dict.fromkeys(prepared.num_images, 1000)
    table = {split: dict.fromkeys(names, 1) for split in prepared.table}
    many = dataclasses.replace(prepared, how_cut="", num_images=counts, classes=names, table=table)
    lines = describe_data(many).splitlines()
    assert len(lines) == 33
    assert lines[-2] == "… and 970 more classes"


def test_few_test_images_and_unequal_classes_are_told_before_anything_trains(prepared: Prepared) -> None:
    told = describe_data(prepared)
    assert "6 test images are few: they alone leave an accuracy of 50% open by ±40 points." in told
    assert "unequal" not in told
    table = prepared.table | {"train": {"bars": 30, "dots": 10, "rings": 90}}
    unequal = dataclasses.replace(prepared, num_images={"train": 130, "val": 6, "test": 100}, table=table)
    told = describe_data(unequal)
    assert "are few" not in told
    assert "Classes are unequal (10 to 90 training images), and accuracy leans to the common ones" in told
    assert "data.balanced=oversample" in told
    assert "data.balanced=oversample" not in describe_data(dataclasses.replace(unequal, balanced="oversample")).replace(
        "(data.balanced=oversample)", ""
    )
