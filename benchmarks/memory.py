"""Peak memory of a command's processes, from Linux' own count (VmHWM)."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Peak:
    """In megabytes."""

    driver: float
    worker: float
    """Of the largest child."""


def peak_of(words: Sequence[str], cwd: Path) -> Peak:
    """Runs a command and watches it and its descendants."""
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most: dict[int, float] = {}
    while process.poll() is None:
        for pid in [process.pid, *_descendants(process.pid)]:
            most[pid] = max(most.get(pid, 0.0), _high_water_mb(pid))
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"{list(words)} ended with {process.returncode}")
    return Peak(driver=most[process.pid], worker=max(v for pid, v in most.items() if pid != process.pid))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _high_water_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
