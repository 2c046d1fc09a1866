"""What pictures show."""

import itertools
from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.registry import FIGURES
from sweeps.reporting.chart import Grid, Plot
from sweeps.reporting.figures import caption, draw
from sweeps.reporting.reading import from_csv
from sweeps.reporting.results import Results


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
