"""Loaded last by the process that workers are forked from, and by nothing else.

What it has loaded lives until its end: it is taken out of the search for garbage, so that forks share its memory, and
so that the process, which holds the driver's output open, ends with its driver and not a second later.
"""

import gc

gc.freeze()
