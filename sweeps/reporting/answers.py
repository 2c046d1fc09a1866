"""What the runs answer to a study's hypotheses: supported, contradicted or undecided.

Values of the compared parameter are compared over trials that are alike in all else: per seed the mean over those
trials, then paired by seed. Nothing is picked, so the tests of `planned` apply; all hypotheses of a study share
the level.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resnet_tl.errors import ConfigError
from sweeps.definition.hypotheses import DIFFERENCE, NO_DIFFERENCE, Hypothesis, same
from sweeps.reporting.cells import show, what_would_show
from sweeps.reporting.results import Results, Trial, sign
from sweeps.reporting.samples import sample
from sweeps.statistics.planned import LEAST_PAIRS, Paired, Sample, mean_of, paired
from sweeps.statistics.stats import LEVEL, holm

Verdict = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One hypothesis and what the numbers say."""

    hypothesis: Hypothesis
    verdict: Verdict
    metric: str
    pair: tuple[Any, Any] | None
    """The two values whose difference decides."""
    difference: Paired | None
    """First minus second of the pair."""
    p: float | None
    """Corrected for the number of comparisons and of hypotheses."""
    num_trials: int
    """Trials of each value that are alike in all else."""
    note: str | None
    """Why there is no answer."""
    following: tuple[str, ...] = ()
    """Other parameters that change with the compared one, since its values set them."""


def answers(results: Results, hypotheses: Sequence[Hypothesis], space: Mapping[str, Any] | None = None) -> list[Answer]:
    """Answers those hypotheses that compare something.

    Args:
        space: as the study writes it, where the results do not know.
    """
    if space is None:
        space = results.about.space if results.about else {}
    found = [_evidence(results, item, space) for item in hypotheses if item.parameter is not None]
    decided = [index for index, item in enumerate(found) if item.p is not None]
    adjusted = holm([_known(found[index].p) for index in decided])
    for index, p in zip(decided, adjusted, strict=True):
        found[index] = _judge(found[index], p, len(decided))
    return [item.answer() for item in found]


@dataclass(kw_only=True)
class _Evidence:
    hypothesis: Hypothesis
    metric: str
    num_trials: int = 0
    for_p: float = 1.0
    """P-value in favour."""
    against_p: float = 1.0
    pair: tuple[Any, Any] | None = None
    difference: Paired | None = None
    num_pairs: int = 1
    verdict: Verdict = "undecided"
    p: float | None = None
    note: str | None = None
    following: tuple[str, ...] = ()

    def answer(self) -> Answer:
        return Answer(
            hypothesis=self.hypothesis, verdict=self.verdict, metric=self.metric, pair=self.pair,
            difference=self.difference, p=self.p, num_trials=self.num_trials, note=self.note,
            following=self.following,
        )  # fmt: skip


def _judge(evidence: _Evidence, p: float, num_hypotheses: int) -> _Evidence:
    evidence.p = p
    if p < LEVEL:
        evidence.verdict = "supported" if evidence.for_p <= evidence.against_p else "contradicted"
        return evidence
    on_images = evidence.difference is not None and evidence.difference.parts is not None
    few = "so few seeds and images" if on_images else "so few seeds"
    if evidence.hypothesis.margin is not None:
        evidence.note = f"{few} show neither that the difference lies within the margin nor that it is larger"
        return evidence
    if _is_value(evidence.hypothesis) and evidence.against_p < evidence.for_p:
        evidence.note = f"the difference goes the other way, which {few} do not show either"
        return evidence
    assert evidence.difference is not None
    enough = what_would_show(evidence.difference.needed(evidence.num_pairs * num_hypotheses), evidence.metric)
    if abs(evidence.difference.mean) < 5e-5:
        evidence.note = "the two score the same"
    elif enough is None:
        evidence.note = (
            "neither more seeds on these images nor more images with these seeds would show a difference of this size"
            if on_images
            else "no difference in sight that a thousand seeds would show"
        )
    else:
        evidence.note = f"{enough} would show a difference of this size and spread"
    return evidence


def _evidence(results: Results, hypothesis: Hypothesis, space: Mapping[str, Any]) -> _Evidence:
    metric = hypothesis.metric or results.on_test
    found = _Evidence(hypothesis=hypothesis, metric=metric, following=_following(space, str(hypothesis.parameter)))
    if not results.has(metric):
        found.note = f"there is no {metric} yet"
        return found
    scores, found.num_trials, found.note = _by_seed(results, hypothesis, metric, found.following)
    if found.note:
        return found
    num_seeds = len(next(iter(scores.values())).values_S)
    if num_seeds < LEAST_PAIRS:
        found.note = f"too few seeds: {LEAST_PAIRS} are the least"
        return found
    values = list(range(len(hypothesis.values)))
    chosen = _against(found, scores, values) if _is_value(hypothesis) else _difference(found, scores, values)
    found.pair = (hypothesis.values[chosen[0]], hypothesis.values[chosen[1]])
    found.difference = paired(scores[chosen[0]], scores[chosen[1]])
    found.p = min(found.for_p, found.against_p)
    return found


def _is_value(hypothesis: Hypothesis) -> bool:
    return hypothesis.expect not in (NO_DIFFERENCE, DIFFERENCE)


def _difference(found: _Evidence, scores: Mapping[int, Sample], values: Sequence[int]) -> tuple[int, int]:
    """Whether any two values differ, by more than the margin if there is one; returns the pair that decides."""
    pairs = list(itertools.combinations(values, 2))
    margin = found.hypothesis.margin
    found.num_pairs = len(pairs)
    gaps = {(a, b): paired(scores[a], scores[b]) for a, b in pairs}
    if margin is None:
        outside = {pair: _known(gap.p) for pair, gap in gaps.items()}
        within = dict.fromkeys(pairs, 1.0)
    else:
        outside = {pair: gap.beyond(margin) for pair, gap in gaps.items()}
        within = {pair: gap.within(margin) for pair, gap in gaps.items()}
    # one pair outside suffices, so their number is corrected for; all must be within, and each test must pass
    differ, alike = min(holm(list(outside.values()))), max(within.values())
    found.for_p, found.against_p = (alike, differ) if found.hypothesis.expect == NO_DIFFERENCE else (differ, alike)
    if margin is not None and alike < differ:
        return max(pairs, key=lambda pair: within[pair])
    return min(pairs, key=lambda pair: outside[pair])


def _against(found: _Evidence, scores: Mapping[int, Sample], values: Sequence[int]) -> tuple[int, int]:
    """Whether one value scores better than all others; returns it with the rival that decides."""
    winner = next(n for n in values if same(found.hypothesis.values[n], found.hypothesis.expect))
    leads = {n: paired(scores[winner], scores[n]) for n in values if n != winner}
    ahead = {n: _known(lead.p) if sign(found.metric) * lead.mean > 0 else 1.0 for n, lead in leads.items()}
    behind = {n: 1.0 if sign(found.metric) * lead.mean > 0 else _known(lead.p) for n, lead in leads.items()}
    # ahead of all: each test must pass, so none needs correction; behind one of them suffices to be wrong
    found.for_p, found.against_p = max(ahead.values()), min(holm(list(behind.values())))
    if found.for_p <= found.against_p:
        return winner, max(ahead, key=lambda n: ahead[n])
    return winner, min(leads, key=lambda n: sign(found.metric) * leads[n].mean)


def _known(p: float | None) -> float:
    assert p is not None
    return p


def _following(space: Mapping[str, Any], parameter: str) -> tuple[str, ...]:
    """Parameters that values of one set, and that are not searched themselves: a hypothesis is about all of them."""
    written = space.get(parameter)
    alternatives = written if isinstance(written, list) else [written]
    sets = [each.get("set") or {} for each in alternatives if isinstance(each, Mapping)]
    names = (name for own in sets for others in own.values() if isinstance(others, Mapping) for name in others)
    return tuple(name for name in dict.fromkeys(names) if name not in space)


def _by_seed(
    results: Results, hypothesis: Hypothesis, metric: str, following: Sequence[str]
) -> tuple[dict[int, Sample], int, str | None]:
    """For each compared value its scores by seed, averaged over trials alike in all else; or why there are none."""
    parameter = hypothesis.parameter
    assert parameter is not None
    if not any(parameter in trial.values for trial in results.trials):
        raise ConfigError(f"A hypothesis compares {parameter}, which these results have no column for.")
    trials = [
        trial
        for trial in results.trials
        if all(same(trial.values.get(name), value) for name, value in hypothesis.where.items())
    ]
    by_value: list[dict[str, Trial]] = []
    for value in hypothesis.values:
        own = [trial for trial in trials if same(trial.values.get(parameter), value)]
        if not own:
            return {}, 0, f"no trial has {show(parameter, value)} for {parameter}"
        by_value.append({_rest(trial, (parameter, *following)): trial for trial in own})
    shared = [key for key in by_value[0] if all(key in other for other in by_value[1:])]
    if not shared:
        return {}, 0, f"no trials differ in {parameter} alone"
    used = [table[key] for table in by_value for key in shared]
    bad = [trial for trial in used if trial.state != "complete"]
    if bad:
        told = ", ".join(f"trial {trial.number} {trial.state}" for trial in bad[:5])
        return {}, len(shared), f"not every seed run has a score: {told}"
    seeds = {trial.seeds for trial in used}
    short = results.seeds is not None and any(len(own) < len(results.seeds) for own in seeds)
    if len(seeds) > 1 or short:
        return {}, len(shared), "not every trial has all seeds yet"
    scores = {
        number: mean_of([sample(results, table[key], metric) for key in shared])
        for number, table in enumerate(by_value)
    }
    return scores, len(shared), None


def _rest(trial: Trial, compared: Sequence[str]) -> str:
    """All of a trial but what is compared; `monitor` and the like are the same within a study."""
    return repr(sorted((name, repr(value)) for name, value in trial.values.items() if name not in compared))
