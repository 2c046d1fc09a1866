"""`hypotheses`."""

from typing import TYPE_CHECKING

from sweeps.definition.outputs.options import OutputOptions

if TYPE_CHECKING:
    from sweeps.definition.config import StudyConfig


class Options(OutputOptions):
    """What the runs answer to the study's hypotheses."""

    title = "Hypotheses"

    def lacks(self, study: "StudyConfig") -> str | None:
        """Something to answer."""
        return None if any(item.parameter for item in study.hypotheses) else "`study.hypotheses` that compare something"
