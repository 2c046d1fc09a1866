from collections import deque
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.config import TrialConfig
from resnet_tl.device import MOST_HEADS
from sweeps.planning.grouping import ALONE, Company, Todo, take
from sweeps.records import TrialRecord
from tests.conftest import trial


def todo_of(kinds: list[str], attempts: dict[int, int] | None = None) -> deque[Todo]:
    """Seed runs of one trial each; the kind is the name of its group, or `alone`."""
    made = []
    for number, kind in enumerate(kinds):
        config = trial(lr=0.001 * (1 + number), weights=kind)
        planned = TrialRecord(number=number, params={}, config=config, fingerprint=str(number))
        made.append(Todo(trial=planned, seed=0, attempt=(attempts or {}).get(number, 0)))
    return deque(made)


def company_of(config: TrialConfig) -> Company | None:
    return None if config.weights == "alone" else Company(name=config.weights, in_turn=config.weights == "turns")


@given(st.lists(st.sampled_from(["a", "b", "alone"]), min_size=1, max_size=300), st.integers(1, 5))
def test_every_seed_run_is_taken_once_and_groups_are_alike_and_even(kinds: list[str], workers: int) -> None:
    todo = todo_of(kinds)
    taken: list[int] = []
    while todo:
        before = len(todo)
        first = todo[0]
        groups = take(todo, company_of=company_of, device="cpu", workers=workers)
        assert len(todo) == before - sum(map(len, groups))
        assert groups[0][0] is first
        sizes = [len(group) for group in groups]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= MOST_HEADS["cpu"]
        assert len({item.trial.config.weights for group in groups for item in group}) == 1
        if first.trial.config.weights == "alone":
            assert sizes == [1]
        else:
            assert len(groups) >= min(workers, sum(sizes)), "every worker has some"
        taken += [item.trial.number for group in groups for item in group]
    assert sorted(taken) == list(range(len(kinds)))


def test_members_that_failed_together_are_tried_one_by_one() -> None:
    todo = todo_of(["a", "a", "a"], {0: ALONE})
    assert [len(g) for g in take(todo, company_of=company_of, device="cpu", workers=1)] == [1]
    todo = todo_of(["a", "a", "a"], {1: ALONE})
    assert [len(g) for g in take(todo, company_of=company_of, device="cpu", workers=1)] == [2]
    assert [item.trial.number for item in todo] == [1]


def test_those_that_take_turns_go_together_whole_seed_by_seed() -> None:
    todo = todo_of(["turns", "a", "turns", "turns"])
    todo[3] = replace(todo[3], seed=1)
    (group,) = take(todo, company_of=company_of, device="cpu", workers=2)
    assert [item.trial.number for item in group] == [0, 2]
    assert [item.trial.number for item in todo] == [1, 3]
