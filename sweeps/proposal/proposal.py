"""What a study file is written from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.proposal.budget import Budget
from sweeps.proposal.patients import Patients
from sweeps.proposal.start import Start
from sweeps.proposal.survey import UNEQUAL, Survey


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """All that the file says."""

    name: str
    root: str
    """Absolute, so that the study runs from any folder."""
    survey: Survey
    start: Start
    budget: Budget
    backbone: str
    batch_size: int
    device: str
    """In words."""
    minutes: float
    is_slim: bool
    """Whether each recipe has one learning rate only, for want of time."""
    patients: Patients | None
    """Groups that the file names; None where names show none, or where the data's own splits divide them."""
    best: Mapping[str, Any] | None = None
    """Values of the best trial of the study before, which this one goes on from; None for the first."""
    divided: str = ""
    """Why groups that were found are not named; empty where there are none, or where they are."""

    @property
    def metric(self) -> str:
        """Accuracy, unless a class is rare."""
        return "val/balanced_accuracy" if self.survey.imbalance >= UNEQUAL else "val/accuracy"
