"""What every executor must do, those of the registry one by one."""

import gc
import os
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.errors import ConfigError, DataError
from resnet_tl.heartbeat import Stopped, beat, stop_asked
from resnet_tl.result import Epoch
from sweeps.execution import cluster, watch
from sweeps.execution import executor as executor_module
from sweeps.execution.executor import Executor, Job, Running, Slot, Task, WorkerDied, run_all, run_one
from sweeps.execution.executors import EXECUTORS, make_executor, require_executor

CPU = Slot(device="cpu")
Make = Callable[[int], Executor]


@dataclass(frozen=True)
class OwnPid:
    pause_s: float = 0.0

    def __call__(self, device: str, report: Any) -> int:
        time.sleep(self.pause_s)
        return os.getpid()


@dataclass(frozen=True)
class Device:
    def __call__(self, device: str, report: Any) -> str:
        return device


@dataclass(frozen=True)
class Raises:
    def __call__(self, device: str, report: Any) -> None:
        raise DataError("first", "second")


@dataclass(frozen=True)
class Dies:
    marker: str
    """File that the first attempt leaves; a second one finds it and lives."""

    def __call__(self, device: str, report: Any) -> str:
        if Path(self.marker).exists():
            return "lived"
        if Path(self.marker).parent.is_dir():
            Path(self.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"


@dataclass(frozen=True)
class Stops:
    marker: str
    """File that the first attempt leaves; a second one finds it and goes on."""

    def __call__(self, device: str, report: Any) -> str:
        if Path(self.marker).exists():
            return "went on"
        Path(self.marker).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
        return "never"


@dataclass(frozen=True)
class Steps:
    """One epoch of many steps, none of which is reported."""

    def __call__(self, device: str, report: Any) -> str:
        for _ in range(40):
            time.sleep(0.1)
            beat()
        return "slow but sure"


@dataclass(frozen=True)
class Reports:
    def __call__(self, device: str, report: Any) -> str:
        for number in (1, 2, 3):
            time.sleep(0.6)
            report(0, Epoch(epoch=number, lr=0.1, metrics={"val/loss": 1 / number}, wall_s=0.6))
        time.sleep(1.0)
        return "done"


@dataclass(frozen=True)
class EpochsOfSteps:
    """Two epochs, step by step."""

    def __call__(self, device: str, report: Any) -> None:
        for number in (1, 2):
            for step in range(4):
                time.sleep(0.6)
                beat((step + 1) / 4)
            report(0, Epoch(epoch=number, lr=0.1, metrics={"val/loss": 1 / number}, wall_s=2.4))
        time.sleep(1.2)


@dataclass(frozen=True)
class GoesOn:
    """Until it is asked to stop."""

    def __call__(self, device: str, report: Any) -> None:
        while not stop_asked():
            beat()
            time.sleep(0.05)
        raise Stopped("asked to")


class Large:
    """A result of which somebody may hold on to."""


@dataclass(frozen=True)
class Answers:
    def __call__(self, device: str, report: Any) -> Large:
        time.sleep(0.2)
        return Large()


@pytest.fixture(scope="module")
def ray_instance() -> Iterator[None]:
    """One for all tests: to start it takes seven seconds."""
    cluster.connect(None, cpus=8)
    yield
    cluster.disconnect()


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.ray] * (name == "ray")) for name in sorted(EXECUTORS)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Executor] = []
    if request.param == "ray":
        request.getfixturevalue("ray_instance")

    def build(slots: int) -> Executor:
        made.append(make_executor(request.param, [CPU] * slots, tmp_path / "scratch"))
        return made[-1]

    yield build
    for executor in made:
        executor.close()
    assert not list((tmp_path / "scratch").glob("*")), "nothing is left over"


def test_workers_outlive_the_death_of_others_at_any_moment(make: Make) -> None:
    executor = make(2)
    for _ in range(3):
        # both die at once, idle or at work
        workers = {future.result() for future in [executor.submit(OwnPid(1.0), CPU) for _ in range(2)]}
        busy = [executor.submit(OwnPid(30.0), CPU) for _ in range(2)]
        time.sleep(0.3)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for future in busy:
            with pytest.raises(WorkerDied, match="by signal 9|killed"):
                future.result()
        assert executor.submit(OwnPid(), CPU).result() not in workers


def test_cancelling_ends_one_task_and_no_other(make: Make) -> None:
    executor = make(2)
    stuck, other = executor.submit(OwnPid(60.0), CPU), executor.submit(OwnPid(2.0), CPU)
    time.sleep(1.0)
    executor.cancel(stuck, "nobody waits for it")
    with pytest.raises(WorkerDied, match="nobody waits for it"):
        stuck.result(timeout=30)
    assert other.result(timeout=30) != os.getpid()


def test_a_task_gets_its_slots_device_and_its_errors_come_back_whole(make: Make) -> None:
    executor = make(1)
    assert executor.submit(Device(), Slot(device="cuda:1")).result() == "cuda:1"
    with pytest.raises(DataError) as caught:
        executor.submit(Raises(), CPU).result()
    assert caught.value.problems == ("first", "second")


def test_epochs_of_a_running_task_are_seen_once_each(make: Make) -> None:
    executor = make(1)
    future = executor.submit(Reports(), CPU)
    seen: list[tuple[int, Epoch]] = []
    while not future.done():
        seen += executor.epochs(future)
        wait([future], timeout=0.2)
    assert [epoch.epoch for _, epoch in seen] == [1, 2, 3]
    assert [number for number, _ in seen] == [0, 0, 0]
    assert executor.epochs(future) == []


def test_how_much_of_an_epoch_is_done_is_seen_while_it_goes_on(make: Make) -> None:
    executor = make(1)
    future = executor.submit(EpochsOfSteps(), CPU)
    seen: list[float] = []
    epochs = 0
    while not future.done():
        epochs += len(executor.epochs(future))
        seen.append(epochs + executor.share(future))
        wait([future], timeout=0.1)
    assert seen == sorted(seen), "it never goes back"
    assert set(seen) >= {0.5, 1.0, 1.5, 2.0}
    assert executor.share(future) == 0


class Calls:
    """Callbacks that note what they are told."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.waiting = deque(Job(item=number, task=task) for number, task in enumerate(tasks))
        self.results: dict[int, Any] = {}
        self.lost_once: list[int] = []

    def next_job(self) -> Job[int] | None:
        return self.waiting.popleft() if self.waiting else None

    def done(self, running: Running[int], result: Any) -> None:
        self.results[running.job.item] = result

    def lost(self, running: Running[int], error: WorkerDied) -> None:
        self.lost_once.append(running.job.item)
        self.waiting.append(replace(running.job, attempt=1))

    def failed(self, running: Running[int], error: Exception) -> None:
        self.results[running.job.item] = error

    def follow(self, running: Running[int], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        pass


def test_run_all_does_everything_and_hands_out_again_what_was_lost(make: Make, tmp_path: Path) -> None:
    calls = Calls([OwnPid(0.1), Dies(str(tmp_path / "marker")), Raises(), OwnPid(0.1), Device()])
    run_all(make(2), calls, lambda: None)
    assert sorted(calls.results) == [0, 1, 2, 3, 4]
    assert calls.lost_once == [1]
    assert calls.results[1] == "lived"
    assert isinstance(calls.results[2], DataError)


def test_a_worker_that_stands_still_is_ended_and_counts_as_lost(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STILL_S", 2.0)
    calls = Calls([Stops(str(tmp_path / "marker")), Steps(), OwnPid(0.1), OwnPid(0.1)])
    begun = time.monotonic()
    run_all(make(2), calls, lambda: None)
    assert calls.lost_once == [0], "a long epoch that makes progress is not ended"
    assert calls.results[0] == "went on"
    assert calls.results[1] == "slow but sure"
    assert time.monotonic() - begun < 25


def test_a_worker_that_is_stopped_while_it_waits_for_work_stops_no_other(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STILL_S", 2.0)
    executor = make(2)
    stopped = executor.submit(OwnPid(), CPU).result()
    os.kill(stopped, signal.SIGSTOP)
    calls = Calls([OwnPid(0.1)] * 4)
    run_all(executor, calls, lambda: None)
    assert sorted(calls.results) == [0, 1, 2, 3]
    executor.close()
    assert not Path(f"/proc/{stopped}").exists(), "it does not outlive the executor"


def test_results_are_let_go_of_while_others_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "POLL_S", 0.05)  # so that each task is looked at while it runs
    seen: list[weakref.ref[Any]] = []

    class Lets(Calls):
        def done(self, running: Running[int], result: Any) -> None:
            seen.append(weakref.ref(result))

    most = [0]

    def check() -> None:
        most[0] = max(most[0], sum(ref() is not None for ref in seen))

    gc.disable()
    try:
        run_all(make(1), Lets([Answers()] * 6), check)
    finally:
        gc.enable()
    assert len(seen) == 6
    assert most[0] <= 2, "but for the last ones, which local variables hold"


def test_a_single_task_is_tried_again_once(make: Make, tmp_path: Path) -> None:
    assert run_one(make(1), Dies(str(tmp_path / "marker")), lambda: None) == "lived"
    with pytest.raises(WorkerDied):
        run_one(make(1), Dies("/dev/null/marker"), lambda: None)


def test_run_all_can_be_ended_from_outside(make: Make) -> None:
    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(make(1), Calls([OwnPid(60.0)]), check)


def test_an_executor_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="`run.executor` must name an executor, but got 'rey'; did you mean `ray`"):
        require_executor("rey")


def test_tasks_are_asked_to_stop(make: Make) -> None:
    executor = make(2)
    running = [executor.submit(GoesOn(), slot) for slot in executor.slots]
    time.sleep(1.0)
    assert not any(future.done() for future in running)
    executor.ask_to_stop()
    for future in running:
        with pytest.raises(Stopped):
            future.result(timeout=60)
