"""What killed starts of a study have left under `run.out`; removed at the next start, whatever else there is to do."""

import re
import shutil
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from resnet_tl.files import remove_leftovers
from sweeps.engine.scheduler import folder_of
from sweeps.records import SeedRun, folder_of_study
from sweeps.storage.network_store import NetworkStore


def clear_leftovers(
    out: Path, study: str, *, work: Path, networks: NetworkStore, runs: Iterable[SeedRun], since: str | None
) -> None:
    """Removes what is half written, half removed, or of a seed run that has ended.

    Only for the holder of the study's lock: what somebody writes at this moment would go too.

    Args:
        out: `run.out`.
        work: where seed runs of the study keep their training state.
        runs: all that the ledger has of the study.
        since: when the ledger was told of the study, before this start; None where it was not.
    """
    study = folder_of_study(study)
    known = list(runs)
    for run in known:
        if run.state.is_result:
            shutil.rmtree(folder_of(work, run.fingerprint, run.seed), ignore_errors=True)
    remove_leftovers(work, "progress-*", older_than_s=0)
    networks.clear_leftovers(known, since)
    mlruns = out / "mlruns"
    for folder in (mlruns / "artifacts" / study).glob("*/artifacts"):
        for pattern in (".*.part", ".gone-*"):
            remove_leftovers(folder, pattern, older_than_s=0)
    # here other studies have theirs beside, whose names may begin or end alike
    kinds = r"\.md|\.html|\.tex|\.json|\.csv|\.about\.json|\.images\.safetensors|\.[a-z]+\.svg"
    own = re.compile(rf"\.{re.escape(study)}({kinds})?\.\d+\.part|\.gone-[0-9a-f]+-{re.escape(study)}")
    for folder in (mlruns / "best", out / "reports"):
        for path in folder.glob(".*"):
            if own.fullmatch(path.name):
                remove_leftovers(folder, escape(path.name), older_than_s=0)
