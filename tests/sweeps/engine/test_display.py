import io

import pytest
from rich.console import Console

from sweeps.engine import display


def test_without_a_terminal_a_long_silence_ends_with_what_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    out = io.StringIO()
    shown = display.Display("s", total=4, done=1, workers=1, console=Console(file=out, width=200))
    for clock[0] in (10.0, 59.0):
        shown.running("a", "trial 0 seed 1", 2, 9, "val/accuracy 0.5")
    assert out.getvalue() == ""
    clock[0] = 130.0
    shown.running("a", "trial 0 seed 1", 3, 9, "val/accuracy 0.6")
    shown.running("a", "trial 0 seed 1", 3, 9, "val/accuracy 0.6")
    assert out.getvalue() == "[1/4] running for 2 min: trial 0 seed 1, epoch 3 of 9, val/accuracy 0.6\n"
    clock[0] = 150.0
    shown.finished("a", "trial 0 seed 1: done", 1.0)
    clock[0] = 200.0
    shown.running("b", "trial 0 seed 2", 0, 9, "")
    assert out.getvalue().count("running") == 1, "what was printed lately breaks the silence too"
    clock[0] = 300.0
    shown.running("c", "generator", 25, 90, "", counted="step")
    assert out.getvalue().endswith("running for 5 min: generator, step 25 of 90\n")
