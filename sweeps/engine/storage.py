"""Opens `studies.db`, in which Optuna's tables and the ledger live side by side."""

import os
from pathlib import Path

from filelock import FileLock

from sweeps.engine import study
from sweeps.ledger import Ledger, create_tables


def open_storage(out: Path) -> Ledger:
    """Opens, or makes, `studies.db`.

    A kill while tables are being made would leave a file that nobody can use, so they are made under another name.
    """
    path = out / "studies.db"
    if not path.exists():
        work = out / "mlruns" / ".work"
        work.mkdir(parents=True, exist_ok=True)
        (work / "locks").mkdir(exist_ok=True)
        with FileLock(work / "locks" / "storage.lock"):
            if not path.exists():
                making = work / f"studies.{os.getpid()}.db"
                making.unlink(missing_ok=True)
                create_tables(making)
                study.create_tables(making)
                for suffix in ("-wal", "-shm"):  # empty once all connections are closed
                    making.with_name(making.name + suffix).unlink(missing_ok=True)
                making.replace(path)
    return Ledger(path)
