"""Why seed runs fail, and which are tried again at the same start.

| cause | tried again |
| --- | --- |
| out of memory | once, with half as many seed runs at a time from then on |
| worker lost, hung | once; it goes on from its last saved epoch |
| bad data, error | no: it would end in the same way |

Each start of the study tries failed seed runs anew. One that diverged has a result, and a full disk ends the study.
"""

from resnet_tl.device import is_out_of_memory
from resnet_tl.errors import DataError
from sweeps.execution.executor import WorkerDied
from sweeps.records import Cause


def cause_of(error: BaseException) -> Cause:
    """What an error that a seed run ended in, or that its worker was lost by, is called."""
    if isinstance(error, WorkerDied):
        return error.cause
    if isinstance(error, DataError):
        return Cause.BAD_DATA
    return Cause.OUT_OF_MEMORY if is_out_of_memory(error) else Cause.ERROR
