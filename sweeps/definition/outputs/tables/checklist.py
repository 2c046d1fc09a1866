"""`checklist`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """What a reviewer asks: ranges, numbers of runs, all compute, how was selected, what intervals mean, versions."""

    title = "Checklist"
