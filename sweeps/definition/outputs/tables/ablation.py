"""`ablation`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """Each option that is switched alone, against the study's first trial."""

    title = "One option switched at a time"
