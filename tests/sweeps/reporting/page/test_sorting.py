"""Tables are sorted by what their numbers mean."""

import pytest

from sweeps.reporting.page.sorting import values_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("79.24 ± 1.41%", 79.24), ("76.58–86.74%", 76.58), ("-33.61 [-39.54, -26.85]", -33.61),
        ("+1.2 [0.3, 2.0]", 1.2),
        ("1e-4", 1e-4), ("2.5e-4, 3e-4", 2.5e-4), ("1,234", 1234), ("12.3 (4)", 12.3), ("[0.90, 0.94]", 0.92),
        ("45.1% (pruned, epoch 3)", 45.1), ("−3", -3), ("0", 0),
    ],
)  # fmt: skip
def test_a_cell_counts_by_the_number_it_begins_with(text: str, value: float) -> None:
    assert values_of([text, "/", "failed", ""]) == [pytest.approx(value), None, None, None]


def test_less_than_a_number_stands_before_it() -> None:
    values = values_of(["0.001", "< 0.001", "0.0002"])
    assert values is not None
    assert sorted(range(3), key=lambda place: values[place] or 0.0) == [2, 1, 0]


@pytest.mark.parametrize(
    "column",
    [
        ["layer3", "0.8"], ["/", "all"], ["2024-01-02", "2024-01-03"], ["3x3", "5x5"], ["101_things"], ["1.2.3"],
        ["no_findings (28%)"],
    ],
)  # fmt: skip
def test_names_that_hold_digits_are_no_numbers(column: list[str]) -> None:
    assert values_of(column) is None
