"""`variance`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """Where the chance in a score comes from: seeds, test images, both together; and what more of them would bring."""

    title = "Where chance comes from"
