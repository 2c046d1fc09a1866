"""Training steps are timed as the study will make them."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from resnet_tl.training.timing import StepTimes
from sweeps.execution.everywhere import CannotTime
from sweeps.execution.executor import Slot
from sweeps.execution.tasks import TimeSteps, WarmUp
from sweeps.proposal import speed as speeds
from sweeps.proposal.speed import MOST_CLASSES, Speed, measure

ENVIRONMENT = Environment(device="cpu", threads=1)
GIVEN: dict[str, Any] = {"environment": ENVIRONMENT, "batch_size": 10, "sizes": (32, 64)}


class Made:
    """An executor of which it is only seen what it is given."""

    last: "Made"

    def __init__(self, _: str, slots: list[Slot], __: Path) -> None:
        self.slots = slots
        Made.last = self
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done, each by two workers of known speeds."""
    done: list[Any] = []

    def on_all(_: Any, task: Any) -> list[Any]:
        done.append(task)
        if isinstance(task, WarmUp):
            return [None, None]
        steps = (
            StepTimes(begin_s=1, inputs_s=0.1, step_s=step_s, scored_s=0.2, batch=10, num_steps=1)
            for step_s in (0.5, 0.7)
        )
        return [(0.0, each) for each in steps]

    monkeypatch.setattr(speeds, "on_all", on_all)
    monkeypatch.setattr(speeds, "make_executor", Made)
    return done


def test_an_image_takes_its_share_of_a_step_on_the_mean_worker(tasks: list[Any]) -> None:
    slots = [Slot(device="cuda:1"), Slot(device="cuda:1")]
    told = measure("resnet18", slots=slots, num_classes=3, **GIVEN)
    assert told.whole_s == pytest.approx({32: 0.07, 64: 0.07})
    assert told.forward_s == pytest.approx({32: 0.03, 64: 0.03})
    assert Made.last.slots == slots  # the study's own, on the devices that it will have
    assert Made.last.is_closed


def test_made_up_images_fill_their_batches_and_do_not_grow_with_the_classes(tasks: list[Any]) -> None:
    measure("resnet18", slots=[Slot(device="cpu")], num_classes=5000, **GIVEN)
    timed = [task.train.data for task in tasks if isinstance(task, TimeSteps)]
    assert [data.size for data in timed] == [(32, 32), (64, 64)]
    assert {len(data.classes) for data in timed} == {MOST_CLASSES}
    assert {data.num_images["train"] for data in timed} == {40}


def test_a_step_that_fails_is_told_in_a_sentence(tasks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise CannotTime("OutOfMemoryError: no room")

    monkeypatch.setattr(speeds, "on_all", fails)
    with pytest.raises(ConfigError, match="a step of resnet18 in batches of 10 failed on cpu: OutOfMemoryError"):
        measure("resnet18", slots=[Slot(device="cpu")], num_classes=3, **GIVEN)
    assert Made.last.is_closed


def test_other_sizes_are_in_proportion_to_pixels() -> None:
    told = Speed(whole_s={32: 1.0, 64: 3.0}, forward_s={32: 0.5, 64: 1.0}, load_s=1.0)
    assert (told.whole(32), told.whole(16), told.whole(128)) == (1.0, 0.25, 12.0)
    assert told.forward(128) == 4.0


CODE = """
from resnet_tl.identity import Environment
from sweeps.execution.executor import Slot
from sweeps.proposal.speed import measure
if __name__ == "__main__":
    given = dict(environment=Environment(device="cpu", threads=1), batch_size=8, num_classes=3)
    told = measure("resnet18", slots=[Slot(device="cpu")] * 2, sizes=%s, **given)
    print(told.whole_s[32], told.forward_s[32], flush=True)
"""


@pytest.mark.slow
def test_steps_are_timed_for_real() -> None:
    told = subprocess.run([sys.executable, "-c", CODE % "(32,)"], capture_output=True, text=True, check=True).stdout
    whole_s, forward_s = map(float, told.split())
    assert 0 < forward_s < whole_s < 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sessions of processes are read from /proc")
def test_nothing_goes_on_when_the_command_is_ended_while_it_times() -> None:
    command = subprocess.Popen([sys.executable, "-c", CODE % "[32] * 1000"], start_new_session=True)
    wait_until(lambda: len(session(command.pid)) >= 5)  # itself, what it starts processes from, and two workers
    command.send_signal(signal.SIGTERM)
    assert command.wait() == -signal.SIGTERM
    wait_until(lambda: not session(command.pid))


def session(leader: int) -> list[int]:
    """Processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(holds: Any) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)
