"""`classes`."""

from pydantic import Field

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """Each class as the best trial sees it on test, the worst first."""

    title = "Classes, the worst first"

    most: int | None = Field(None, ge=1)
    """The worst so many; default: all."""
