"""`pretrain`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """The networks that the study pretrained: images, selected epoch, score, seconds, trials that start from them."""

    title = "Pretrained networks"
