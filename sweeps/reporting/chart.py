"""What pictures show, free of any drawing library; `svg` and `interactive` draw it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import ConfigError
from sweeps.reporting.cells import label, name_of, show, unit_of
from sweeps.reporting.details import Details
from sweeps.reporting.results import NONE_HERE, Results, Trial, ranking

MOST_NAMED = 3
"""Parameters that the name of a trial holds."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together, perhaps joined by a line."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    edges: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Lower and upper edges of a band or of error bars; along x where y holds categories, else along y."""
    edges_x: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Lower and upper ends of error bars along x, of points over two axes of numbers."""
    hover: tuple[str, ...] | None = None
    runs: tuple[str, ...] | None = None
    """The seed runs that the points are, as `trial/seed`."""
    labels: tuple[str, ...] | None = None
    """Beside the points."""
    line: bool = False
    step: Literal["after", "before"] | None = None
    """For a line of steps: whether y changes at the end of the way to the next point, or at its beginning."""
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines or points over two axes."""

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    whole_x: bool = False
    """Whether x counts something."""
    categories: tuple[str, ...] | None = None
    """Names along y, from the top; y of the points are their numbers."""
    square: bool = False


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One horizontal bar for each name, from the top."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    x_label: str
    reach: float = 100.0
    """How far the axis goes at least."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Bars over bars."""

    parts: tuple[Bars, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A matrix of colours with numbers in it; None where there is nothing."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    x_label: str
    y_label: str
    scale: str
    """What the colours mean, with its unit."""


Chart = Plot | Bars | Stack | Grid


def title_of(results: Results, trial: Trial) -> str:
    """A trial by what sets it apart; of many parameters those that the study's first trial has otherwise."""
    names = results.varying()
    if len(names) > MOST_NAMED:
        first = results.trials[0].values
        names = [name for name in names if repr(first.get(name)) != repr(trial.values.get(name))]
        if not names:
            return "base"
    parts = []
    for name in names:
        if trial.value(name) == NONE_HERE:
            continue
        value = show(name, trial.values.get(name))
        plain = isinstance(trial.values.get(name), int | float | bool) or value in ("none", "off", "all", "/")
        parts.append(f"{'lr' if name == 'lr' else name_of(name).lower()} {value}" if plain else value)
    return ", ".join(parts) or f"trial {trial.number}"


def scale_of(metric: str) -> tuple[float, str]:
    """Factor and axis label of a score."""
    unit = unit_of(metric)
    return unit.factor, f"{label(metric)} ({unit.sign})" if unit.sign else label(metric)


def require(trials: Sequence[Any], what: str) -> None:
    """Refuses a picture of nothing."""
    if not trials:
        raise ConfigError(f"The picture {what} needs complete trials.")


def best_trial(results: Results, what: str) -> Trial:
    """The trial with the best mean."""
    ranked = ranking(results)
    require(ranked, what)
    return ranked[0]


def require_details(results: Results, what: str) -> Details:
    """What the ledger has beyond scores, which no CSV file has."""
    if results.details is None:
        raise ConfigError(f"{what} needs one study of the ledger; a CSV file, or several studies together, lack it.")
    return results.details


def floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    """As charts hold them."""
    return tuple(float(value) for value in values)
