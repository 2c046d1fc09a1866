"""What killed starts of a study have left under `run.out`; removed at the next start, whatever else there is to do."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from resnet_tl.files import remove
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
    known = list(runs)
    remove(leftovers(out, study, work=work, networks=networks, runs=known))
    networks.clear_leftovers(known, since)


def leftovers(out: Path, study: str, *, work: Path, networks: NetworkStore, runs: Iterable[SeedRun]) -> Iterator[Path]:
    """What `clear_leftovers` removes, but for networks that no seed run is known of."""
    folder_name = folder_of_study(study)
    for run in runs:
        if run.state.is_result and (place := folder_of(work, run.fingerprint, run.seed)).exists():
            yield place
    yield from work.glob("progress-*")
    yield from networks.unfinished()
    mlruns = out / "mlruns"
    for folder in (mlruns / "artifacts" / folder_name).glob("*/artifacts"):
        for pattern in (".*.part", ".gone-*"):
            yield from folder.glob(pattern)
    # here other studies have theirs beside, whose names may begin or end alike
    kinds = r"\.md|\.html|\.tex|\.json|\.csv|\.about\.json|\.images\.safetensors|\.[a-z]+\.svg"
    name = re.escape(folder_name)
    own = re.compile(rf"\.{name}({kinds})?\.\d+\.part|\.gone-[0-9a-f]+-{name}")
    for folder in (mlruns / "best", out / "reports"):
        yield from (path for path in folder.glob(".*") if own.fullmatch(path.name))
