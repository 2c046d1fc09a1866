"""Ensembles of a finished study, made from the predictions that its seed runs left.

Members, weights and models are chosen on val alone: nothing here that chooses is given labels of test.

Axes: M members, N images, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from resnet_tl.errors import ConfigError, shown
from resnet_tl.inference.ensemble import Average, Rule
from resnet_tl.metrics import Floats, Ints, log_softmax, metric_of
from sweeps.records import count
from sweeps.reporting.results import Results, Trial, ranking
from sweeps.statistics.ensembles import NotPossible, greedy, score, stack

Members = Literal["best", "all"] | int
"""`best`: the seeds of the best trial; `all`: those of all complete trials; a number: those of so many best ones."""

MOST_NUMBERS = 250_000_000
"""Probabilities that are held at once: 2 GB."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network of the study."""

    trial: Trial
    seed: int


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Networks that answer as one, and what they say."""

    method: str
    members: tuple[Member, ...]
    num_candidates: int
    rule: Rule
    probabilities: Mapping[str, Floats]
    """[N, K] on val and test; on val by models that did not learn from the image, where a model learns from val."""
    how: str
    """How members and weights came to be, for its file."""
    weights: str
    """In the cell of a table."""
    store: Callable[[Path], None] | None = None
    """Writes it as a checkpoint, where it is one network; None where it is several."""
    own: "Library | None" = None
    """Whose networks the members are, where they were trained for this ensemble alone."""
    ended: str | None = None
    """Why it has fewer members than were asked for."""


@dataclass(frozen=True, kw_only=True)
class Impossible:
    """A method that these results do not allow."""

    method: str
    why: str


class Library:
    """The networks of a study that an ensemble can be made from.

    Args:
        of_members: whether the study's seeds are members that were trained for one ensemble.

    Raises:
        ConfigError: the results have no predictions, or there is nothing complete.
    """

    def __init__(self, results: Results, *, of_members: bool = False) -> None:
        if results.details is None:
            raise ConfigError(
                "Ensembles are made from stored predictions, so they need one study of the ledger: study=NAME."
            )
        if results.folds:
            raise ConfigError(
                f"Study {results.study} cuts all images into {results.folds} folds anew for each seed, and keeps no "
                "network that saw a split of its own: there is nothing to put together. Run it without `study.folds`."
            )
        if metric_of(results.metric).of_images is None:
            raise ConfigError(
                f"Ensembles are compared by a score that single images make up, but the study's is {results.metric}."
            )
        # members are what has come to an end, whatever became of others
        self.trials = list(results.trials) if of_members else ranking(results)
        if not self.trials:
            raise ConfigError(
                f"Study {results.study} has no complete trial yet; finish it with  python -m sweeps.run  first."
            )
        if not results.has(results.on_test):
            raise ConfigError(f"Study {results.study} has no {results.on_test}, by which ensembles are compared.")
        self._details = results.details
        self.study = results.study
        self.metric = results.metric.partition("/")[2]
        self._labels: Mapping[str, Ints] | None = None

    @property
    def best(self) -> Trial:
        """The trial with the best mean on val."""
        return self.trials[0]

    def candidates(self, members: Members) -> tuple[Member, ...]:
        """The networks that a method starts from, by rank of their trials.

        Raises:
            ConfigError: there are not as many trials.
        """
        many = {"best": 1, "all": len(self.trials)}.get(str(members), members)
        assert isinstance(many, int)
        if many > len(self.trials):
            raise ConfigError(
                f"`members` must be at most {len(self.trials)}, the complete trials that there are, but got {many}."
            )
        return tuple(Member(trial=trial, seed=seed) for trial in self.trials[:many] for seed in trial.seeds)

    def labels(self, split: str) -> Ints:
        """True classes of the images of a split."""
        if self._labels is None:
            self.probabilities(self.candidates("best")[:1], split)
        assert self._labels is not None
        return self._labels[split]

    def clusters(self, split: str) -> Ints | None:
        """Which images of a split depend on each other."""
        return self._details.clusters(split)

    def data_fingerprint(self) -> str | None:
        """Names the images that the predictions are of; None where it is not known."""
        return self._details.data_fingerprint()

    def network(self, member: Member) -> Path | None:
        """The checkpoint of a member; None where it is not kept."""
        return self._details.network(member.trial, member.seed)

    def probabilities(self, members: Sequence[Member], split: str) -> Floats:
        """What members say of a split, [M, N, K].

        Raises:
            ConfigError: predictions of some are not kept.
            NotPossible: they are too many to be held at once.
        """
        found: list[Floats] = []
        missing: list[str] = []
        of_trial: dict[int, Mapping[int, Floats]] = {}
        for member in members:
            number = member.trial.number
            if number not in of_trial:
                of_trial = {number: self._of_trial(member.trial, split, len(members))}
            if member.seed in of_trial[number]:
                found.append(of_trial[number][member.seed])
            else:
                missing.append(f"trial {number}, seed {member.seed}")
        if missing:
            raise ConfigError(
                f"No predictions are kept of these seed runs, so that they can be no members:\n{shown(missing)}\n"
                "Their files are gone (python -m sweeps.doctor looks), or an older version ran them; a study under a "
                "new name with run.reuse=off runs them again."
            )
        return np.stack(found)

    def _of_trial(self, trial: Trial, split: str, num_members: int) -> dict[int, Floats]:
        kept = self._details.kept(trial)
        for one in kept.values():
            self._labels = one.labels
            if num_members * one.logits[split].size > MOST_NUMBERS:
                raise NotPossible(
                    f"the predictions of {num_members} networks on {split} take more than 2 GB; members=k takes the "
                    "seeds of the best k trials"
                )
        return {seed: np.exp(log_softmax(one.logits[split].astype(np.float64))) for seed, one in kept.items()}


def mean(library: Library, members: Members) -> Ensemble:
    """The mean of the probabilities of all candidates."""
    chosen = library.candidates(members)
    M = len(chosen)
    return averaged(
        library,
        "mean",
        chosen,
        (1,) * M,
        num_candidates=M,
        how=f"The mean of the probabilities of {_named(members, library)}; nothing was chosen but the trials.",
        weights=f"1/{M} each",
    )


def greedily(library: Library, members: Members) -> Ensemble:
    """Greedy selection with replacement on val."""
    candidates = library.candidates(members)
    found = greedy(library.probabilities(candidates, "val"), library.labels("val"), library.metric)
    times = found.times
    total = sum(times)
    return averaged(
        library,
        "greedy",
        tuple(candidates[place] for place in found.places),
        times,
        num_candidates=len(candidates),
        how=f"Selected one after the other, with replacement, by val/{library.metric} of the mean of probabilities "
        f"(Caruana et al. 2004), among {_named(members, library)}; a weight is how often a network was selected.",
        weights=f"{min(times)}/{total} each"
        if min(times) == max(times)
        else f"{min(times)}/{total} to {max(times)}/{total}",
    )


def stacking(library: Library, members: Members) -> Ensemble:
    """A regularised logistic model of what the candidates say."""
    candidates = library.candidates(members)
    val_MNK = library.probabilities(candidates, "val")
    found = stack(val_MNK, library.labels("val"), library.clusters("val"))
    return Ensemble(
        method="stacking",
        members=candidates,
        num_candidates=len(candidates),
        rule=found.rule,
        probabilities={
            "val": found.held_out_NK,
            "test": found.rule.combine(library.probabilities(candidates, "test")),
        },
        how="A multinomial logistic model of the log probabilities of "
        f"{_named(members, library)}, fitted to val with an L2 penalty (C = {found.strength:g}) that was chosen by the "
        f"cross-validated loss; its score on val is that of nested cross-validation in {found.num_folds} folds.",
        weights=f"logistic model, C = {found.strength:g}",
    )


OWN: Mapping[str, str] = {
    "bagging": "each on as many training images drawn with replacement; their probabilities count alike (Breiman 1996)",
    "boosting": "each on training images drawn by weights that grow where the members before it are wrong; their "
    "probabilities are weighted by how right each is on images so weighted (SAMME: Zhu et al. 2009)",
}
"""Methods that train members for themselves, and what these are."""


def of_own(library: Library, own: Library, method: str, weights: Sequence[float], ended: str | None) -> Ensemble:
    """Members that were trained for one method, put together.

    Args:
        own: of the study whose seeds they are.
        weights: of the members, sum 1.
    """
    members = tuple(Member(trial=own.best, seed=seed) for seed in range(len(weights)))
    for split in ("val", "test"):
        own.probabilities(members[:1], split)
        assert np.array_equal(own.labels(split), library.labels(split)), "members are scored on the study's own images"
    rule = Average(weights_M=tuple(weights))
    low, high = min(weights), max(weights)
    return Ensemble(
        method=method,
        members=members,
        num_candidates=len(members),
        rule=rule,
        probabilities={split: rule.combine(own.probabilities(members, split)) for split in ("val", "test")},
        how=f"{count(len(members), 'member')} of its own, trained as trial {library.best.number}, the best on val, "
        f"{OWN[method]}.",
        weights=("1" if len(members) == 1 else f"1/{len(members)} each") if low == high else f"{low:.2f} to {high:.2f}",
        own=own,
        ended=ended,
    )


METHODS: Mapping[str, Callable[[Library, Members], Ensemble]] = {
    "mean": mean,
    "greedy": greedily,
    "stacking": stacking,
}
"""What is made from stored predictions alone."""

DEFAULT_MEMBERS: Mapping[str, Members] = {"mean": "best", "greedy": "all", "stacking": "all"}
"""Of which networks a method starts, unless it is told: those that choose or weigh have all to choose from."""


def make(library: Library, method: str, members: Members | None) -> Ensemble | Impossible:
    """One ensemble, or why there is none."""
    try:
        return METHODS[method](library, DEFAULT_MEMBERS[method] if members is None else members)
    except NotPossible as error:
        return Impossible(method=method, why=str(error))


def averaged(
    library: Library,
    method: str,
    members: tuple[Member, ...],
    times: Sequence[int],
    *,
    num_candidates: int,
    how: str,
    weights: str,
) -> Ensemble:
    """A weighted mean of probabilities.

    Args:
        times: how often each member counts.
    """
    rule = Average(weights_M=tuple(number / sum(times) for number in times))
    return Ensemble(
        method=method,
        members=members,
        num_candidates=num_candidates,
        rule=rule,
        probabilities={split: rule.combine(library.probabilities(members, split)) for split in ("val", "test")},
        how=how,
        weights=weights,
    )


def _named(members: Members, library: Library) -> str:
    if members == "best" or members == 1:
        return f"the seeds of trial {library.best.number}, the best on val"
    many = len(library.trials) if members == "all" else members
    whole = "all complete trials" if members == "all" else f"the best {count(int(many), 'trial')} on val"
    return f"the seeds of {whole}"


def metrics_of(library: Library, ensemble: Ensemble) -> dict[str, float]:
    """The study's metric on val and test."""
    return {
        f"{split}/{library.metric}": score(library.metric, p_NK, library.labels(split))
        for split, p_NK in ensemble.probabilities.items()
    }
