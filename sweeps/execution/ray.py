"""Workers that Ray starts, on this machine or on all of a cluster; `cluster` connects to it first.

Each slot has an actor, a process of its own, which stays warm between tasks and is replaced when it dies. Ray restarts
nothing and repeats nothing: whoever hands out tasks decides that.
"""

import contextlib
import os
import pickle
import secrets
import signal
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from resnet_tl.device import REPEATABLE_CUBLAS, is_gpu
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.files import remove_leftovers
from resnet_tl.heartbeat import Stopped
from resnet_tl.result import Epoch
from sweeps.execution.actor import Actor, Facts, News, Sending, versions
from sweeps.execution.ahead import ENVIRONMENT
from sweeps.execution.depot import Depot
from sweeps.execution.executor import Slot, Task, WorkerDied
from sweeps.execution.sent import Note, Unsent
from sweeps.execution.task_files import HasFiles
from sweeps.records import Cause

END_S = 30.0
"""Patience with workers of this machine that are to end."""
ASK_S = 2.0
"""How long workers of this machine may take to end by themselves before they are killed."""
START_S = 120.0
"""Longest that a task may wait for a worker of this machine. On a cluster it may wait for a machine to be added."""
MARK = ".seen-by-all-"
"""Begins the name of a file by which another machine can tell that it sees the same folder."""
LEFT_OVER_S = 30 * 86_400.0
"""Age after which such a file is taken for that of a killed driver."""
MOST_FAILED_STARTS = 5
"""Workers in a row that end before they can take a task, after which no other is started."""
DEPOT_THREADS = 8
"""Requests for the driver's files that are answered at a time."""
INHERITED = ("XDG_CACHE_HOME", "TORCH_HOME")
"""Say where weights lie."""

_LOST = (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.NodeDiedError)
"""How Ray says that a worker has ended, beside `OutOfMemoryError`."""


@dataclass(eq=False, kw_only=True, slots=True)
class _Worker:
    """An actor, perhaps one that has yet to start."""

    actor: Any
    slot: Slot
    node: str = ""
    """Of the cluster, by the address that Ray has for it; empty until the worker is ready."""
    pid: int | None = None
    """If it is a process of this machine."""
    cache: str | None = None
    """Where its machine has what it is sent; None where it sees the files of this one."""
    is_ready: bool = False
    at: "_Submitted | None" = None


@dataclass(eq=False, kw_only=True, slots=True)
class _Submitted:
    """A task that has no answer yet."""

    number: int
    task: Task | None
    """None once a worker has it."""
    device: str
    future: "Future[Any]"
    since: float
    worker: _Worker | None = None
    is_asked: bool = False
    """Whether its worker has yet to answer how far it is; one that stands still never does."""
    sign: Hashable = None
    news: list[tuple[int, Epoch]] = field(default_factory=list)
    share: float = 0.0


class RayExecutor:
    """One actor for each slot; needs a connection to Ray.

    Args:
        folders: where the files of tasks are. A machine of a cluster that does not see them is sent what it needs.
        limit_gb: of what lies in the cache of such a machine; see `cache.make_room`.
        say: told in a sentence what is sent where.
        end: called when the workers have ended.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        folders: Sequence[Path],
        limit_gb: float,
        say: Callable[[str], None],
        end: Callable[[], None] | None,
    ) -> None:
        self.slots = tuple(slots)
        self._end = end
        self._say, self._limit_gb = say, limit_gb
        self._name = secrets.token_hex(4)
        self._depot: Any = None
        self._told: set[str] = set()
        """Machines of which it was said that they are sent their files."""
        self._is_cluster = bool(folders)
        self._marks = _mark(folders)
        self._here = ray.get_runtime_context().get_node_id()
        self._lock = threading.RLock()
        self._waiting: deque[_Submitted] = deque()
        self._submitted: dict[Future[Any], _Submitted] = {}
        self._number = 0
        self._failed_starts = 0
        self._broken: UserError | None = None
        self._closed = self._is_ending = False
        self._said: SimpleQueue[tuple[Callable[[Future[Any]], None], Future[Any]] | None] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._ending: list[int] = []
        """Processes of this machine that were ended."""
        self._workers = [self._start(slot) for slot in self.slots]

    # -- as seen by whoever has tasks ---------------------------------------------------------------------------------

    def submit(self, task: Task, slot: Slot) -> "Future[Any]":
        """See `Executor`."""
        future: Future[Any] = Future()
        with self._lock:
            self._require_workers()
            self._number += 1
            submitted = _Submitted(
                number=self._number, task=task, device=slot.device, future=future, since=time.monotonic()
            )
            self._submitted[future] = submitted
            if self._is_ending:
                self._fail(submitted, Stopped("it had not begun"))
            else:
                self._waiting.append(submitted)
                self._hand_out()
        return future

    def epochs(self, future: "Future[Any]") -> Sequence[tuple[int, Epoch]]:
        """See `Executor`."""
        with self._lock:
            self._require_workers()
            submitted = self._submitted.get(future)
            if submitted is None:
                return []
            self._ask(submitted)
            found, submitted.news = submitted.news, []
            return found

    def share(self, future: "Future[Any]") -> float:
        """See `Executor`."""
        with self._lock:
            submitted = self._submitted.get(future)
            return submitted.share if submitted else 0.0

    def sign(self, future: "Future[Any]") -> Hashable:
        """See `Executor`."""
        with self._lock:
            self._require_workers()
            submitted = self._submitted.get(future)
            if submitted is None:
                return None
            if submitted.worker is None:  # nobody stands still yet
                now = time.monotonic()
                return now if self._is_cluster or now - submitted.since < START_S else None
            self._ask(submitted)
            return submitted.sign

    def cancel(self, future: "Future[Any]", reason: str) -> None:
        """See `Executor`."""
        with self._lock:
            submitted = self._submitted.get(future)
            if submitted is None:
                return
            if submitted.worker is None:
                self._waiting.remove(submitted)
                self._fail(submitted, WorkerDied(reason))
            else:
                self._replace(submitted.worker, reason)

    def ask_to_stop(self) -> None:
        """See `Executor`."""
        with self._lock:
            self._is_ending = True
            for worker in self._workers:
                worker.actor.ask_to_stop.options(concurrency_group="news").remote()
            while self._waiting:  # for a worker that there may never be
                self._fail(self._waiting.popleft(), Stopped("it had not begun"))

    def close(self) -> None:
        """See `Executor`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for worker in self._workers:
                self._kill(worker)
            if self._depot is not None:
                ray.kill(self._depot, no_restart=True)
            for submitted in list(self._submitted.values()):
                self._fail(submitted, WorkerDied("all workers were ended"))
            self._waiting.clear()
        self._said.put(None)
        self._listener.join(END_S)
        for path in self._marks:
            Path(path).unlink(missing_ok=True)
        self._wait_for_end()
        if self._end is not None:
            self._end()

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not self._waiting:
                return
            if worker.is_ready and worker.at is None:
                submitted = self._waiting.popleft()
                task, submitted.task = submitted.task, None
                try:
                    sending = self._sending(submitted.number, task, worker)
                except (UserError, OSError) as error:  # what it needs is not even here
                    self._fail(submitted, error)
                    continue
                worker.at, submitted.worker = submitted, worker
                ref = worker.actor.run.remote(submitted.number, task, submitted.device, sending)
                self._await(ref, partial(self._answered, submitted))

    def _sending(self, number: int, task: Task | None, worker: _Worker) -> Sending | None:
        """By what a worker is to have the files of a task."""
        if worker.cache is None or not isinstance(task, HasFiles):
            return None
        if self._depot is None:
            make = ray.remote(
                num_cpus=0,
                max_restarts=0,
                max_concurrency=DEPOT_THREADS,
                runtime_env={"env_vars": _environment()},
                scheduling_strategy=NodeAffinitySchedulingStrategy(self._here, soft=False),
            )(Depot)
            self._depot = make.remote()
        return Sending(
            files=task.files(),
            attempt=self._attempt(number),
            depot=self._depot,
            start=self._name,
            limit_gb=self._limit_gb,
        )

    def _attempt(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _answered(self, submitted: _Submitted, told: "Future[Any]") -> None:
        error = told.exception()
        worker = submitted.worker
        assert worker is not None
        if isinstance(error, (*_LOST, exceptions.OutOfMemoryError)):
            self._replace(worker, _how_died(error, worker), _cause_of(error))
            return
        if error is None:
            whole, said = pickle.loads(told.result())
            if isinstance(said, Unsent):  # nothing can be done there, so that every other task would fail, too
                self._broken = self._broken or _unsent(said, worker)
                self._replace(worker, str(said))
                return
        if worker.cache is not None:  # short tasks are over before anybody has asked
            news = worker.actor.news.options(concurrency_group="news")
            self._await(news.remote(-1), partial(self._noted, worker))
        worker.at = None
        if error is not None:  # the task or what it said could not travel
            self._fail(submitted, error)
        elif self._submitted.pop(submitted.future, None):
            if whole:
                submitted.future.set_result(said)
            else:
                submitted.future.set_exception(said)
        self._hand_out()

    def _fail(self, submitted: _Submitted, error: BaseException) -> None:
        if self._submitted.pop(submitted.future, None):
            submitted.future.set_exception(error)

    def _ask(self, submitted: _Submitted) -> None:
        """Asks how far a task is; the answer is there at one of the next looks."""
        if submitted.worker is not None and not submitted.is_asked:
            submitted.is_asked = True
            worker = submitted.worker
            news = worker.actor.news.options(concurrency_group="news")
            self._await(news.remote(submitted.number), partial(self._heard, submitted, worker))

    def _heard(self, submitted: _Submitted, worker: _Worker, told: "Future[Any]") -> None:
        submitted.is_asked = False
        if told.exception() is None:  # else the worker's end is told elsewhere
            news: News = told.result()
            submitted.sign = news.sign
            submitted.news += news.epochs
            submitted.share = news.share
            self._tell(worker, news.notes)

    def _noted(self, worker: _Worker, told: "Future[Any]") -> None:
        if told.exception() is None:
            self._tell(worker, told.result().notes)

    def _tell(self, worker: _Worker, notes: Sequence[Note]) -> None:
        for note in notes:
            for sentence in note.damaged:
                self._say(f"On {worker.node}: {sentence} It is sent anew.")
            if note.num_bytes or worker.node not in self._told:
                size = f"{note.num_bytes / 1e6:,.1f} MB" if note.num_bytes else "nothing new"
                self._say(
                    f"{worker.node} does not see the files of this machine: {size} sent there, into {worker.cache}/sent"
                )
                self._told.add(worker.node)

    # -- workers ------------------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> _Worker:
        make = ray.remote(
            num_cpus=slot.threads,
            num_gpus=slot.share if is_gpu(slot.device) else 0,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"news": 1, "life": 1},
            runtime_env={"env_vars": _environment()},
        )(Actor)
        worker = _Worker(actor=make.remote(str(Path.cwd())), slot=slot)
        self._await(worker.actor.hello.remote(self._marks), partial(self._ready, worker))
        life = worker.actor.live.options(concurrency_group="life").remote()
        self._await(life, partial(self._ended, worker))
        return worker

    def _ready(self, worker: _Worker, told: "Future[Any]") -> None:
        error = told.exception()
        if error is not None:
            self._ended(worker, told)
            return
        if worker not in self._workers:
            return
        facts: Facts = told.result()
        worker.node = facts.address
        worker.pid = facts.pid if facts.node == self._here else None
        worker.cache = facts.cache if facts.unseen else None
        self._broken = self._broken or _wrong(facts, worker)
        worker.is_ready = self._broken is None
        self._failed_starts = 0
        self._hand_out()

    def _ended(self, worker: _Worker, told: "Future[Any]") -> None:
        error = told.exception()
        assert error is not None
        if worker not in self._workers:
            return
        if not worker.is_ready and not self._broken:
            self._failed_starts += 1
            if "ModuleNotFoundError" in str(error) or self._failed_starts > MOST_FAILED_STARTS:
                self._broken = ConfigError(
                    "Ray's workers must be able to start, but they end at once. On each machine of a cluster "
                    "resnet-sweeps must be installed in the Python that Ray runs in, at the version of this one. "
                    f"Ray says: {str(error).strip()}"
                )
        self._replace(worker, _how_died(error, worker), _cause_of(error))

    def _replace(self, worker: _Worker, reason: str, cause: Cause = Cause.WORKER_LOST) -> None:
        """Ends a worker, if it has not ended, and starts another."""
        if worker not in self._workers or self._closed:
            return
        self._kill(worker)
        place = self._workers.index(worker)
        if self._broken is None:
            self._workers[place] = self._start(worker.slot)
        worker.is_ready = False
        if worker.at is not None:
            if self._depot is not None:
                self._depot.forget.remote(self._attempt(worker.at.number))
            self._fail(worker.at, WorkerDied(reason, cause))
            worker.at = None

    def _kill(self, worker: _Worker) -> None:
        ray.kill(worker.actor, no_restart=True)
        if worker.pid is not None:
            self._ending.append(worker.pid)
            if _is_stopped(worker.pid):  # Ray would wait for it for five seconds
                _kill_process(worker.pid)

    def _wait_for_end(self) -> None:
        begun = time.monotonic()
        while left := [pid for pid in self._ending if Path(f"/proc/{pid}").exists()]:
            spent_s = time.monotonic() - begun
            if spent_s > END_S:
                return
            if spent_s > ASK_S:
                for pid in left:
                    _kill_process(pid)
            time.sleep(0.02)

    def _require_workers(self) -> None:
        if self._broken is not None:
            raise self._broken

    # -- answers ------------------------------------------------------------------------------------------------------

    def _await(self, ref: Any, then: "Callable[[Future[Any]], None]") -> None:
        """Has an answer dealt with by our own thread: Ray's must not be kept waiting."""
        ref.future().add_done_callback(lambda told: self._said.put((then, told)))

    def _listen(self) -> None:
        while (said := self._said.get()) is not None:
            then, told = said
            with self._lock:
                if not self._closed:
                    then(told)
            del said, then, told  # nothing holds a result while the next one is waited for


def _mark(folders: Sequence[Path]) -> dict[str, str]:
    """Files by which another machine can tell that it sees the same folders."""
    marks = {}
    for folder in folders:
        with contextlib.suppress(PermissionError):  # a cache that may only be read
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder, f"{MARK}*", older_than_s=LEFT_OVER_S)
            path = folder / f"{MARK}{secrets.token_hex(4)}"
            path.write_text(path.name, encoding="utf-8")
            marks[str(path)] = path.name
    return marks


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:  # gone, or a system without /proc, where Ray ends it a little later
        return False


def _kill_process(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Of workers: what decides their numbers, and where they find our code if it is not installed."""
    own = {name: os.environ[name] for name in INHERITED if name in os.environ}
    name, default = REPEATABLE_CUBLAS
    root = Path(__file__).resolve().parents[2]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root != Path(sysconfig.get_path("purelib")).resolve():
        paths.insert(0, str(root))
    path = os.pathsep.join(dict.fromkeys(each for each in paths if each))
    return {**ENVIRONMENT, name: os.environ.get(name, default), **own} | ({"PYTHONPATH": path} if path else {})


def _wrong(facts: Facts, worker: _Worker) -> ConfigError | None:
    """Why results of a worker could not be told from, or put beside, those of another; None where they can."""
    own, theirs, none = versions(), facts.versions, "not installed"
    differ = [
        f"{name} is {theirs.get(name, none)} there and {own.get(name, none)} here"
        for name in own | theirs
        if theirs.get(name) != own.get(name)
    ]
    if differ:
        return ConfigError(
            f"Every machine of the cluster must have the versions of this one, but of {worker.node} "
            f"{'; '.join(differ)}. Install the same ones there, in the Python that Ray runs in."
        )
    return None


def _unsent(error: Unsent, worker: _Worker) -> ConfigError:
    return ConfigError(
        f"Every machine of the cluster must see the files of this one or be sent them, but for {worker.node} neither "
        f"holds: {error} The same command goes on from what is in the ledger."
    )


def _cause_of(error: BaseException) -> Cause:
    return Cause.OUT_OF_MEMORY if isinstance(error, exceptions.OutOfMemoryError) else Cause.WORKER_LOST


def _how_died(error: BaseException, worker: _Worker) -> str:
    where = f" on {worker.node}" if worker.node else ""
    if isinstance(error, exceptions.OutOfMemoryError):
        return f"its worker process{where} was ended by Ray, since the machine was out of memory"
    if isinstance(error, exceptions.NodeDiedError) or "its node has died" in str(error):
        return f"its worker process{where} ended with its machine, which has left the cluster"
    return f"its worker process{where} ended (killed, or out of memory?)"
