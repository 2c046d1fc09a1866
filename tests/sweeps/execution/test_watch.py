"""What counts as standing still, on a clock of the test's own."""

from collections.abc import Callable

import pytest

from resnet_tl.result import Epoch
from sweeps.execution import watch
from sweeps.execution.watch import Watch

Go = Callable[[float], None]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Go:
    """Lets seconds pass."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])

    def on(seconds: float) -> None:
        now[0] += seconds

    return on


def epoch(number: int, wall_s: float) -> Epoch:
    return Epoch(epoch=number, lr=0.1, metrics={}, wall_s=wall_s)


def after(seconds: float, go: Go, seen: Watch, sign: object = "same") -> str | None:
    """What is said of a task that is looked at twice a second."""
    said = None
    for _ in range(int(seconds * 2)):
        go(0.5)
        seen.look()
        said = said or seen.stands_still("task", sign, [])
    return said


def test_five_minutes_without_a_sign_of_life_are_standing_still(go: Go) -> None:
    seen = Watch()
    assert after(299, go, seen) is None
    assert "no sign of life for 300 s" in str(after(3, go, seen))


def test_a_step_a_minute_is_progress(go: Go) -> None:
    seen = Watch()
    assert all(after(60, go, seen, sign=number) is None for number in range(30))


def test_where_epochs_take_long_so_does_the_patience(go: Go) -> None:
    seen = Watch()
    seen.stands_still("task", "same", [(0, epoch(1, 20.0)), (0, epoch(2, 30.0))])
    assert after(490, go, seen) is None
    assert "for 500 s" in str(after(20, go, seen))


def test_runs_side_by_side_take_an_epoch_together(go: Go) -> None:
    seen = Watch()
    seen.stands_still("task", "same", [(run, epoch(1, 10.0)) for run in range(4)])
    assert after(790, go, seen) is None
    assert "for 800 s" in str(after(20, go, seen))


def test_a_driver_that_was_stopped_itself_blames_no_worker(go: Go) -> None:
    seen = Watch()
    assert after(10, go, seen) is None
    go(3600.0)
    seen.look()
    assert seen.stands_still("task", "same", []) is None
