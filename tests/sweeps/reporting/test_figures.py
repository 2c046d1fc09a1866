"""What pictures show."""

import itertools
from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.registry import FIGURES
from sweeps.reporting.chart import Grid
from sweeps.reporting.figures import draw
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
        chart = draw(results, FIGURES.spec({"heatmap": options}, "figures"), lambda trial: ())
        assert isinstance(chart, Grid)
        assert (chart.y_label, chart.x_label) == expected
    with pytest.raises(ConfigError, match="two parameters"):
        draw(results, FIGURES.spec({"heatmap": {"rows": "lr", "columns": "lr"}}, "figures"), lambda trial: ())
