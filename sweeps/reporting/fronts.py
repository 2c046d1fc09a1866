"""The front of several aims: what each trial has of them, which trials no other beats in all, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.definition.aims import SECONDS, SIZES, better_of
from sweeps.definition.outputs.options import FEWEST_AIMS
from sweeps.reporting.cells import label
from sweeps.reporting.results import Results, Trial, comparable
from sweeps.statistics.pareto import dominators, shares_on_front_T

NAMES = {SECONDS: "Seconds", "parameters": "Parameters", "trained_parameters": "Trained parameters"}


@dataclass(frozen=True, kw_only=True)
class Front:
    """Trials with the same seeds, held against each other."""

    trials: tuple[Trial, ...]
    """Those on the front, then the others, each by the first aim, the best first."""
    dominators: tuple[Trial | None, ...]
    """For each of them one on the front that dominates it; None for those on the front."""
    shares: tuple[float, ...] | None
    """In what share of draws of the seeds each is on the front; None for one seed."""

    @property
    def on_front(self) -> tuple[Trial, ...]:
        """Those that none dominates."""
        return tuple(trial for trial, over in zip(self.trials, self.dominators, strict=True) if over is None)


def name_of_aim(aim: str) -> str:
    """A column's header."""
    return NAMES.get(aim) or label(aim)


def values(trial: Trial, aim: str) -> list[float]:
    """What a trial has of an aim, by seed."""
    if aim in SIZES:
        return [float(trial.sizes[aim])] * len(trial.seeds)
    return trial.scores(_column(aim))


def aims_of(results: Results, asked: tuple[str, ...] | None, what: str) -> tuple[str, ...]:
    """The aims to show: those that were asked for, or the study's.

    Args:
        what: the table or picture, for an error.

    Raises:
        ConfigError: there are fewer than two, or no trial has a value of one of them.
    """
    aims = asked or (results.metric, *results.aims)
    if len(aims) < FEWEST_AIMS:
        raise ConfigError(
            f"The {what} needs two aims or more, but the study has {results.metric} alone; name them, "
            f"{{pareto: {{aims: [{results.metric}, seconds]}}}}."
        )
    lacking = [
        _lacking(results, aim)
        for aim in aims
        if not (any(t.sizes for t in results.trials) if aim in SIZES else results.has(_column(aim)))
    ]
    if lacking and any(trial.states for trial in results.trials):
        raise ConfigError(f"The {what} needs a value of each aim, but no trial has {' or '.join(lacking)}.")
    return aims


def _column(aim: str) -> str:
    return "wall_s" if aim == SECONDS else aim


def _lacking(results: Results, aim: str) -> str:
    if aim not in SIZES:
        return _column(aim)
    if results.details is None:
        return f"{aim}, which a CSV file lacks and the ledger has: python -m sweeps.report study=NAME"
    return f"{aim}: its images were not noted by the version that ran; run the study again, which trains nothing"


def front_of(results: Results, trials: Sequence[Trial], aims: Sequence[str], what: str) -> Front:
    """Holds trials against each other that have the same seeds and a value of each aim.

    Raises:
        ConfigError: there is none.
    """
    sized = [trial for trial in trials if trial.sizes or not set(aims) & set(SIZES)]
    whole = comparable(sized, *(_column(aim) for aim in aims if aim not in SIZES))
    if not whole:
        raise ConfigError(f"The {what} needs complete trials, but there are none yet.")
    costs_TAS = np.array([[_costs(values(trial, aim), aim) for aim in aims] for trial in whole])
    # means as all tables have them, exact to the last bit
    means_TA = np.array([[_costs([mean_of(trial, aim)], aim)[0] for aim in aims] for trial in whole])
    over = dominators(means_TA)
    shares = shares_on_front_T(costs_TAS) if len(whole[0].seeds) > 1 else None
    order = sorted(range(len(whole)), key=lambda n: (over[n] is not None, *means_TA[n], whole[n].number))
    dominated_by = [over[place] for place in order]
    return Front(
        trials=tuple(whole[place] for place in order),
        dominators=tuple(None if other is None else whole[other] for other in dominated_by),
        shares=None if shares is None else tuple(float(shares[place]) for place in order),
    )


def mean_of(trial: Trial, aim: str) -> float:
    """Mean over seeds."""
    found = float(trial.sizes[aim]) if aim in SIZES else trial.mean(_column(aim))
    assert found is not None
    return found


def _costs(found: Sequence[float], aim: str) -> list[float]:
    """Values of which less is better."""
    return list(found) if better_of(aim) == "min" else [-value for value in found]
