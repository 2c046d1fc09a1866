"""How torch computes in this process: settings for the time of one computation, and settings of a process of ours.

The bits of a result depend on the number of threads, on how exactly float32 is multiplied, on the type of new tensors,
and on a GPU on which kernels are allowed. All of it belongs to the whole process, which is not a library's to change:
`computing` puts it back. What cannot be put back is in `own_process`, which only programs of ours call, at their start.
"""

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from resnet_tl.device import repeatable


@contextlib.contextmanager
def computing(*, device: str, threads: int | None = None) -> Iterator[None]:
    """Sets what decides the bits of a result, and puts everything back, after an error too.

    Args:
        device: `cpu`, `cuda` or `cuda:1`; see `device.repeatable`.
        threads: of a CPU; None leaves their number as it is.
    """
    threads_before = torch.get_num_threads()
    dtype_before = torch.get_default_dtype()
    precision_before = torch.get_float32_matmul_precision()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        if precision_before != "highest":
            torch.set_float32_matmul_precision("highest")  # on a GPU it is `cuda.matmul.allow_tf32` too
        with repeatable(device):
            yield
    finally:
        if threads is not None:
            torch.set_num_threads(threads_before)
        torch.set_default_dtype(dtype_before)
        if precision_before != "highest":
            torch.set_float32_matmul_precision(precision_before)


def own_process() -> None:
    """Has glibc keep what is freed for the next step, in place of giving it back and having it zeroed anew.

    A fine-tune of a ResNet-18 on 64 pixels made 1.9 million page faults without this and 0.2 million with it, and
    trained 450 images/s in place of 350. Nothing can undo it, so only a process that does nothing but train calls it.
    Source: mallopt(3). Elsewhere than on glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-1, 2**31 - 1), (-2, 64 << 20), (-3, 32 << 20)):  # trim, pad, mmap threshold
            mallopt(parameter, value)
