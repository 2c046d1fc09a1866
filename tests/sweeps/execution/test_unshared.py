"""Tasks on copies of their files; the depot is asked directly here, and through Ray in `test_ray`."""

import dataclasses
import errno
import os
import pickle
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_tl.data.draws import write_draws
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import PLAIN
from resnet_tl.errors import DataError
from resnet_tl.features.key import frozen_prefix_of
from resnet_tl.features.store import begin, finish, stored
from resnet_tl.files import sha256_of, write_text
from resnet_tl.heartbeat import Stopped, heard
from resnet_tl.training.member import Member
from resnet_tl.training.seed_run import fit
from sweeps.execution import sent, unshared
from sweeps.execution.depot import ARRIVING, Depot, Piece
from sweeps.execution.sent import Note, Unsent
from sweeps.execution.task_files import Files, Listed, Listing, Workplace
from sweeps.execution.tasks import Check, ComputeFeatures, Export, Pretrain, Train
from sweeps.execution.unshared import Unshared
from tests.conftest import CPU, numbers, trial


class Direct:
    """Asks a depot; some pieces arrive with a byte flipped."""

    def __init__(self, *, flipped: Callable[[int], bool] = lambda number: False) -> None:
        self.depot = Depot()
        self.num_pieces = 0
        self._flipped = flipped

    def _through(self, content: bytes) -> bytes:
        self.num_pieces += 1
        return bytes([content[0] ^ 1]) + content[1:] if self._flipped(self.num_pieces) else content

    def describe(self, path: str) -> Listing | None:
        return self.depot.describe(path)

    def read(self, path: str, num_bytes: int) -> Iterator[bytes]:
        for first in range(0, num_bytes, 1000):
            yield self._through(self.depot.read(path, first, 1000))

    def write(self, attempt: str, folder: str, pieces: Iterator[Sequence[Piece]]) -> None:
        # the last ones come first, as with several threads
        for each in reversed(list(pieces)):
            self.depot.write(attempt, folder, [(name, first, self._through(content)) for name, first, content in each])

    def fill(self, attempt: str, path: str, pieces: Iterator[tuple[int, bytes]]) -> None:
        for first, content in pieces:
            self.depot.fill(attempt, path, first, self._through(content))

    def keep(self, attempt: str, place: Workplace, state: Listed) -> None:
        self.depot.keep(attempt, place, state)

    def settle(self, attempt: str, place: Workplace, files: Sequence[Listed]) -> None:
        self.depot.settle(attempt, place, files)

    def require_part(self, path: str, first: int, end: int, sha256: str) -> None:
        self.depot.require_part(path, first, end, sha256)


@dataclass(frozen=True)
class Counts:
    """Counts lines of a text up to a number, one state each; leaves two files and a folder."""

    given: Path
    room: str
    end: int = 3
    stops_at: int = 99

    def files(self) -> Files:
        place = Workplace(root=Path(self.room), leaves=("one", "folder", "missing"), state="state")
        return Files(reads={str(self.given): self.given}, workplaces=(place,))

    def __call__(self) -> tuple[Path, str, str]:
        room = Path(self.room)
        counted = int((room / "state").read_text()) if (room / "state").exists() else 0
        begun = counted
        while counted < self.end:
            counted += 1
            write_text(room / "state", str(counted))
            if counted == self.stops_at:
                raise Stopped("asked to")
        (room / "one").write_text(self.given.read_text() * counted)
        (room / "folder").mkdir()
        (room / "folder" / "large").write_bytes(bytes(range(250)) * 100)
        (room / "folder" / "empty").touch()
        return room / "one", f"from {begun}", str(self.given)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    folder = tmp_path / "driver"
    folder.mkdir()
    (folder / "given.txt").write_text("content\n" * 500)
    return folder


@pytest.fixture
def notes() -> list[Note]:
    return []


@pytest.fixture
def there(tmp_path: Path, notes: list[Note]) -> Callable[..., Unshared]:
    def build(source: Direct, *, start: str = "s1", limit_gb: float = 1.0) -> Unshared:
        cache = tmp_path / "node"
        return Unshared(source, cache=cache, start=start, limit_gb=limit_gb, machine="node-7", note=notes.append)

    return build


def counts(driver: Path, **changes: Any) -> Counts:
    return dataclasses.replace(Counts(given=driver / "given.txt", room=str(driver / "room")), **changes)


def run(there: Unshared, task: Any, attempt: str = "s1-1") -> Any:
    return there.run(task, task.files(), attempt, lambda own: own())


def test_a_task_works_on_copies_and_what_it_leaves_is_put_in_place(
    driver: Path, there: Callable[..., Unshared], notes: list[Note], tmp_path: Path
) -> None:
    seen: list[Counts] = []

    def call(own: Counts) -> Any:
        seen.append(own)
        assert not (driver / "room").exists(), "nothing is written where the driver has it"
        return own()

    task = counts(driver)
    left, begun, given = there(Direct()).run(task, task.files(), "s1-1", call)
    assert str(driver).encode() not in pickle.dumps(seen), "no path of the driver's is left"
    assert (left, begun, given) == (driver / "room" / "one", "from 0", str(driver / "given.txt"))
    assert left.read_text() == "content\n" * 1500
    assert (driver / "room" / "folder" / "large").read_bytes() == bytes(range(250)) * 100
    assert (driver / "room" / "folder" / "empty").read_bytes() == b""
    assert {path.name for path in (driver / "room").iterdir()} == {"one", "folder"}
    assert notes == [Note(num_bytes=4000, damaged=())]
    assert [path.name for path in (tmp_path / "node" / "sent").glob(".*")] == [".lock"], "its room is cleared"


def test_what_arrives_damaged_is_sent_once_more_and_then_refused(
    driver: Path, there: Callable[..., Unshared], tmp_path: Path
) -> None:
    assert run(there(Direct(flipped=lambda number: number == 2)), counts(driver))[1] == "from 0"
    shutil.rmtree(tmp_path / "node")
    (tmp_path / "node" / "sent" / ".of-a-killed-worker.99.part").mkdir(parents=True)
    with pytest.raises(Unsent, match=r"given.txt, as it was sent, must have sha256 .* It was sent 2 times"):
        run(there(Direct(flipped=lambda number: number in (2, 6))), counts(driver))
    assert [path.name for path in (tmp_path / "node" / "sent").iterdir()] == [".lock"]


def test_what_goes_back_damaged_is_sent_once_more_and_then_refused(
    driver: Path, there: Callable[..., Unshared]
) -> None:
    run(there(Direct()), counts(driver))
    before = sha256_of(driver / "room" / "one")
    for wrong, is_refused in (((1,), False), ((1, 4), True)):
        task = there(Direct(flipped=lambda number, wrong=wrong: number in wrong))  # type: ignore[misc]
        if is_refused:
            with pytest.raises(Unsent, match="as it was sent, but has .* It was sent 2 times"):
                run(task, counts(driver, end=5), "s1-3")
        else:
            run(task, counts(driver), "s1-2")
        assert sha256_of(driver / "room" / "one") == before


def test_a_copy_that_is_damaged_since_the_last_start_is_sent_anew_and_that_is_said(
    driver: Path, there: Callable[..., Unshared], notes: list[Note], tmp_path: Path
) -> None:
    run(there(Direct()), counts(driver))
    (copy,) = (tmp_path / "node" / "sent").glob("*/content/given.txt")
    run(there(Direct(), start="s2"), counts(driver))
    assert notes[-1] == Note(num_bytes=0, damaged=())
    copy.write_bytes(b"C" + copy.read_bytes()[1:])
    left, _, _ = run(there(Direct(), start="s3"), counts(driver))
    assert notes[-1].num_bytes == 4000
    assert "must have sha256" in notes[-1].damaged[0]
    assert left.read_text() == "content\n" * 1500


def test_workers_and_studies_share_what_was_sent(driver: Path, there: Callable[..., Unshared]) -> None:
    first, second = Direct(), Direct()
    rooms = [str(driver / f"room{number}") for number in range(4)]
    workers = [there(source, start=start) for source in (first, second) for start in ("s1", "s2")]
    threads = [
        threading.Thread(target=run, args=(worker, counts(driver, room=room), f"s-{room[-1]}"))
        for worker, room in zip(workers, rooms, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((Path(room) / "one").exists() for room in rooms)
    num_back = 4 * 3  # of each room three files go back
    assert first.num_pieces + second.num_pieces == num_back + 4, "the four pieces of the text came once"


def test_a_task_goes_on_elsewhere_from_the_state_that_came_back(
    driver: Path, there: Callable[..., Unshared], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(there(Direct()), counts(driver, end=5, stops_at=2))
    assert (driver / "room" / "state").read_text() == "2"
    shutil.rmtree(tmp_path / "node")
    assert run(there(Direct()), counts(driver, end=5), "s1-2")[1] == "from 2"


def test_states_come_back_while_a_task_runs(
    driver: Path, there: Callable[..., Unshared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unshared, "LOOK_S", 0.05)
    task = counts(driver)

    def call(own: Any) -> None:
        write_text(Path(own.room) / "state", "7" * 3000)
        until = time.monotonic() + 20
        while not (driver / "room" / "state").exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert (driver / "room" / "state").read_text() == "7" * 3000

    there(Direct()).run(task, task.files(), "s1-1", call)


@pytest.mark.parametrize("pauses", [True, False])
def test_the_state_of_a_task_that_pauses_comes_back_at_its_end(
    driver: Path, there: Callable[..., Unshared], pauses: bool
) -> None:
    task = counts(driver)
    files = task.files()
    files = replace(files, workplaces=tuple(replace(place, pauses=pauses) for place in files.workplaces))
    there(Direct()).run(task, files, "s1-1", lambda own: write_text(Path(own.room) / "state", "at a rung"))
    assert (driver / "room" / "state").exists() == pauses


def test_nothing_of_a_lost_try_is_put_in_place(driver: Path, there: Callable[..., Unshared]) -> None:
    source = Direct()
    source.depot.forget("s1-1")
    with pytest.raises(DataError, match="Nobody waits for this task any more"):
        run(there(source), counts(driver))
    assert not (driver / "room").exists()
    run(there(source), counts(driver), "s1-2")
    assert (driver / "room" / "one").exists()


def test_what_comes_back_lies_below_its_folder(driver: Path) -> None:
    depot = Depot()
    for name in ("../given.txt", "/etc/passwd", "a/../../given.txt", ""):
        with pytest.raises(DataError, match="must lie below"):
            depot.write("s1-1", str(driver / "room"), [(name, 0, b"x")])
    assert (driver / "given.txt").read_text().startswith("content")


def test_of_what_several_drivers_make_the_first_stays(driver: Path) -> None:
    depot, place = Depot(), Workplace(root=driver, inside="made", leaves=("one", "last"), is_shared=True)
    for attempt, content in (("a", b"first"), ("b", b"other")):
        files = []
        for name in ("one", "last"):
            depot.write(attempt, str(place.folder), [(name, 0, content)])
            told = driver / "made" / f"{ARRIVING}{attempt}" / name
            files.append(Listed(name=name, num_bytes=len(content), sha256=sha256_of(told)))
        depot.settle(attempt, place, files)
    assert {path.name: path.read_bytes() for path in (driver / "made").iterdir()} == {
        "one": b"first", "last": b"first", "lock": b"",
    }  # fmt: skip


def test_what_was_not_used_lately_makes_room(
    driver: Path, there: Callable[..., Unshared], notes: list[Note], tmp_path: Path
) -> None:
    def entries() -> set[str]:
        return {path.name for path in (tmp_path / "node" / "sent").glob("*/content/*")}

    run(there(Direct()), counts(driver))
    (driver / "other.txt").write_text("more\n" * 900)
    task = counts(driver, given=driver / "other.txt")

    def call(own: Counts) -> Any:
        inner = counts(driver, room=str(driver / "inner"))
        run(there(Direct(), limit_gb=5e-6), inner, "s1-3")
        assert entries() == {"other.txt", "given.txt"}, "what a task uses stays"

    there(Direct(), limit_gb=5e-6).run(task, task.files(), "s1-2", call)
    (driver / "third.txt").write_text("third")
    run(there(Direct(), limit_gb=1e-6), counts(driver, given=driver / "third.txt"), "s1-4")
    assert entries() == {"third.txt"}


def test_a_disk_that_is_full_or_cannot_be_used_is_named(
    driver: Path, there: Callable[..., Unshared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def full(folder: Path) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

        patch.setattr(sent, "replacing_folder", full)
        with pytest.raises(Unsent, match="node/sent must have room .*, but is full.* SWEEPS_NODE_CACHE"):
            run(there(Direct()), counts(driver))
    shutil.rmtree(tmp_path / "node")
    (tmp_path / "node").write_text("a file")
    with pytest.raises(Unsent, match="node/sent must have room .*, but cannot be used: .*Not a directory"):
        run(there(Direct()), counts(driver))


def test_a_file_that_is_gone_is_told(driver: Path, there: Callable[..., Unshared]) -> None:
    task = counts(driver)
    (driver / "given.txt").unlink()
    with pytest.raises(Unsent, match="given.txt must be there to be sent, but is gone"):
        run(there(Direct()), task)


# -- real tasks -------------------------------------------------------------------------------------------------------


def apart(there: Unshared, task: Any, attempt: str = "s1-1") -> Any:
    def call(own: Any) -> Any:
        node = there._sent.folder.parent
        named = re.findall(re.escape(str(node.parent).encode()) + rb"/([\w-]+)", pickle.dumps(own))
        assert set(named) <= {node.name.encode()}, "no path of the driver's is left"
        return own("cpu", lambda *_: None)

    return there.run(task, task.files(), attempt, call)


@pytest.fixture
def own(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """The prepared images in a folder of their own."""
    monkeypatch.setattr("resnet_tl.model.runtime.own_process", lambda: None)
    monkeypatch.setattr("sweeps.execution.tasks._loaded", [])
    cache = Path(prepared.folder).parents[1]
    there = tmp_path / "driver-cache"
    shutil.copytree(cache, there)
    return dataclasses.replace(
        prepared,
        folder=str(there / Path(prepared.folder).relative_to(cache)),
        names_file=str(there / Path(prepared.names_file).relative_to(cache)),
    )


def test_images_that_differ_from_the_hash_beside_them_are_refused_where_they_arrive(
    own: Prepared, there: Callable[..., Unshared], tmp_path: Path
) -> None:
    with (Path(own.folder) / "images.npy").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    member = Member(trial=trial(epochs=1), seed=0, folder=tmp_path / "work")
    with pytest.raises(Unsent, match=r"images.npy, as it was sent, must have sha256"):
        apart(there(Direct()), Train(runs=(member,), data=own, environment=CPU, features=None))
    assert not (tmp_path / "work").exists()


def test_a_chain_of_tasks_on_copies_has_the_bits_of_one_on_the_files_themselves(
    own: Prepared, there: Callable[..., Unshared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretraining, stored features, a proof, a fit, and the export of its network, which stands on the first one's."""
    monkeypatch.setattr("sweeps.execution.tasks._loaded", [])
    made: dict[str, Any] = {}
    for name in ("here", "there"):
        home = tmp_path / name
        machine = there(Direct())

        def do(task: Any, name: str = name, machine: Unshared = machine) -> Any:
            return task("cpu", lambda *_: None) if name == "here" else apart(machine, task)

        stage = trial(epochs=1)
        checkpoint = do(Pretrain(trial=stage, data=own, seed=3, environment=CPU, cache=home))
        assert checkpoint.is_relative_to(home)
        assert {path.name for path in checkpoint.parent.iterdir()} == {"lock", "history.json", "checkpoint"}
        config = trial(weights=str(checkpoint), freeze="layer4", epochs=2, head="mlp_relu")
        prefix = frozen_prefix_of(config, own, "w", CPU)
        assert prefix is not None
        making = begin([prefix], PLAIN, own.num_stored, home)
        for first, end in ((0, 20), (20, own.num_stored)):
            task = ComputeFeatures(trial=config, making=making, data=own, environment=CPU, first=first, end=end)
            assert do(task) == end - first
        finish(making, home)
        features = stored(prefix, [PLAIN], home)
        members = tuple(Member(trial=config, seed=seed, folder=home / f"run{seed}") for seed in (0, 1))
        train = Train(runs=members, data=own, environment=CPU, features=features)
        assert do(Check(train=train)) is None
        results = do(train)
        best = home / "best" / "network"
        best.parent.mkdir()
        do(Export(checkpoint=home / "run1" / "checkpoint", destination=best, data=own))
        files = {
            path.relative_to(home).as_posix(): path.read_bytes().replace(str(home).encode(), b"HOME")
            for path in sorted(home.rglob("*"))
            if path.is_file() and path.name not in ("history.json", "used")
        }
        made[name] = [numbers(result) for result in results], files
    (numbers_here, files_here), (numbers_there, files_there) = made["here"], made["there"]
    assert numbers_here == numbers_there
    assert set(files_here) == set(files_there)
    assert [name for name in files_here if files_here[name] != files_there[name]] == []
    assert any(name.startswith("best/network/samples") for name in files_there)


@pytest.mark.slow
def test_images_that_are_kept_for_the_next_task_have_the_draws_of_its_seed_too(
    own: Prepared, there: Callable[..., Unshared], tmp_path: Path
) -> None:
    draws = {seed: write_draws(tmp_path / "draws", seed, np.arange(24)[:: 1 - 2 * seed].copy()) for seed in (0, 1)}
    data = own.drawn_by("bagging", draws)
    machine = there(Direct())
    for seed in draws:
        member = Member(trial=trial(epochs=1), seed=seed, folder=tmp_path / f"work{seed}")
        alone = fit(member.trial, data, seed=seed, environment=CPU)
        (result,) = apart(machine, Train(runs=(member,), data=data, environment=CPU, features=None), f"s1-{seed}")
        assert numbers(result) == numbers(alone)


@pytest.mark.slow
def test_a_fit_goes_on_from_the_epoch_whose_state_came_back(
    own: Prepared, there: Callable[..., Unshared], tmp_path: Path
) -> None:
    config = trial(epochs=3)
    whole = fit(config, own, seed=0, environment=CPU)
    member = Member(trial=config, seed=0, folder=tmp_path / "work")
    task = Train(runs=(member,), data=own, environment=CPU, features=None)
    met: list[int] = []

    def stop(own_task: Train) -> Any:
        with heard(lambda share: None, lambda: len(met) >= 2):
            return own_task("cpu", lambda _, epoch: met.append(epoch.epoch))

    with pytest.raises(Stopped):
        there(Direct()).run(task, task.files(), "s1-1", stop)
    assert (tmp_path / "work" / "state.pt").exists()
    shutil.rmtree(tmp_path / "node")
    (result,) = apart(there(Direct()), task, "s1-2")
    assert numbers(result) == numbers(whole)
    assert met == [1, 2]
