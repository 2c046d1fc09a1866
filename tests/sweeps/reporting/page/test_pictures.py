"""Pictures of a page take its colours, and their points answer."""

import re
import xml.etree.ElementTree as ElementTree

from sweeps.reporting.chart import Grid, Plot, Series
from sweeps.reporting.page.pictures import picture

POINTS = Plot(
    x_label="x", y_label="y", categories=("a", "b"),
    series=(Series(name="seed runs", x=(1.0, 2.0), y=(0.0, 1.0), hover=("seed 0", "seed 1"), runs=("0/0", "1/1")),),
)  # fmt: skip


def test_points_name_their_seed_runs() -> None:
    assert re.findall(r'data-run="([^"]*)"', picture(POINTS, "seeds", "c")) == ["0/0", "1/1"]


def test_points_without_a_seed_run_say_what_they_are() -> None:
    chart = Plot(
        x_label="x", y_label="y", series=(Series(name="n", x=(1.0, 2.0), y=(0.0, 1.0), hover=("<one>", "two")),)
    )
    root = ElementTree.fromstring(picture(chart, "cost", "c"))
    assert [node.text for node in root.iter("{http://www.w3.org/2000/svg}title")] == ["<one>", "two"]


def test_two_pictures_share_no_name_and_no_style_sheet() -> None:
    first, second = (picture(POINTS, kind, "c") for kind in ("seeds", "cost"))
    assert not set(re.findall(r' id="([^"]*)"', first)) & set(re.findall(r' id="([^"]*)"', second))
    for written, kind in ((first, "seeds"), (second, "cost")):
        assert "<style" not in written
        names = set(re.findall(r' id="([^"]*)"', written))
        used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', written))
        assert used
        assert used <= names
        assert all(name.startswith(f"{kind}-") for name in names)


def test_ink_is_the_text_colour_but_on_coloured_cells() -> None:
    assert "#000000" not in picture(POINTS, "seeds", "c")
    grid = Grid(
        rows=("a", "b"), columns=("c",), values=((1.0,), (9.0,)), texts=(("1",), ("9",)), x_label="x", y_label="y",
        scale="s",
    )  # fmt: skip
    root = ElementTree.fromstring(picture(grid, "confusion", "c"))
    styles = {node.text: node.get("style", "") for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert styles["1"].endswith("fill: white"), "on dark blue"
    assert styles["9"].endswith("fill: black"), "on yellow"


def test_a_screen_reader_gets_the_caption() -> None:
    root = ElementTree.fromstring(picture(POINTS, "seeds", 'what "it" shows'))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'what "it" shows'
