"""What is Ray's alone; what every executor must do stands in `test_executor`."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from resnet_tl.errors import ConfigError
from resnet_tl.files import write_text
from resnet_tl.identity import Environment
from sweeps.execution import cluster, executors
from sweeps.execution.executor import Executor, Slot, WorkerDied, run_all
from sweeps.execution.sent import NODE_CACHE
from sweeps.execution.task_files import Files, Workplace
from sweeps.execution.unshared import LOOK_S, PIECE_BYTES
from tests.conftest import Run, write_images
from tests.sweeps.engine.test_run import STUDY
from tests.sweeps.execution.test_executor import CPU, Calls, OwnPid

pytestmark = pytest.mark.ray

ONE_THREAD = Environment(device="cpu", threads=1)


@dataclass(frozen=True)
class Settings:
    """What decides numbers in a worker, and which signals of a terminal it hears."""

    def __call__(self, device: str, report: Any) -> dict[str, Any]:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG")
        found: dict[str, Any] = {name: os.environ.get(name) for name in names}
        return found | {name: signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGHUP")}


@dataclass(frozen=True)
class Unpicklable:
    def __call__(self, device: str, report: Any) -> Any:
        return lambda: None


class Odd(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


@dataclass(frozen=True)
class RaisesOdd:
    def __call__(self, device: str, report: Any) -> None:
        raise Odd("left", "right")


@pytest.fixture(scope="module")
def two_machines() -> Iterator[Any]:
    """A cluster of two, each of which has room for one worker; both are this machine."""
    os.environ.update(cluster.OWN_SETTINGS)  # which keep Ray on loopback, as long as it is not imported yet
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    yield machines
    cluster.disconnect()
    machines.shutdown()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(two_machines: Any, tmp_path: Path, said: list[str]) -> Iterator[Any]:
    made: list[Executor] = []

    def build() -> Executor:
        slots = executors.allot("ray", "cpu", ONE_THREAD, None, two_machines.address)
        made.append(
            executors.make_executor(
                "ray",
                slots,
                tmp_path / "scratch",
                address=two_machines.address,
                shared=[tmp_path / "cache"],
                cache_gb=1.0,
                say=said.append,
            )
        )
        return made[-1]

    yield build
    for executor in made:
        executor.close()
    assert not list(tmp_path.glob("*/.*")), "nothing is left over"


def test_a_cluster_has_as_many_workers_as_its_machines_have_room_for(two_machines: Any) -> None:
    def num(threads: int, device: str = "cpu", workers: int | None = None) -> int:
        return len(cluster.allot(two_machines.address, Environment(device=device, threads=threads), workers))

    assert num(1) == 2
    assert num(2, workers=3) == 3
    with pytest.raises(
        ConfigError, match="must have a machine with 2 CPUs for a worker, but none of its 2 .*run.workers"
    ):
        num(2)
    with pytest.raises(ConfigError, match="must have a machine with a GPU and 1 CPU"):
        num(1, "cuda")


def test_workers_have_the_settings_of_local_ones(start: Any) -> None:
    told = start().submit(Settings(), CPU).result()
    assert told.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    assert [told.pop(name) for name in ("SIGINT", "SIGHUP")] == [signal.SIG_IGN] * 2
    assert set(told.values()) == {"1"}


def test_what_cannot_travel_is_an_error_of_its_task_alone(start: Any) -> None:
    executor = start()
    with pytest.raises(Exception, match="pickle"):
        executor.submit(Unpicklable(), CPU).result(timeout=60)
    with pytest.raises(RuntimeError, match="Odd: leftright"):
        executor.submit(RaisesOdd(), CPU).result(timeout=60)
    assert executor.submit(OwnPid(), CPU).result(timeout=60) != os.getpid()


def test_a_machine_that_has_other_code_ends_the_study(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps.execution import actor
    from sweeps.execution import ray as ray_module

    monkeypatch.setattr(ray_module, "versions", lambda: actor.versions() | {"torch": "1.0"})
    with pytest.raises(
        ConfigError, match="must have the versions of this one, but of .* torch is .* there and 1.0 here"
    ):
        run_all(start(), Calls([OwnPid(60.0)]), lambda: None)


@dataclass(frozen=True)
class Counts:
    """Goes on from a number to 5, one state each; dies at a number, if it did not begin there."""

    given: Path
    room: Path
    dies_at: int

    def files(self) -> Files:
        place = Workplace(root=self.room, leaves=("left",), state="state")
        return Files(reads={str(self.given): self.given}, workplaces=(place,))

    def __call__(self, device: str, report: Any) -> tuple[int, str]:
        state = self.room / "state"
        begun = counted = int(state.read_text()) if state.exists() else 0
        while counted < 5:
            if counted == self.dies_at != begun:
                time.sleep(4 * LOOK_S)  # its state is under way
                os.kill(os.getpid(), signal.SIGKILL)
            counted += 1
            write_text(state, str(counted))
        (self.room / "left").write_bytes(self.given.read_bytes())
        return begun, str(self.given)


@pytest.fixture
def nothing_is_shared(two_machines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No machine of the cluster sees a file of the driver's; returns the folder into which they are sent."""
    from sweeps.execution import ray as ray_module

    node = tmp_path / "node"
    monkeypatch.setattr(ray_module, "_mark", lambda folders: {"/nowhere/mark": "x"})
    own = ray_module._environment
    monkeypatch.setattr(ray_module, "_environment", lambda: own() | {NODE_CACHE: str(node)})
    return node


def test_a_machine_that_does_not_see_the_files_is_sent_them_and_goes_on_where_another_was(
    start: Any, said: list[str], nothing_is_shared: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.write_bytes(os.urandom(3 * PIECE_BYTES + 5))
    calls = Calls([Counts(given=given, room=tmp_path / f"room{number}", dies_at=2 + number) for number in range(2)])
    run_all(start(), calls, lambda: None)
    assert sorted(calls.lost_once) == [0, 1]
    assert calls.results == {0: (2, str(given)), 1: (3, str(given))}, "each goes on from the state that came back"
    for number in range(2):
        room = tmp_path / f"room{number}"
        assert (room / "left").read_bytes() == given.read_bytes()
        assert {path.name for path in room.iterdir()} == {"left", "state"}
    assert [path.name for path in (nothing_is_shared / "sent").glob("*/content/*")] == ["given"]
    sentences = [line for line in said if f"25.2 MB sent there, into {nothing_is_shared}/sent" in line]
    assert len(sentences) == 1, f"once for all workers of a machine: {said}"


def test_a_machine_that_cannot_be_sent_its_files_ends_the_study(
    start: Any, nothing_is_shared: Path, tmp_path: Path
) -> None:
    nothing_is_shared.write_text("no folder")
    (tmp_path / "given").write_text("given")
    calls = Calls([Counts(given=tmp_path / "given", room=tmp_path / "room", dies_at=9)] * 3)
    with pytest.raises(ConfigError, match=r"or be sent them, but for .* neither holds: .*node/sent must have room"):
        run_all(start(), calls, lambda: None)
    assert calls.results == {}, "no task has failed of it"


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_its_tasks_one_try_and_one_that_is_added_takes_its_place(
    start: Any, two_machines: Any
) -> None:
    executor = start()
    warm: set[int] = set()
    while len(warm) < 2:  # the second one starts a little later
        warm = {future.result() for future in [executor.submit(OwnPid(1.0), CPU) for _ in executor.slots]}
    both = [executor.submit(OwnPid(100.0), CPU) for _ in executor.slots]
    time.sleep(1.0)
    two_machines.remove_node(two_machines.list_all_nodes()[1], allow_graceful=False)
    until = time.monotonic() + 60
    while not any(future.done() for future in both) and time.monotonic() < until:
        time.sleep(0.1)
    (lost,) = [future for future in both if future.done()]
    with pytest.raises(WorkerDied, match="its worker process on .* ended"):
        lost.result()
    (left,) = [future for future in both if not future.done()]
    executor.cancel(left, "to make room")

    calls = Calls([OwnPid(0.2)] * 3)
    run_all(executor, calls, lambda: None)
    assert len(set(calls.results.values())) == 1, "one machine is left, with one worker"

    two_machines.add_node(num_cpus=1)
    together = [executor.submit(OwnPid(3.0), CPU) for _ in range(4)]
    assert len({future.result(timeout=60) for future in together}) == 2


LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1, as the kernel writes them."""

DRIVER = """
import sys, time
from pathlib import Path
from sweeps.execution.executor import Slot
from sweeps.execution.executors import make_executor
from tests.sweeps.execution.test_executor import OwnPid
executor = make_executor("ray", [Slot(device="cpu")] * 2, Path(sys.argv[1]))
print(*(future.result() for future in [executor.submit(OwnPid(1.0), slot) for slot in executor.slots]), flush=True)
busy = [executor.submit(OwnPid(100.0), slot) for slot in executor.slots]
time.sleep(100)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_an_instance_of_our_own_is_reached_by_nobody_and_dies_with_its_driver(tmp_path: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "scratch")],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": "/tmp"},
    )  # fmt: skip
    try:
        assert driver.stdout is not None
        workers = [int(pid) for pid in driver.stdout.readline().split()]
        assert len(workers) == 2
        family = _descendants(driver.pid)
        assert set(workers) < family
        assert {address for pid in family for address in _listens(pid)} <= LOOPBACK
        # two helpers of Ray's own first try for a minute to tell somebody of its end
        slow = {pid for pid in family if _name(pid) in ("ray::DashboardA", "ray::RuntimeEnv")}
    finally:
        driver.kill()
        driver.wait()
    until = time.monotonic() + 15
    while any(_is_alive(pid) for pid in family - slow) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in family - slow if _is_alive(pid)]
    until = time.monotonic() + 90
    while any(_is_alive(pid) for pid in slow) and time.monotonic() < until:
        time.sleep(1.0)
    assert not [pid for pid in slow if _is_alive(pid)]
    cluster._clear_leftovers(Path("/tmp"))
    assert not list(Path("/tmp").glob(f"{cluster.FOLDERS}{driver.pid}-*"))


def _descendants(pid: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _listens(pid: int) -> set[str]:
    """Addresses, as the kernel writes them, on which a process listens."""
    own = set()
    for each in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            own.add(str(each.readlink()))
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                found.add(words[1].partition(":")[0])
    return found


@pytest.mark.slow
def test_a_study_on_ray_has_the_numbers_of_one_on_local_workers(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    frames = []
    for words in (["run.out=one"], ["run.out=two", "run.cache=other", "run.executor=ray"]):
        done = run("sweeps.run", "study=small.yaml", *words)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "died or was killed" not in done.stdout, "workers are ended quietly"
        frames.append(pd.read_csv(tmp_path / words[0][-3:] / "reports" / "small.csv").drop(columns="wall_s"))
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert not list((tmp_path / "two" / "mlruns" / ".work").rglob("state.pt"))


FAR = """
import os, sys, time
from sweeps.execution.cluster import OWN_SETTINGS
os.environ.update(OWN_SETTINGS)
from ray._private.node import Node
from ray._private.parameter import RayParams
params = RayParams(gcs_address=sys.argv[1], num_cpus=1, object_store_memory=150 << 20, min_worker_port=0, max_worker_port=0)
node = Node(params, head=False, shutdown_at_exit=True, spawn_reaper=False)
time.sleep(1000)
"""  # noqa: E501
APART = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    try:
        return subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def far_machine(two_machines: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One more machine, on which the test's folder is an empty one of its own; returns the folder of its cache."""
    if not _can_mount():
        pytest.skip("needs the right to mount a file system")
    import ray

    cache = tmp_path_factory.mktemp("far")
    words = [sys.executable, "-c", FAR, two_machines.address]
    far = subprocess.Popen(
        [*APART, "sh", "-c", f'mount -t tmpfs none "{tmp_path}" && exec "$@"', "sh", *words],
        env=os.environ | {NODE_CACHE: str(cache)}, start_new_session=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    cluster.connect(two_machines.address)
    until = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) < 3 and time.monotonic() < until:
        time.sleep(0.2)
    yield cache
    os.killpg(far.pid, signal.SIGKILL)
    far.wait()


@pytest.mark.slow
def test_a_study_has_the_same_numbers_and_files_where_a_machine_sees_none_of_the_drivers(
    two_machines: Any, far_machine: Path, tmp_path: Path, run: Run
) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    for words in (
        ["run.out=one", f"run.cache={tmp_path}/one/cache"],
        ["run.out=two", f"run.cache={tmp_path}/two/cache", "run.executor=ray", "run.workers=3"],
    ):
        address = [f"run.address={two_machines.address}"] if "run.executor=ray" in words else []
        done = run("sweeps.run", "study=small.yaml", *words, *address)
        assert done.returncode == 0, done.stderr + done.stdout
    assert re.search(
        rf"does not see the files of this machine: [0-9.,]+ MB sent there, into {far_machine}", done.stdout
    )
    frames = [pd.read_csv(tmp_path / out / "reports" / "small.csv").drop(columns="wall_s") for out in ("one", "two")]
    pd.testing.assert_frame_equal(*frames, check_exact=True)

    def files(out: str) -> dict[str, bytes]:
        store = tmp_path / out / "mlruns" / "networks"
        found = {path.relative_to(store).as_posix(): path for path in store.rglob("*") if path.is_file()}
        return {name: path.read_bytes().replace(f"/{out}/".encode(), b"/OUT/") for name, path in found.items()}

    assert files("one") == files("two")
    assert not list((far_machine / "sent").glob(".making-*"))


def test_an_address_without_a_cluster_is_refused_before_anything_begins(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    begun = time.monotonic()
    refused = run("sweeps.run", "study=small.yaml", "run.executor=ray", "run.address=127.0.0.1:9")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert re.search(r"`run.address=127.0.0.1:9` must be .* but it cannot be used: .*refused", refused.stderr)
    assert "ray start --head" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert time.monotonic() - begun < 40
    assert not (tmp_path / "reports").exists()


def test_without_ray_its_executor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'resnet-sweeps\[ray\]'"):
        executors.require_executor("ray")


def test_gpus_of_this_machine_are_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.devices, "num_gpus", lambda: 2)
    gpu = Environment(device="cuda", threads=1)
    assert executors.allot("ray", "cuda", gpu, None) == [Slot(device="cuda:0")] * 2
    assert executors.allot("ray", "cuda", gpu, 3) == [Slot(device="cuda:0", share=0.5)] * 3
    assert [slot.device for slot in executors.allot("local", "cuda", gpu, 3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert {slot.device for slot in executors.allot("local", "cuda:1", gpu, 3)} == {"cuda:1"}
