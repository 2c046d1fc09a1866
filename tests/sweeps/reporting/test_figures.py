"""What pictures show."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.registry import FIGURES
from sweeps.reporting.chart import Grid, Plot
from sweeps.reporting.figures import caption, draw
from sweeps.reporting.interactive import figure
from sweeps.reporting.reading import from_csv
from sweeps.reporting.results import Results
from sweeps.reporting.svg import svg
from sweeps.reporting.write import write_report
from tests.sweeps.reporting.studies import STUDY


def of(tmp_path: Path, text: str) -> Results:
    path = tmp_path / "r.csv"
    path.write_text(text)
    return from_csv(path)


def test_a_heatmap_has_the_parameters_that_were_asked_for(tmp_path: Path) -> None:
    lines = ["trial,seed,head,lr,batch_size,val/accuracy"]
    for number, (head, lr, size) in enumerate(itertools.product(["linear", "mlp_relu"], [1e-3, 1e-2], [8, 16])):
        lines.append(f"{number},0,{head},{lr},{size},{0.5 + 0.05 * number}")
    results = of(tmp_path, "\n".join(lines) + "\n")
    for options, expected in (
        ({}, ("Head", "Learning rate")),
        ({"rows": "batch_size"}, ("Batch size", "Head")),
        ({"columns": "head"}, ("Learning rate", "Head")),
        ({"rows": "lr", "columns": "batch_size"}, ("Learning rate", "Batch size")),
    ):
        chart = draw(results, FIGURES.spec({"heatmap": options}, "figures"))
        assert isinstance(chart, Grid)
        assert (chart.y_label, chart.x_label) == expected
    with pytest.raises(ConfigError, match="two parameters"):
        draw(results, FIGURES.spec({"heatmap": {"rows": "lr", "columns": "lr"}}, "figures"))


@pytest.mark.parametrize(
    ("count", "said"), [(3, "Every seed run, trials by rank"), (18, "Seed runs of 16 of 18 trials, by rank")]
)
def test_every_seed_run_is_said_where_it_is_true(tmp_path: Path, count: int, said: str) -> None:
    rows = "".join(f"{n},0,{n + 1},{0.5 + n / 100}\n" for n in range(count))
    results = of(tmp_path, "trial,seed,lr,val/accuracy\n" + rows)
    spec = FIGURES.spec("seeds", "figures")
    assert caption(results, spec) == said
    chart = draw(results, spec)
    assert isinstance(chart, Plot)
    assert len(chart.categories or ()) == min(count, 16)


def test_the_picture_of_cost_says_that_seconds_are_lacking(tmp_path: Path) -> None:
    results = of(tmp_path, "trial,seed,lr,val/accuracy\n0,0,1,0.5\n")
    with pytest.raises(ConfigError, match="needs `wall_s`, the seconds of each seed run"):
        draw(results, FIGURES.spec("cost", "figures"))


AIMED = """trial,seed,lr,val/accuracy,val/loss,wall_s
0,0,1,0.5,0.9,1
0,1,1,0.7,0.9,3
1,0,2,0.8,0.5,4
1,1,2,0.8,0.5,4
2,0,3,0.7,0.5,30
2,1,3,0.7,0.5,30
"""


def test_the_front_is_a_line_of_steps_with_the_numbers_of_its_trials(tmp_path: Path) -> None:
    spec = FIGURES.spec({"pareto": {"aims": ["val/accuracy", "seconds"]}}, "figures")
    chart = draw(of(tmp_path, AIMED), spec)
    assert isinstance(chart, Plot)
    every, front = chart.series
    assert (chart.x_label, chart.y_label, chart.log_x) == ("Seconds for one seed run", "Val acc (%)", True)
    assert sorted(zip(every.x, every.y, strict=True)) == [(2, pytest.approx(60)), (4, 80), (30, 70)]
    assert every.edges_x is not None
    assert every.edges_x[0][-2:] == (pytest.approx(2 - 2**0.5), 30), "a standard deviation to each side"
    assert (front.labels, front.step, front.line) == (("0", "1"), "after", True)
    assert "trial 1: lr 2e0" in (front.hover or ())
    assert "steps" not in (caption(of(tmp_path, AIMED), spec))
    more = FIGURES.spec({"pareto": {"aims": ["val/loss", "val/accuracy", "seconds"]}}, "figures")
    other = draw(of(tmp_path, AIMED), more)
    assert isinstance(other, Plot)
    assert other.series[1].step == "before", "along, more is better: a step ends where the next trial stands"
    assert other.log_x is False
    assert "val loss and val acc, the first two of 3 aims" in caption(of(tmp_path, AIMED), more)


def test_labels_and_steps_are_drawn_on_paper_and_in_a_browser(tmp_path: Path) -> None:
    chart = draw(
        of(tmp_path, AIMED.replace("\n1,", "\n17,")),
        FIGURES.spec({"pareto": {"aims": ["val/accuracy", "seconds"]}}, "figures"),
    )
    assert ">17</text>" in svg(chart)
    every, front = figure(chart).data
    assert (front.line.shape, list(front.text), front.mode) == ("hv", ["0", "17"], "lines+markers+text")
    assert front.hovertext[1] == "trial 17: lr 2e0"
    assert every.error_x.array is not None
    assert every.error_y.array is not None


def test_the_front_is_one_of_all_pictures_where_there_are_several_aims(tmp_path: Path) -> None:
    every = tuple(FIGURES.spec(kind, "figures") for kind in FIGURES.kinds)
    one = dataclasses.replace(of(tmp_path, AIMED), about=STUDY)
    said = write_report(one, tmp_path / "s.md", figures=every, every=True)
    assert "pareto" not in said.text, "nobody needs to be told of what is none of the study's"
    several = dataclasses.replace(one, aims=("seconds",))
    assert "r.pareto.svg" in write_report(several, tmp_path / "s.md", figures=every, every=True).text
    with pytest.raises(ConfigError, match="The picture pareto needs two aims or more, but the study has val/accuracy"):
        draw(one, FIGURES.spec("pareto", "figures"))
