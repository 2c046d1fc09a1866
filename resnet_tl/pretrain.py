"""Trains a network from nothing, once, as starting weights for fine-tuning elsewhere.

    python -m resnet_tl.pretrain trial.backbone=resnet18 trial.weights=none trial.optimizer=sgd trial.lr=1e-2 \\
        trial.epochs=10 trial.batch_size=32 data.source=image_folder data.root=other_images data.size=64 out=weights

The network is stored under its fingerprint in the cache, so that asking again finds it.
"""

import shutil
from pathlib import Path

from filelock import FileLock

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import WeightsError
from resnet_tl.fingerprint import Environment
from resnet_tl.fit import OnEpoch, fit
from resnet_tl.stage import place, stage_fingerprint


def pretrain(
    trial: TrialConfig,
    data: Prepared,
    *,
    seed: int,
    environment: Environment,
    cache: Path,
    device: str | None = None,
    on_epoch: OnEpoch | None = None,
) -> Path:
    """Trains the network, or finds it trained.

    Returns:
        Its checkpoint folder.

    Raises:
        WeightsError: training diverged.
    """
    final = place(stage_fingerprint(trial, data, seed, environment), cache)
    folder = final.parent
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):  # several studies may want it at once; one trains, the others wait
        if not (final / "model.json").exists():
            work = folder / "work"
            result = fit(trial, data, seed=seed, environment=environment, device=device, folder=work, on_epoch=on_epoch)
            if result.state == "diverged":
                raise WeightsError(f"The pretrain stage diverged: {result.reason}. Give it a lower `lr`.")
            (work / "checkpoint").rename(final)
            shutil.rmtree(work)
    return final


def main() -> int:
    """`python -m resnet_tl.pretrain`."""
    from resnet_tl import cli
    from resnet_tl.result import Epoch

    request = cli.fit_request("pretrain", __doc__ or "")

    def show(epoch: Epoch) -> None:
        print(
            f"epoch {epoch.epoch}/{request.trial.epochs}  val accuracy {epoch.metrics['val/accuracy']:.4f}",
            flush=True,
        )

    final = pretrain(
        request.trial,
        request.data,
        seed=request.seed,
        environment=request.environment,
        device=request.device,
        cache=request.cache,
        on_epoch=show,
    )
    if request.out:
        shutil.copytree(final, request.out, dirs_exist_ok=True)
        final = Path(request.out)
    print(f"Start from it with:  trial.weights={final}")
    return 0


if __name__ == "__main__":
    from resnet_tl.cli import entry

    entry(main)
