"""`imagenet`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """What is published of the ImageNet weights that the trials start from."""

    title = "Published weights"
