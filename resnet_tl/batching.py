"""How many images pass through a network at a time, where that decides the last bits or the memory."""

PREFIX_BATCH = 32
"""Images in one forward pass of a frozen prefix, always: the last bits of a convolution can depend on how many there
are (of a ResNet-50 in fp32 they did, below 16), but not on which the others are. So an image has the same features
whatever batch asks for them."""

EVAL_BATCH = 256
"""Images in one forward pass of an evaluation; a constant, since the batch size can change the last bits."""

SCORED_AT_ONCE = 4_000_000
"""Outputs in float64, of all heads side by side, that are scored at a time: 32 MB, of which metrics make some ten."""
