import math
from typing import Any

import numpy as np
import pytest

from sweeps.statistics.race import Rule, out_of_reach, race, shared_variance

RULE = Rule(risk=0.05, regret=0.003)


def drawn(draws: np.random.Generator, trials: int, seeds: int, *, apart: float, spread: float = 0.01) -> Any:
    """Scores with luck that all trials share in a seed, and luck of their own."""
    return (
        draws.normal(0, apart, (trials, 1))
        + draws.normal(0, 0.02, (1, seeds))
        + draws.normal(0, spread, (trials, seeds))
    )


class TestSharedVariance:
    def test_it_finds_the_prior_that_variances_were_drawn_from(self) -> None:
        draws, prior_df, prior, df = np.random.default_rng(0), 8.0, 0.5, 3
        true = prior_df * prior / draws.chisquare(prior_df, 200_000)
        found_df, found = shared_variance(true * draws.chisquare(df, 200_000) / df, df)
        assert found_df == pytest.approx(prior_df, rel=0.05)
        assert found == pytest.approx(prior, rel=0.02)

    def test_variances_that_differ_by_chance_alone_are_one(self) -> None:
        found_df, found = shared_variance(np.random.default_rng(1).chisquare(4, 50) / 4 * 0 + 2.0, 4)
        assert math.isinf(found_df)
        assert found > 0

    def test_gaps_without_any_spread_have_none(self) -> None:
        assert shared_variance(np.zeros(5), 2) == (math.inf, 0.0)


class TestOutOfReach:
    def test_a_trial_far_behind_is_given_up_and_the_leader_never(self) -> None:
        values_TS = drawn(np.random.default_rng(0), 8, 3, apart=0.0)
        values_TS[5] -= 1.0
        given_up = out_of_reach(values_TS, 5, RULE)
        assert given_up[5]
        assert not given_up[values_TS.mean(1).argmax()]

    @pytest.mark.parametrize("seeds", [1, 5])
    def test_nothing_is_given_up_after_one_seed_or_at_the_end(self, seeds: int) -> None:
        values_TS = drawn(np.random.default_rng(0), 8, seeds, apart=5.0)
        assert not out_of_reach(values_TS, 5, RULE).any()

    def test_a_larger_regret_gives_up_more_and_simultaneous_less(self) -> None:
        values_TS = drawn(np.random.default_rng(3), 30, 3, apart=0.01)
        plain = out_of_reach(values_TS, 6, RULE)
        careless = out_of_reach(values_TS, 6, Rule(risk=0.05, regret=0.02))
        careful = out_of_reach(values_TS, 6, Rule(risk=0.05, regret=0.003, simultaneous=True))
        assert careful.sum() < plain.sum() < careless.sum()
        assert (careful <= plain).all()
        assert (plain <= careless).all()

    def test_ties_without_spread_keep_the_first(self) -> None:
        assert out_of_reach(np.full((3, 2), 0.5), 4, RULE).tolist() == [False, True, True]
        assert not out_of_reach(np.full((3, 2), 0.5), 4, Rule(risk=0.05, regret=0.0)).any()

    @pytest.mark.parametrize(("seeds", "simultaneous", "most"), [(5, False, 0.05), (10, False, 0.05), (5, True, 0.01)])
    def test_the_winner_over_all_seeds_is_seldom_lost_by_more_than_the_regret(
        self, seeds: int, simultaneous: bool, most: float
    ) -> None:
        draws, rule = np.random.default_rng(seeds), Rule(risk=0.05, regret=0.003, simultaneous=simultaneous)
        lost = runs = 0
        for _ in range(400):
            values_TS = drawn(draws, 16, seeds, apart=0.02)
            found = race(
                rule,
                seeds=range(seeds),
                better="max",
                scores=[dict(enumerate(map(float, own))) for own in values_TS],
            )
            means_T = values_TS.mean(1)
            left = [trial for trial in range(16) if trial not in found.stopped]
            lost += bool(means_T.max() - means_T[left].max() > rule.regret)
            runs += sum(found.stopped.get(trial, seeds) for trial in range(16))
        assert lost / 400 <= most
        assert runs / (400 * 16 * seeds) < 0.8


class TestRace:
    SCORES = (
        {0: 0.90, 1: 0.91, 2: 0.90, 3: 0.91},
        {0: 0.20, 1: 0.22, 2: 0.21, 3: 0.20},
        {0: 0.88, 1: 0.92, 2: 0.91, 3: 0.90},
        {0: 0.40, 1: 0.42, 2: 0.39, 3: 0.41},
    )

    def until(self, seeds: int) -> list[dict[int, float | None]]:
        return [{seed: value for seed, value in own.items() if seed < seeds} for own in self.SCORES]

    def test_it_asks_for_a_seed_of_all_then_of_pilots_and_then_seed_by_seed_of_those_left(self) -> None:
        first = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=self.until(0))
        assert first.lacking == ((0, 0), (1, 0), (2, 0), (3, 0))
        second = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=self.until(1))
        assert second.lacking == ((0, 1), (3, 1), (1, 1)), "by rank on the first seed: the best, the third and the last"
        assert not second.stopped
        third = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=self.until(2))
        assert third.stopped == {1: 2, 3: 2}
        assert third.lacking == ((0, 2), (2, 2))

    def test_far_behind_after_one_seed_there_is_no_second(self) -> None:
        draws = np.random.default_rng(0)
        values_TS = drawn(draws, 30, 4, apart=0.0, spread=0.001)
        values_TS[10:] -= 0.5
        every = [dict(enumerate(map(float, own))) for own in values_TS]
        found = race(RULE, seeds=range(4), better="max", scores=every)
        order = np.argsort(-values_TS[:, 0])
        asked = {int(order[place]) for place in np.linspace(0, 29, 10).round().astype(int)}
        assert {trial for trial, n in found.stopped.items() if n == 1} >= set(range(10, 30)) - asked
        assert all(found.stopped[trial] == 2 for trial in asked if trial >= 10)

    def test_it_hangs_on_nothing_but_the_seeds_before(self) -> None:
        whole = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=list(self.SCORES))
        assert whole.lacking == ()
        assert {trial: n for trial, n in whole.stopped.items() if n == 2} == {1: 2, 3: 2}
        part = self.until(2)
        part[1] = dict(self.SCORES[1])  # another study had it whole
        assert race(RULE, seeds=(0, 1, 2, 3), better="max", scores=part).stopped == {1: 2, 3: 2}

    def test_of_a_loss_the_least_leads(self) -> None:
        found = race(RULE, seeds=(0, 1, 2, 3), better="min", scores=self.until(2))
        assert 1 not in found.stopped
        assert {0, 2} <= set(found.stopped)

    def test_a_trial_without_a_number_leaves_and_is_not_called_stopped(self) -> None:
        scores = self.until(2)
        scores[2] = {0: 0.89, 1: None}
        found = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=scores)
        assert found.left == {2: 2}
        assert 2 not in found.stopped
        assert found.lacking == ((0, 2),)

    def test_before_all_trials_are_known_none_is_stopped(self) -> None:
        found = race(RULE, seeds=(0, 1, 2, 3), better="max", scores=self.until(2), are_all=False)
        assert not found.stopped
        assert not found.lacking

    def test_more_planned_seeds_are_weighed_anew(self) -> None:
        scores: list[dict[int, float | None]] = [{0: 0.90, 1: 0.92}, {0: 0.89, 1: 0.90}, {0: 0.88, 1: 0.91}]
        few = race(Rule(risk=0.2, regret=0.003), seeds=(0, 1, 2), better="max", scores=scores)
        many = race(Rule(risk=0.2, regret=0.003), seeds=range(40), better="max", scores=scores)
        assert len(many.stopped) < len(few.stopped)
