"""Loads torch in another process while the driver is still getting ready. Imports nothing that takes time itself."""

import multiprocessing
import os
from multiprocessing import forkserver
from typing import Any

from resnet_tl.device import REPEATABLE_CUBLAS

PRELOADED = ["resnet_tl.training.seed_run", "torchvision.models.resnet", "sweeps.execution.preloaded"]

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Of every worker: numerical libraries read these when they are loaded; torch is told its number of threads by each
fit."""


def load_ahead() -> Any:
    """How processes are started: from one that has loaded torch, which takes seconds each time anew.

    That one loads libraries and runs nothing, so that neither threads nor a GPU are inherited. It begins to load with
    the first call of this, and there is other work to do meanwhile.
    """
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault(*REPEATABLE_CUBLAS)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return context
