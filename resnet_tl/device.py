"""All that differs on a GPU: which devices there are, how torch is set there, and what is laid where.

Nothing else in the two packages asks torch for CUDA, opens an autocast or asks of what kind a device is; a test holds
that. Torch is imported where it is needed, so that planning can ask too. On a CPU all of this is nothing, or what was
measured there. What is said of GPUs here has not been measured on one.
"""

import contextlib
import gc
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.errors import ConfigError

if TYPE_CHECKING:
    import torch

GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/proc/driver/nvidia")
"""What the drivers of NVIDIA, AMD and Windows' Linux leave; loading torch to find none takes 1.5 s."""
REPEATABLE_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""The environment variable by which cuBLAS repeats its bits. It is read when a process first multiplies on a GPU.
Source: "Reproducibility" in NVIDIA's documentation of cuBLAS."""

# -- what planning counts on ------------------------------------------------------------------------------------------

MOST_HEADS = {"cpu": 48, "cuda": 512}
"""Heads trained side by side. On a CPU with 1 MB of cache a core, 30 to 60 of a ResNet-18 took 21 to 30 µs each a
step, 2 took 78 and 240 took 39; a GPU wants one large group."""
MACS_PER_S = {"cpu": 1e11, "cuda": 5e12}
"""Multiplications a second of one worker. A ResNet-18 at 64 pixels, 149 million a forward pass, ran 460 to 970 images a
second with one thread of a CPU; the figure for GPUs is a guess, on the low side of what they are sold for."""
WORKER_BYTES = {"cpu": 900_000_000, "cuda": 4_000_000_000}
"""Memory of a worker with torch and torchvision loaded. On a CPU with a batch of a ResNet-18 at 64 pixels; measured,
rounded up. For GPUs a guess: CUDA's libraries in the machine's memory; on the GPU what CUDA takes for itself, and
workspaces of cuDNN and cuBLAS."""
RESIDENT_SHARE = 0.25
"""Share of a GPU's free memory that one data set, or the stored outputs of one prefix, may take to stay there. Free is
what no worker has yet, so that several on one GPU leave each other room."""
COMPANY = 64
"""Members of a batched product on a GPU, filled up with zeros: cuBLAS chooses its kernel by their number too."""

# -- devices ----------------------------------------------------------------------------------------------------------


def is_gpu(device: "str | torch.device") -> bool:
    """Whether a device (`cpu`, `cuda`, `cuda:1`) is a GPU."""
    return str(device).startswith("cuda")


def gpu(number: int) -> str:
    """The name of a GPU, by its number from 0."""
    return f"cuda:{number}"


def num_gpus() -> int:
    """How many GPUs torch can use; without loading torch where the system has no driver for one."""
    if sys.platform == "linux" and not any(Path(name).exists() for name in GPU_FILES):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def found() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    return "cuda" if num_gpus() else "cpu"


def check_device(device: str) -> None:
    """Checks that torch can use a device.

    Raises:
        ConfigError: it is no device, or not there.
    """
    kind, _, index = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (index and (kind == "cpu" or not index.isdigit())):
        raise ConfigError(f"`device` must be cpu, cuda or cuda:N, but got {device!r}.")
    if is_gpu(kind) and int(index or 0) >= num_gpus():
        raise ConfigError(f"`device` {device} is not here: torch finds {num_gpus()} GPUs.")


def gpu_names() -> list[str]:
    """The name of each GPU's kind, `NVIDIA A100-SXM4-40GB` say."""
    import torch

    return [torch.cuda.get_device_name(number) for number in range(num_gpus())]


def gpu_bytes(shares: Iterable[tuple[str, float]]) -> int | None:
    """Memory of shares of GPUs together; None where there are none, or torch finds none, as on a cluster's driver."""
    asked = [(device, share) for device, share in shares if is_gpu(device)]
    if not asked or not num_gpus():
        return None
    import torch

    return int(sum(share * torch.cuda.get_device_properties(device).total_memory for device, share in asked))


# -- how torch computes there -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def repeatable(device: str) -> Iterator[None]:
    """On a GPU only deterministic kernels where there are such; puts back what was set before. Nothing on a CPU."""
    if not is_gpu(device):
        yield
        return
    import torch

    cudnn = torch.backends.cudnn
    cudnn_before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        # TF32 in convolutions is torch's own default, and much of the speed of fp32 there: pinned, not turned off.
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = False, True, True
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = cudnn_before
        torch.use_deterministic_algorithms(deterministic_before, warn_only=warn_before)


def autocast(device: "str | torch.device", precision: str) -> "torch.autocast":
    """What a forward pass in `trial.precision` runs in. bfloat16 has the range of float32, so no loss is scaled."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


def head_threads(device: str, threads: int) -> int:
    """CPU threads of heads side by side: batched products are the same bits in any company with one thread only."""
    return threads if is_gpu(device) else 1


def company(device: "torch.device") -> int | None:
    """Members that every batched product has; None where their number changes no member's bits (`head_kernel`)."""
    return COMPANY if is_gpu(device) else None


# -- memory -----------------------------------------------------------------------------------------------------------


def may_stay(num_bytes: int, device: "torch.device") -> bool:
    """Whether that much is put on the device once, in place of being sent batch by batch. Changes no number.

    Never on a CPU, which reads where things are; on a GPU what fits into `RESIDENT_SHARE` of its free memory.
    """
    if not is_gpu(device):
        return False
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return num_bytes <= RESIDENT_SHARE * free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine or of a GPU was short. Torch has a class of its own for GPUs alone."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = (
        "can't allocate memory",
        "not enough memory",
        "CUDA out of memory",
        "CUDA error: out of memory",  # of the driver, outside of torch's own allocator
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",  # the same in cuDNN 9
    )
    return isinstance(error, RuntimeError) and any(part in str(error) for part in words)


@contextlib.contextmanager
def gives_back(device: str) -> Iterator[None]:
    """Hands a GPU's memory back at the end of a task. Nothing on a CPU.

    Torch keeps what was freed for the next tensors of this process, which other workers on the same GPU then lack: a
    seed run that is tried again with fewer at a time would meet the memory of workers that wait. A task that failed
    still holds its tensors by the frames of its traceback, and the first of a process by frames in which libraries were
    loaded late (`torch._dynamo`, by the first optimiser), which are garbage in a circle.
    """
    try:
        yield
    except BaseException as error:
        if is_gpu(device):
            traceback.clear_frames(error.__traceback__)
        raise
    finally:
        if is_gpu(device):
            import torch

            gc.collect()
            with contextlib.suppress(RuntimeError):  # a GPU that failed fails here again, and hides how it did
                torch.cuda.empty_cache()


def wait_for(device: str) -> None:
    """Returns once a device has done what it was asked for: a GPU answers before it has."""
    if is_gpu(device):
        import torch

        torch.cuda.synchronize(device)
