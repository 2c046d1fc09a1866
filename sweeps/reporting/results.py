"""What a study found, as tables, statistics and pictures take it; `reading` makes it, `frame` writes it down."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resnet_tl.config import NO_SHIFT, has_effect
from resnet_tl.metrics import METRICS, metric_of
from sweeps.definition.hypotheses import Hypothesis, canonical, same
from sweeps.definition.outputs.registry import Spec
from sweeps.records import Stop, StudyRecord
from sweeps.statistics.ranking import rank_key
from sweeps.study_trial import PARAMETERS

if TYPE_CHECKING:
    from sweeps.reporting.details import Details
    from sweeps.reporting.samples import ImageScores
    from sweeps.reporting.standings import Standings
    from sweeps.statistics.planned import OnImages

SCORES = tuple(f"{split}/{metric}" for split in ("val", "test") for metric in METRICS)
"""Columns of every study; sets of `data.shifted` have columns of their own, see `scores_on`."""


def scores_on(splits: Iterable[str]) -> tuple[str, ...]:
    """The columns of scores on sets of images."""
    return tuple(f"{split}/{metric}" for split in splits for metric in METRICS)


def set_of(column: str) -> str | None:
    """The set of images under other conditions that a column is a score on; None where it is no such column."""
    split, _, metric = column.partition("/")
    named = re.fullmatch(r"[a-z][a-z0-9_]*", split) and split not in NO_SHIFT
    return split if metric in METRICS and named else None


def is_score(column: str) -> bool:
    """Whether a column is a score, on val, test or a set under other conditions."""
    return column in SCORES or set_of(column) is not None


NONE_HERE = ""
"""In place of a value that a trial does not have."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial as tables show it, with one entry per seed run, in the order of the seeds."""

    number: int
    values: dict[str, Any]
    """Every parameter that is known."""
    seeds: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    columns: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """`max_epoch`, `best_epoch`, scores and `wall_s`; None where there is none."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Of its network, see `sweeps.definition.aims.SIZES`; empty where they are not known."""
    fingerprint: str | None = None
    stop: Stop | None = None
    """Of one that the pruner ended before it had all seeds or epochs."""
    fresh: "Trial | None" = None
    """The same on the fresh seeds of a confirmation."""

    @property
    def is_stopped(self) -> bool:
        """Whether the pruner ended it before it had all seeds or epochs."""
        return self.stop is not None

    def value(self, name: str) -> Any:
        """A parameter as tables show it: `NONE_HERE` where it says nothing, such as the width of a linear head."""
        return self.values.get(name) if has_effect(name, self.values) else NONE_HERE

    @cached_property
    def state(self) -> str:
        """`complete` when every seed run is and none is to come that the pruner left out; `planned` without any; else
        the worst that happened."""
        if not self.states:
            return "planned"
        bad = [state for state in ("failed", "diverged", "pruned") if state in self.states]
        return bad[0] if bad else "pruned" if self.is_stopped else "complete"

    def scores(self, column: str) -> list[float]:
        """Values over seeds; call it for complete trials only."""
        values = self.columns[column]
        assert None not in values
        return [float(value) for value in values if value is not None]

    def mean(self, column: str) -> float | None:
        """Mean over the seed runs, or None when one of them lacks it."""
        values = self.columns.get(column, ())
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the numbers come from."""

    dates: tuple[str, ...] = ()
    """Days on which seed runs finished, in order."""
    commits: tuple[str, ...] = ()
    reused_from: tuple[str, ...] = ()
    """Other studies whose seed runs were taken over."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a seed run failed or diverged, by `trial/seed`."""
    repeated_s: float = 0.0
    """Seconds of tries that ended in an error and were made again."""


@dataclass(frozen=True, kw_only=True, eq=False)  # known by itself, so that what is derived from it can be kept
class Results:
    """All that tables are made from."""

    study: str
    trials: tuple[Trial, ...]
    """All trials, planned ones included, by number."""
    metric: str
    columns: tuple[str, ...]
    """Of the CSV file, those that there are."""
    seeds: tuple[int, ...] | None
    """The seeds planned, where known."""
    aims: tuple[str, ...] = ()
    """What the study aims at beside its metric."""
    tables: tuple[Spec, ...] = ()
    figures: tuple[Spec, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    folds: int = 0
    """Into which each seed cut the images, so that val and test are the same ones; 0 where they are others."""
    about: StudyRecord | None = None
    """None for a CSV file that nothing is known about."""
    origin: Origin = field(default_factory=Origin)
    details: "Details | None" = None
    """Learning curves and predictions; of one study of the ledger only."""
    images: "ImageScores | None" = None
    """What each image got; None for a CSV file without it."""

    @property
    def higher_is_better(self) -> bool:
        """Of the study's metric."""
        return metric_of(self.metric).better == "max"

    @property
    def on_test(self) -> str:
        """The study's metric, on the split that steers nothing."""
        return "test/" + self.metric.partition("/")[2]

    @property
    def headline(self) -> str:
        """What trials are shown by: the metric on test, or where there is no test, as it is."""
        return self.on_test if self.has(self.on_test) else self.metric

    @property
    def stopped(self) -> list[Trial]:
        """Trials that the pruner ended before they had all seeds or epochs."""
        return [trial for trial in self.trials if trial.is_stopped]

    def rule(self, kind: str) -> Mapping[str, Any] | None:
        """A rule of the study's pruner, with all its options; None where it has none of this kind."""
        rules = self.about.pruner if self.about else ()
        return next((rule for rule in rules if rule["kind"] == kind), None)

    @property
    def num_left_out(self) -> int:
        """Seed runs that the pruner has spared whole."""
        return sum(len(self.seeds or trial.seeds) - len(trial.seeds) for trial in self.stopped)

    @property
    def shifted(self) -> tuple[str, ...]:
        """Sets of images under other conditions that trials are scored on."""
        return tuple(dict.fromkeys(name for column in self.columns if (name := set_of(column)) is not None))

    def on_images(self, trial: Trial, column: str) -> "OnImages | None":
        """What each image brings to a score in a trial's seed runs; None where it is not known."""
        key = (trial.fingerprint, trial.number, trial.seeds, column)
        if key not in self._on_images:
            self._on_images[key] = None if self.images is None else self.images.on_images(trial, column)
        return self._on_images[key]

    @cached_property
    def known_images(self) -> dict[str, bool]:
        """Of which scores it is known for all trials, as far as that was asked; see `samples`."""
        return {}

    @cached_property
    def known_standings(self) -> "dict[Any, Standings | None]":
        """How trials stand to the best, as far as that was asked; see `standings`."""
        return {}

    @cached_property
    def _on_images(self) -> "dict[Any, OnImages | None]":
        return {}

    def asked(self, trial: Trial, name: str) -> list[Any]:
        """The values of a parameter that a trial stands for: its own, and those that mean the same network."""
        found = [trial.value(name)]
        for left_out, kept in self.about.coinciding if self.about else ():
            changed = [key for key in left_out if not same(left_out[key], kept.get(key))]
            if changed == [name] and all(same(trial.values.get(key), value) for key, value in kept.items()):
                found.append(canonical(left_out[name]))
        return found

    def varying(self) -> list[str]:
        """Parameters with more than one value among the trials, in the order of the space, then of the options."""
        return list(self._varying)

    @cached_property
    def _varying(self) -> tuple[str, ...]:
        names = ("study", *PARAMETERS)
        found = [name for name in names if len({repr(trial.values.get(name)) for trial in self.trials}) > 1]
        space = ["study", *(self.about.space if self.about else ())]
        place = {name: number for number, name in enumerate(space)}
        return tuple(sorted(found, key=lambda name: (place.get(name, len(space)), found.index(name))))

    def has(self, column: str) -> bool:
        """Whether any seed run has a value there."""
        return any(value is not None for trial in self.trials for value in trial.columns.get(column, ()))

    def expects(self, column: str) -> bool:
        """Whether a column is to be shown: it has values, or the study has nothing yet."""
        return not any(trial.states for trial in self.trials) or self.has(column)

    def sort_key(self, trial: Trial) -> tuple[bool, float, int]:
        """Best mean of the study's metric first, then trials without one."""
        mean = trial.mean(self.metric) if trial.state == "complete" else None
        return rank_key(mean, trial.number, better=metric_of(self.metric).better)


def comparable(trials: Iterable[Trial], *metrics: str) -> list[Trial]:
    """Complete trials with the same seeds, those that most of them have."""
    whole = [t for t in trials if t.state == "complete" and all(t.mean(metric) is not None for metric in metrics)]
    if not whole:
        return []
    (seeds, _), *_ = Counter(trial.seeds for trial in whole).most_common(1)
    return [trial for trial in whole if trial.seeds == seeds]


def ranking(results: Results) -> list[Trial]:
    """Complete trials, the best mean of the study's metric first."""
    return sorted(comparable(results.trials, results.metric), key=results.sort_key)


def sign(metric: str) -> float:
    """1 where higher is better, else -1."""
    return 1.0 if metric_of(metric).better == "max" else -1.0


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order; 1 and True are two."""
    return list({(type(value), repr(value)): value for value in values}.values())
