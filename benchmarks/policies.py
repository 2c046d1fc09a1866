"""Ways to stop trials early, played on tables of results: what each trains, in which order, and which trial it names.

A study is a table of the best value so far, [T, S, E]: trials, seeds, epochs; more is better. One unit of work is one
epoch of one seed run (where a table has no curves, one seed run).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from numpy.typing import NDArray

from sweeps.statistics.pruning import Rules, prune
from sweeps.statistics.race import Rule
from sweeps.statistics.rungs import Course, Rungs

Floats = NDArray[np.float64]
TOP = 3
"""Trials that `one seed, then the best` and `one epoch, then the best` run whole."""


@dataclass
class Played:
    """What a policy has made of a study so far."""

    best_TSE: Floats
    regret: float
    """That would not matter; a race asks for it."""
    epochs_TS: NDArray[np.int64] = field(init=False)
    """Trained so far."""
    work: int = 0
    story: list[tuple[int, int]] = field(default_factory=list)
    """After so much work, the trial that one would name: that of the best mean, over the seeds that came furthest."""
    winner: int | None = None
    _estimates_T: Floats = field(init=False)

    def __post_init__(self) -> None:
        num_trials, num_seeds, _ = self.best_TSE.shape
        self.epochs_TS = np.zeros((num_trials, num_seeds), dtype=int)
        self._estimates_T = np.full(num_trials, -np.inf)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Trials, seeds, epochs."""
        num_trials, num_seeds, num_epochs = self.best_TSE.shape
        return num_trials, num_seeds, num_epochs

    def train(self, trial: int, seed: int, until: int | None = None) -> float:
        """Trains a seed run to an epoch, or to its end; returns its best value so far."""
        until = until or self.best_TSE.shape[2]
        self.work += until - int(self.epochs_TS[trial, seed])
        self.epochs_TS[trial, seed] = until
        own_S = self.epochs_TS[trial]
        furthest = np.flatnonzero(own_S == own_S.max())
        self._estimates_T[trial] = self.best_TSE[trial, furthest, own_S.max() - 1].mean()
        self.story.append((self.work, int(self._estimates_T.argmax())))
        return float(self.best_TSE[trial, seed, until - 1])

    def train_whole(self, trials: Sequence[int]) -> None:
        """Trains all seeds of some trials, seed by seed, and names the best of them."""
        for seed in range(self.best_TSE.shape[1]):
            for trial in trials:
                if self.epochs_TS[trial, seed] < self.best_TSE.shape[2]:
                    self.train(trial, seed)
        self.name_best(trials)

    def name_best(self, trials: Sequence[int], seeds: slice = slice(None)) -> None:
        """The winner is the best of some trials by their mean."""
        means = self.best_TSE[list(trials), seeds, -1].mean(1)
        self.winner = int(list(trials)[int(means.argmax())]) if len(trials) else None

    def course(self, trial: int, seed: int) -> Course:
        """As the ledger has it."""
        epochs, curve = int(self.epochs_TS[trial, seed]), self.best_TSE[trial, seed]
        is_whole = epochs == len(curve)
        known = tuple(map(float, curve[:epochs]))
        return Course(best=known, has_ended=is_whole, value=known[-1] if is_whole else None)


Policy = Callable[[Played], None]


def everything(study: Played) -> None:
    """Every trial with every seed."""
    num_trials, num_seeds, _ = study.shape
    for trial in range(num_trials):
        for seed in range(num_seeds):
            study.train(trial, seed)
    study.name_best(range(num_trials))


def first_then_best(*, until: int | None) -> Policy:
    """One seed for each, or one epoch of it, and all seeds for the best few of them."""

    def policy(study: Played) -> None:
        values = [study.train(trial, 0, until) for trial in range(study.shape[0])]
        study.train_whole(sorted(map(int, np.argsort(-np.array(values), kind="stable")[:TOP])))

    return policy


def ours(*, rungs: Rungs | None = None, race: bool = False, simultaneous: bool = False) -> Policy:
    """`study.pruner`, by the very function that the driver calls."""

    def policy(study: Played) -> None:
        num_trials, num_seeds, num_epochs = study.shape
        rule = Rule(risk=0.05, regret=study.regret, simultaneous=simultaneous) if race else None
        while True:
            courses = [{seed: study.course(trial, seed) for seed in range(num_seeds)} for trial in range(num_trials)]
            found = prune(
                Rules(rungs=rungs, race=rule),
                seeds=range(num_seeds), better="max", most_epochs=num_epochs,
                courses=[{s: course for s, course in own.items() if course.best} for own in courses],
            )  # fmt: skip
            if not found.lacking:
                study.name_best([trial for trial in range(num_trials) if trial not in found.stopped])
                return
            for trial, seed, until in found.lacking:
                study.train(trial, seed, until)

    return policy


def of_optuna(pruner: Callable[[int], optuna.pruners.BasePruner], *, over: str, running_mean: bool = True) -> Policy:
    """A pruner of Optuna, trial after trial, each with its defaults.

    Args:
        pruner: made for so many reports at most.
        over: `seeds`: a report for each seed, as long as it is; `epochs`: a report for each epoch of the first seed.
        running_mean: over seeds, whether the mean so far is reported, or the score of each seed, as Wilcoxon's test
            wants it.
    """

    def policy(study: Played) -> None:
        num_trials, num_seeds, num_epochs = study.shape
        steps = num_seeds if over == "seeds" else num_epochs
        record = optuna.create_study(direction="maximize", pruner=pruner(steps))
        whole = []
        for number in range(num_trials):
            trial, told = record.ask(), []
            for step in range(steps):
                value = study.train(number, step) if over == "seeds" else study.train(number, 0, step + 1)
                told.append(value)
                shown = float(np.mean(told)) if over == "seeds" and running_mean else value
                trial.report(shown, step + 1)
                if step + 1 < steps and trial.should_prune():
                    record.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                record.tell(trial, float(np.mean(told)) if over == "seeds" else told[-1])
                whole.append(number)
        study.name_best(whole, slice(None) if over == "seeds" else slice(0, 1))

    return policy


def hyperband(steps: int) -> optuna.pruners.BasePruner:
    """Optuna's, told how many reports there are at most, as its documentation asks."""
    return optuna.pruners.HyperbandPruner(max_resource=steps)


def of_syne_tune(study: Played) -> None:
    """Syne Tune's ASHA on the epochs of the first seed, trial after trial."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import randint
    from syne_tune.optimizer.baselines import ASHA

    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    num_trials, _, num_epochs = study.shape
    scheduler = ASHA(
        config_space={"number": randint(0, 10**6)}, metric="value", time_attr="epoch", max_t=num_epochs,
        do_minimize=False, random_seed=0,
    )  # fmt: skip
    whole = []
    for number in range(num_trials):
        trial = Trial(trial_id=number, config={"number": number}, creation_time=None)
        scheduler.on_trial_add(trial)
        for epoch in range(1, num_epochs + 1):
            value = study.train(number, 0, epoch)
            # it stops what is at its last epoch, too
            if scheduler.on_trial_result(trial, {"value": value, "epoch": epoch}) == "STOP" and epoch < num_epochs:
                break
        else:
            whole.append(number)
    study.name_best(whole, slice(0, 1))


def then_seeds(policy: Policy) -> Policy:
    """What a policy on one seed ran whole gets all seeds, and is compared over them."""

    def both(study: Played) -> None:
        policy(study)
        _, _, num_epochs = study.shape
        study.train_whole([int(trial) for trial in np.flatnonzero(study.epochs_TS[:, 0] == num_epochs)])

    return both


OF_SEEDS: dict[str, Policy] = {
    "every seed": everything,
    "race": ours(race=True),
    "race, simultaneous": ours(race=True, simultaneous=True),
    f"one seed, then the best {TOP}": first_then_best(until=None),
    "Optuna's Wilcoxon": of_optuna(lambda _: optuna.pruners.WilcoxonPruner(), over="seeds", running_mean=False),
    "Optuna's median": of_optuna(lambda _: optuna.pruners.MedianPruner(), over="seeds"),
    "Optuna's successive halving": of_optuna(lambda _: optuna.pruners.SuccessiveHalvingPruner(), over="seeds"),
    "Optuna's Hyperband": of_optuna(hyperband, over="seeds"),
}
"""On tables of whole seed runs."""

_ONE_SEED: dict[str, Policy] = {
    "Optuna's median": of_optuna(lambda _: optuna.pruners.MedianPruner(), over="epochs"),
    "Optuna's successive halving": of_optuna(lambda _: optuna.pruners.SuccessiveHalvingPruner(), over="epochs"),
    "Optuna's Hyperband": of_optuna(hyperband, over="epochs"),
    "Syne Tune's ASHA": of_syne_tune,
}

OF_EPOCHS: dict[str, Policy] = {
    "every seed": everything,
    "rungs and race": ours(rungs=Rungs(eta=1.5), race=True),
    "rungs": ours(rungs=Rungs(eta=1.5)),
    "rungs on 2 seeds, and race": ours(rungs=Rungs(eta=1.5, seeds=2), race=True),
    "rungs of others (first 1, eta 3), and race": ours(rungs=Rungs(min_epochs=1, eta=3.0), race=True),
    "race": ours(race=True),
    f"one epoch, then the best {TOP}": first_then_best(until=1),
    f"one seed, then the best {TOP}": first_then_best(until=None),
    **{f"{name}, one seed": policy for name, policy in _ONE_SEED.items()},
    **{f"{name}, then all seeds": then_seeds(policy) for name, policy in _ONE_SEED.items()},
}
"""On tables with learning curves."""
