from typing import Any

import pytest

from sweeps.statistics.rungs import Course, Rungs, on_rungs, on_rungs_in_order

RULE = Rungs(min_epochs=1, eta=3)


def curves(*several: Any) -> list[dict[int, Course]]:
    return [{0: Course(best=tuple(own))} for own in several]


def look(courses: Any, rule: Rungs = RULE, **others: Any) -> Any:
    asked: dict[str, Any] = {"seeds": (0, 1), "better": "max", "most_epochs": 9} | others
    return on_rungs(rule, courses=courses, **asked)


class TestRungs:
    @pytest.mark.parametrize(
        ("rule", "epochs", "expected"),
        [
            (Rungs(min_epochs=1, eta=3), 27, [1, 3, 9]),
            (Rungs(min_epochs=1, eta=3), 28, [1, 3, 9, 27]),
            (Rungs(min_epochs=1, eta=1.5), 9, [1, 2, 3, 5, 8]),
            (Rungs(min_epochs=4, eta=2), 4, []),
            (Rungs(eta=1.5), 20, [7, 10, 16]),
            (Rungs(eta=1.5), 8, [3, 4, 7]),
            (Rungs(eta=1.5), 1, []),
            (Rungs(min_epochs=1, eta=3, epochs=(2, 5, 30)), 20, [2, 5]),
        ],
    )
    def test_each_is_eta_times_as_far_as_the_one_before_and_before_the_end(
        self, rule: Rungs, epochs: int, expected: list[int]
    ) -> None:
        assert rule.below(epochs) == expected

    def test_the_best_share_goes_on_rounded_up_and_never_none(self) -> None:
        assert [RULE.num_left(many, is_last=False) for many in (1, 2, 3, 4, 9, 10)] == [1, 1, 1, 2, 3, 4]

    def test_keep_says_how_many_pass_the_last_rung_and_no_fewer_any(self) -> None:
        rule = Rungs(min_epochs=1, eta=3, keep=4)
        assert [rule.num_left(many, is_last=False) for many in (3, 9, 30)] == [3, 4, 10]
        assert [rule.num_left(many, is_last=True) for many in (3, 9, 30)] == [3, 4, 4]


class TestOnRungs:
    def test_all_train_to_the_first_and_the_best_go_on_rung_by_rung(self) -> None:
        assert look(curves([], [], [])).lacking == ((0, 0, 1), (1, 0, 1), (2, 0, 1))
        at_first = look(curves([0.2], [0.4], [0.3], [0.1]))
        assert at_first.stopped == {0: 1, 3: 1}
        assert at_first.lacking == ((1, 0, 3), (2, 0, 3))
        behind = look(curves([0.2], [0.4, 0.4, 0.5], [0.3, 0.5, 0.6], [0.1]))
        assert behind.stopped == {0: 1, 3: 1, 1: 3}
        assert behind.lacking == ()
        assert behind.through == (2,)

    def test_what_came_later_changes_nothing_at_a_rung(self) -> None:
        part = look(curves([0.2], [0.4], [0.3], [0.1]))
        other = curves([0.2, 0.9, 0.9, 0.9], [0.4], [0.3], [0.1])  # another study had it whole
        assert look(other).stopped == part.stopped

    def test_of_equal_ones_the_first_goes_on(self) -> None:
        assert look(curves([0.5], [0.5], [0.5])).stopped == {1: 1, 2: 1}

    def test_of_a_loss_the_least_goes_on(self) -> None:
        assert look(curves([0.5], [0.1], [0.3]), better="min").stopped == {0: 1, 2: 1}

    def test_one_without_a_number_leaves_and_takes_nobodys_place(self) -> None:
        courses = [*curves([0.2], [0.4], [0.3]), {0: Course(has_ended=True)}]
        found = look(courses)
        assert found.left == (3,)
        assert found.stopped == {0: 1, 2: 1}

    def test_one_that_diverged_later_had_its_place_before(self) -> None:
        courses = [{0: Course(best=(0.9,), has_ended=True)}, *curves([0.4], [0.3], [0.2])]
        found = look(courses)
        assert found.stopped == {2: 1, 3: 1}
        assert found.lacking == ((1, 0, 3),)
        assert found.left == ()
        courses[1] = {0: Course(best=(0.4, 0.4, 0.4))}
        assert look(courses).left == (0,)

    def test_a_shorter_training_stands_with_its_end(self) -> None:
        courses = [{0: Course(best=(0.1, 0.9), has_ended=True, value=0.9)}, *curves([0.2] * 3, [0.3] * 3)]
        found = look(courses, Rungs(min_epochs=3, eta=3))
        assert found.through == (0,)

    def test_several_seeds_are_judged_by_their_mean(self) -> None:
        rule = Rungs(min_epochs=1, eta=2, seeds=2)
        courses = [{0: Course(best=(0.9,)), 1: Course(best=(0.1,))}, {0: Course(best=(0.6,)), 1: Course(best=(0.6,))}]
        assert look(courses, rule).stopped == {0: 1}
        del courses[1][1]
        waiting = look(courses, rule)
        assert waiting.lacking == ((1, 1, 1),)
        assert not waiting.stopped

    def test_before_all_trials_are_known_none_is_stopped(self) -> None:
        found = look(curves([0.2], [0.4], [0.3]), are_all=False)
        assert not found.stopped
        assert not found.lacking


class TestInOrder:
    def look(self, courses: Any, **others: Any) -> Any:
        asked: dict[str, Any] = {"seeds": (0, 1), "better": "max", "most_epochs": 9, "behind": 2} | others
        return on_rungs_in_order(Rungs(min_epochs=1, eta=3), courses=courses, **asked)

    def test_each_is_held_against_those_that_were_through_before_it_was_proposed(self) -> None:
        whole = [0.5] * 9
        found = self.look(curves(whole, [0.1], [0.2], [0.6], []))
        assert found.stopped == {2: 1}, "the best of three go on: of two the better one"
        assert found.through == (0,)
        assert found.lacking == ((1, 0, 3), (3, 0, 3), (4, 0, 1)), "the second knows of nobody, the fourth leads"

    def test_what_others_come_to_meanwhile_changes_nothing(self) -> None:
        before = self.look(curves([0.5] * 9, [0.1], [0.2]))
        after = self.look(curves([0.5] * 9, [0.1, 0.9, 0.9], [0.2]))
        assert before.stopped == after.stopped == {2: 1}

    def test_one_without_a_number_leaves(self) -> None:
        assert self.look([{0: Course(has_ended=True)}]).left == (0,)

    def test_nothing_is_decided_before_earlier_ones_are_known(self) -> None:
        live = self.look(curves([0.5] * 9, [0.6] * 9, [0.7] * 9, [0.1]))
        assert live.stopped == {3: 1}
        again = self.look(curves([0.5] * 9, [], [0.7] * 9, [0.1]))  # one of them failed, and is tried again
        assert again.waiting == (3,)
        assert 3 not in again.stopped
        assert 3 not in {trial for trial, _, _ in again.lacking}
