"""Networks trained from nothing, once, as starting weights for fine-tuning elsewhere; kept in the cache."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.data.cache import alone
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import WeightsError
from resnet_tl.files import make_folder, move
from resnet_tl.identity import Environment
from resnet_tl.result import Epoch
from resnet_tl.training.seed_run import fit
from resnet_tl.training.stage import HISTORY, is_made, place, stage_fingerprint, write_history


def pretrain(
    trial: TrialConfig,
    data: Prepared,
    *,
    seed: int,
    environment: Environment,
    cache: Path,
    device: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Path:
    """Trains the network, or finds it trained.

    Returns:
        Its checkpoint folder.

    Raises:
        WeightsError: training diverged.
    """
    final = place(stage_fingerprint(trial, data, seed, environment), cache)
    folder = final.parent
    make_folder(folder)
    with alone(folder / "lock"):  # several studies may want it at once; one trains, the others wait
        if not is_made(final):
            work = folder / "work"
            result = fit(trial, data, seed=seed, environment=environment, device=device, folder=work, on_epoch=on_epoch)
            if result.state == "diverged":
                raise WeightsError(f"The pretrain stage diverged: {result.reason}. Give it a lower `lr`.")
            if result.unsaved:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), result.unsaved)
            # both lie in the folder that is removed until they are whole, and the network comes last: it is what says
            # that the stage is made
            write_history(work / HISTORY, result)
            move(work / HISTORY, folder / HISTORY)
            move(work / "checkpoint", final)
        shutil.rmtree(folder / "work", ignore_errors=True)  # also that of a process killed after the line above
    return final
