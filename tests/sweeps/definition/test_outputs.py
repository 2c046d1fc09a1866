"""Kinds of table and picture: found in folders, each with its options and its drawing."""

import pkgutil
from typing import Any

import pytest

import sweeps.reporting.figures
import sweeps.reporting.tables
from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.registry import FIGURES, TABLES, Registry, parse_figures, parse_tables


@pytest.mark.parametrize(
    ("registry", "package", "functions"),
    [
        (TABLES, sweeps.reporting.tables, ["draw"]),
        (FIGURES, sweeps.reporting.figures, ["draw", "caption"]),
    ],
    ids=["tables", "figures"],
)
def test_every_kind_has_options_and_a_drawing(registry: Registry, package: Any, functions: list[str]) -> None:
    drawn = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert drawn == set(registry.kinds), "a module in one of the two folders lacks its counterpart in the other"
    for kind, options in registry.kinds.items():
        module = __import__(f"{package.__name__}.{kind}", fromlist=["draw"])
        assert all(callable(getattr(module, name, None)) for name in functions), kind
        assert options.__doc__, f"the help has nothing to say of {kind}"
        assert all(field.description for field in options.model_fields.values()), kind


def test_help_names_every_kind_and_option() -> None:
    text = TABLES.help()
    assert all(f"  {kind} " in text for kind in TABLES.kinds)
    assert "rows: The parameter down; default: the first that varies." in text


@pytest.mark.parametrize(
    "written",
    [
        "summary",
        {"pivot": {"rows": "lr", "columns": "batch_size"}},
        {"flat": {"by": "study"}},
        {"pareto": {"aims": ["val/f1", "seconds"]}},
    ],
)
def test_what_was_read_is_written_back(written: Any) -> None:
    assert [spec.written() for spec in parse_tables(written)] == [written]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("pivott", "`study.tables` must name kinds of table, but got 'pivott'; did you mean `pivot`"),
        ({"pivot": {"row": "lr"}}, "pivot has no option `row`; it takes by, rows, columns."),
        ({"ablation": {"by": "lr"}}, "ablation has no option `by`; it takes none."),
        ({"pivot": {"rows": "lrr"}}, "pivot.rows must be a parameter, but got 'lrr'; did you mean `lr`"),
        ({"pivot": {"rows": ["lr"]}}, r"pivot.rows must be a valid string, but got \['lr'\]"),
        ({"pivot": ["lr"]}, "the options of pivot must be a mapping"),
        (
            {"pareto": {"aims": ["val/f1", "secnds"]}},
            "pareto.aims must list .* but got 'secnds'; did you mean `seconds`",
        ),
        ({"pareto": {"aims": "seconds"}}, "must be a list of aims"),
        ({"pivot": {}, "flat": {}}, "must name kinds of table"),
        (7, "must name kinds of table"),
    ],
)
def test_a_table_that_is_none_is_refused_by_what_there_is(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_tables(written)


def test_pictures_are_all_or_none_or_some_and_each_once() -> None:
    assert [spec.kind for spec in parse_figures("all")][:2] == ["curves", "seeds"]
    assert len(parse_figures("all")) == len(FIGURES.kinds)
    assert parse_figures("none") == parse_figures(None) == parse_figures([]) == ()
    assert [spec.kind for spec in parse_figures(["seeds", "curves", "seeds"])] == ["seeds", "curves"]
    with pytest.raises(ConfigError, match="once, but has heatmap with several options"):
        parse_figures(["heatmap", {"heatmap": {"rows": "lr"}}])
