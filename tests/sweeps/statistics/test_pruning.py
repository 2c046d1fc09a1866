from dataclasses import replace
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.result import Epoch
from sweeps.records import RunState, SeedRun, Stop
from sweeps.statistics.pruning import Rules, course_of, cut_at, prune, rules_of
from sweeps.statistics.race import Rule
from sweeps.statistics.rungs import Course, Rungs

RUNGS = Rungs(min_epochs=1, eta=2)
RACE = Rule(risk=0.05, regret=0.003)


def look(rules: Rules, courses: Any) -> Any:
    return prune(rules, seeds=(0, 1, 2, 3), better="max", most_epochs=3, courses=courses)


def whole(value: float) -> Course:
    return Course(best=(value, value, value), has_ended=True, value=value)


def at_rung(epoch: int) -> Stop:
    return Stop(by="rungs", seeds=1, epoch=epoch)


class TestPrune:
    def test_behind_the_rungs_those_left_get_all_seeds_whole(self) -> None:
        courses = [{0: Course(best=(0.1,))}, {0: whole(0.5)}, {0: whole(0.4)}, {0: Course(best=(0.2,))}]
        found = look(Rules(rungs=RUNGS), courses)
        assert found.stopped == {0: at_rung(1), 3: at_rung(1), 2: at_rung(2)}
        assert found.lacking == ((1, 1, None), (1, 2, None), (1, 3, None))

    def test_the_last_stretch_of_the_judged_seed_is_asked_for_too(self) -> None:
        found = look(Rules(rungs=RUNGS), [{0: Course(best=(0.5, 0.5))}, {0: Course(best=(0.2,))}])
        assert found.lacking == ((0, 0, None), (0, 1, None), (0, 2, None), (0, 3, None))

    def test_those_that_the_rungs_leave_race(self) -> None:
        rungs = Rungs(min_epochs=1, eta=3, epochs=(1,), keep=2)
        courses = [
            {seed: whole(0.90 + 0.01 * (seed % 2)) for seed in range(2)},
            {0: Course(best=(0.1,))},
            {seed: whole(0.20 + 0.01 * (seed % 2)) for seed in range(2)},
        ]
        found = look(Rules(rungs=rungs, race=RACE), courses)
        assert found.stopped == {1: at_rung(1), 2: Stop(by="race", seeds=2)}
        assert found.lacking == ((0, 2, None),)

    def test_where_no_training_reaches_a_rung_a_race_does_not_wait_for_all_trials(self) -> None:
        late = Rules(rungs=Rungs(eta=2, min_epochs=9), race=RACE)
        found = prune(late, seeds=(0, 1, 2), better="max", most_epochs=3, courses=[{}, {}], are_all=False)
        assert found.lacking == ((0, 0, None), (1, 0, None))

    def test_a_race_alone_begins_with_whole_runs(self) -> None:
        assert look(Rules(race=RACE), [{}, {}]).lacking == ((0, 0, None), (1, 0, None))


def test_rules_are_read_as_they_are_written() -> None:
    assert rules_of([]) is None
    found = rules_of(
        [
            {"kind": "rungs", "min_epochs": 2, "eta": 4.0, "epochs": [2, 6], "keep": None, "seeds": 2},
            {"kind": "race", "risk": 0.05, "regret": 0.003, "simultaneous": False},
        ]
    )
    assert found == Rules(rungs=Rungs(min_epochs=2, eta=4.0, epochs=(2, 6), seeds=2), race=RACE)


class TestCourseOf:
    RUN = SeedRun(
        study="s",
        fingerprint="f",
        seed=0,
        state=RunState.PAUSED,
        max_epoch=4,
        best_epoch=2,
        metrics={},
        wall_s=1.0,
        reason=None,
        started="",
        finished="",
        commit=None,
        history=tuple(
            Epoch(epoch=number, lr=0.1, metrics={"val/accuracy": accuracy, "val/loss": loss}, wall_s=1.0)
            for number, accuracy, loss in ((1, 0.5, 0.9), (2, 0.7, 0.8), (3, 0.7, 0.9), (4, 0.6, 0.8))
        ),
    )
    CONFIG = TrialConfig(backbone="resnet18", weights="none", optimizer="sgd", lr=0.1, epochs=4, batch_size=8)

    def test_after_each_epoch_it_has_what_would_be_selected_there(self) -> None:
        assert course_of(self.RUN, self.CONFIG, "val/accuracy") == Course(best=(0.5, 0.7, 0.7, 0.7))

    def test_the_monitor_selects_and_ties_go_to_the_earlier_epoch(self) -> None:
        config = self.CONFIG.model_copy(update={"monitor": "val/loss"})
        assert course_of(self.RUN, config, "val/accuracy").best == (0.5, 0.7, 0.7, 0.7)
        assert course_of(self.RUN, config, "val/loss").best == (0.9, 0.8, 0.8, 0.8)

    def test_only_a_complete_run_has_a_value(self) -> None:
        done = replace(self.RUN, state=RunState.COMPLETE, metrics={"val/accuracy": 0.7})
        assert course_of(done, self.CONFIG, "val/accuracy").value == 0.7
        lost = course_of(replace(self.RUN, state=RunState.DIVERGED), self.CONFIG, "val/accuracy")
        assert lost.has_ended
        assert lost.value is None
        assert not course_of(replace(self.RUN, state=RunState.PRUNED), self.CONFIG, "val/accuracy").has_ended

    def test_cut_at_a_rung_it_is_what_paused_there(self) -> None:
        done = replace(self.RUN, state=RunState.COMPLETE, metrics={"val/accuracy": 0.7, "test/accuracy": 0.9})
        cut = cut_at(done, self.CONFIG, 1)
        assert (cut.state, cut.best_epoch, cut.metrics) == ("paused", 1, {"val/accuracy": 0.5, "val/loss": 0.9})
        assert course_of(cut, self.CONFIG, "val/accuracy") == Course(best=(0.5,))
