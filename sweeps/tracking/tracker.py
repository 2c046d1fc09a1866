"""What a tracker must do: show trials and seed runs to people. It knows no ledger, and may be told things twice.

A second kind of tracker implements `Tracker` and passes `tests/sweeps/tracking/test_tracker.py` unchanged.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from resnet_tl.config import TrialConfig
from resnet_tl.result import Epoch
from resnet_tl.training.stage import StageResult
from sweeps.records import SeedRun, TrialRecord

Key = tuple[str, int]
"""Fingerprint of a trial, and seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedRun:
    """A seed run that has ended, with all that is shown of it."""

    trial: TrialRecord
    run: SeedRun
    """With its learning curve."""
    network: Path | None
    """Folder of its network, of which the tracker keeps a link or a copy."""
    confusion: Mapping[str, Any] | None
    """For val and test, as JSON; see `NetworkStore.confusion_of`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedTrial:
    """A trial all of whose seed runs have ended."""

    trial: TrialRecord
    runs: tuple[SeedRun, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedStage:
    """A pretrain stage for one depth that has been trained, with all that is shown of it."""

    name: str
    fingerprint: str
    """Of the network that it made; its run is known by it."""
    trial: TrialConfig
    seed: int
    source: str
    """`data.source` of its images."""
    data: str
    """Fingerprint of its images."""
    result: StageResult
    network: Path
    """Its checkpoint folder, of which the tracker keeps a link or a copy."""


class Tracker(Protocol):
    """Shows one study: a parent run for each trial, a child run for each seed run, a run for each pretrain stage.

    Every call may raise whatever the tracker's library raises. After an error `connect` is called again before anything
    else, and what was not known to have arrived is sent again.
    """

    def connect(self, unsent: AbstractSet[Key], sent: AbstractSet[Key]) -> AbstractSet[Key]:
        """Gets ready, and finds what earlier starts left.

        Args:
            unsent: seed runs that have ended, and are not known to have arrived.
            sent: seed runs that arrived once.

        Returns:
            Those of `sent` that are not there: the tracker's files were removed, or it is another one than before.
        """

    def stages(self, stages: Sequence[TrainedStage]) -> None:
        """Pretrain stages have been trained, by this study or an earlier one.

        Each has one run, whatever was interrupted: one that is whole is left, one that was begun is completed.
        """

    def begin(self, trial: TrialRecord, seed: int) -> None:
        """A seed run is going on."""

    def epochs(self, trial: TrialRecord, seed: int, epochs: Sequence[Epoch]) -> None:
        """A seed run that is going on has finished these epochs; those that are shown already are passed over."""

    def finish(self, runs: Sequence[EndedRun], trials: Sequence[EndedTrial]) -> None:
        """Seed runs have ended, and with them perhaps trials. Everything of them is shown when this returns."""

    def drop_networks(self, runs: AbstractSet[Key]) -> None:
        """Networks that do not outlive the study: links to them in folders of this machine are removed."""

    def end_open(self, *, killed: bool) -> None:
        """Ends all runs that are shown as going on; killed ones are taken up again at the next start."""

    def close(self) -> None:
        """Lets go of files and connections; never raises."""
