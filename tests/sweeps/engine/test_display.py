import io

import pytest
from rich.console import Console

from sweeps.engine import display

BEST = "best so far: trial 1 (lr=0.1), val/accuracy 0.9000 [0.8800, 0.9200], 3 seeds"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: moment[0])
    return moment


def test_without_a_terminal_a_long_silence_ends_with_what_is_running(clock: list[float]) -> None:
    out = io.StringIO()
    shown = display.Display("s", total=4, done=1, console=Console(file=out, width=200))
    for clock[0] in (10.0, 59.0):
        shown.running("a", "trial 0 seed 1", 2, 9, "val/accuracy 0.5")
    assert out.getvalue() == ""
    clock[0] = 130.0
    shown.running("a", "trial 0 seed 1", 3.4, 9, "val/accuracy 0.6")
    shown.running("a", "trial 0 seed 1", 3.5, 9, "val/accuracy 0.6")
    assert out.getvalue() == "[1/4] running for 2 min: trial 0 seed 1, epoch 3 of 9, val/accuracy 0.6\n"
    clock[0] = 150.0
    shown.finished("a", "trial 0 seed 1: done")
    clock[0] = 200.0
    shown.running("b", "trial 0 seed 2", 0, 9, "")
    assert out.getvalue().count("running") == 1, "what was printed lately breaks the silence too"
    clock[0] = 300.0
    shown.running("c", "generator", 25, 90, "", counted="step")
    assert out.getvalue().endswith("running for 5 min: generator, step 25 of 90\n")


def test_a_log_hears_how_the_study_stands_once_a_minute_and_nothing_twice(clock: list[float]) -> None:
    out = io.StringIO()
    shown = display.Display("s", total=4, done=1, console=Console(file=out, width=200))
    clock[0] = 30.0
    shown.stands(best=BEST, num_failed=0, left_s=100.0)
    assert out.getvalue() == ""
    clock[0] = 90.0
    shown.stands(best="another " + BEST, num_failed=2, left_s=100.0)
    assert out.getvalue() == f"[1/4] another {BEST}; 1:40 left; 2 failed\n"
    clock[0] = 150.0
    shown.stands(best=BEST, num_failed=2, left_s=60.0)
    assert out.getvalue().count("\n") == 1, "a minute has not gone by"
    clock[0] = 155.0
    shown.stands(best=BEST, num_failed=2, left_s=60.0)
    assert out.getvalue().endswith(f"{BEST}; 1:00 left; 2 failed\n"), "it is told later"
    clock[0] = 300.0
    shown.stands(best=BEST, num_failed=2, left_s=50.0)
    assert out.getvalue().count("\n") == 2


def test_what_is_left_where_trials_may_be_stopped_is_the_most_there_can_be(clock: list[float]) -> None:
    out = io.StringIO()
    shown = display.Display("s", total=4, done=1, console=Console(file=out, width=200), may_stop=True)
    clock[0] = 90.0
    shown.stands(best=BEST, num_failed=0, left_s=3723.0)
    assert out.getvalue().endswith("; at most 1:02:03 left\n")


def test_a_terminal_shows_bars_clocks_the_best_and_failures() -> None:
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=True)
    shown = display.Display("my_study", total=4, done=1, console=console)
    shown.running("a", "trial 0 seed 1", 3.5, 9, "val/accuracy 0.6")
    shown.stands(best=BEST, num_failed=2, left_s=100.0)
    with console.capture() as seen:
        console.print(shown._screen())
    shown.stop()
    text = seen.get()
    for part in ("my_study", "1/4", "1:40 left", "2 failed", "trial 0 seed 1", "3/9", "0:00", "val/accuracy 0.6", BEST):
        assert part in text
