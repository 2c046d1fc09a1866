"""What the driver of a running study says of itself, for whoever looks from elsewhere: `mlruns/.work/studies/…`.

A hint and no truth: it may be of a driver that was killed. What is done stands in the ledger.
"""

import contextlib
import datetime
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from resnet_tl.files import remove
from sweeps.storage.work_folder import WorkFolder

TOLD_EVERY_S = 5.0
"""The longest time between two notes of a driver that is well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningJob:
    """A seed run, or several side by side, that a worker is at."""

    name: str
    epoch: int
    epochs: int
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverNote:
    """One note."""

    host: str
    pid: int
    told: str
    """ISO time, UTC."""
    done: int
    """Seed runs with a result."""
    total: int
    left_s: float | None
    """Seconds until all are done, as far as that can be known."""
    jobs: tuple[RunningJob, ...]
    best: str = ""
    """A sentence about the best trial so far."""

    def age_s(self) -> float:
        """Seconds since it was written, by the clock of this machine."""
        return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(self.told)).total_seconds()

    def is_gone(self) -> bool:
        """Whether its process has ended, as far as this machine can tell."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is somebody else's
            pass
        return False


_NOTE = TypeAdapter(DriverNote)


def place_of(out: Path, study: str) -> Path:
    """The file of a study's driver."""
    return WorkFolder(out).of_study(study) / "driver.json"


def write_note(place: Path, note: DriverNote) -> None:
    """Replaces the note; what fails, on a full disk say, is nobody's harm."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(".part")
        aside.write_text(json.dumps(asdict(note)), encoding="utf-8")
        aside.replace(place)


def read_note(place: Path) -> DriverNote | None:
    """The last note; None where there is none, or none that this version reads."""
    try:
        return _NOTE.validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None


def remove_note(place: Path) -> None:
    """The driver ends."""
    remove([place, place.with_suffix(".part")])
