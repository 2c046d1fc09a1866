"""`pareto`."""

from typing import TYPE_CHECKING

from sweeps.definition.outputs.options import Aims, OutputOptions

if TYPE_CHECKING:
    from sweeps.definition.config import StudyConfig


class Options(OutputOptions):
    """The Pareto front of several aims: trials that no other dominates, then those that one does."""

    title = "Pareto front"

    aims: Aims = None
    """Two or more of what `study.metric` may list, [val/accuracy, seconds]; default: the aims of the study."""

    def lacks(self, study: "StudyConfig") -> str | None:
        """Several aims."""
        if self.aims is not None or study.aims:
            return None
        example = f"[{study.metric}, seconds]"
        return f"two aims or more, study.metric: {example} or {{pareto: {{aims: {example}}}}}"
