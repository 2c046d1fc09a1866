"""`confirmed`."""

from typing import TYPE_CHECKING

from sweeps.definition.outputs.options import OutputOptions

if TYPE_CHECKING:
    from sweeps.definition.config import StudyConfig


class Options(OutputOptions):
    """The best trials of the search, and what they score on fresh seeds."""

    title = "Confirmed on fresh seeds"

    def lacks(self, study: "StudyConfig") -> str | None:
        """The confirmation."""
        return None if study.confirm else "`study.confirm`, such as {top: 3, seeds: 10}"
