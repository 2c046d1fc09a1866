"""Trains a network from nothing, once, as starting weights for fine-tuning elsewhere.

    python -m resnet_tl.pretrain trial.backbone=resnet18 trial.weights=none trial.optimizer=sgd trial.lr=1e-2 \\
        trial.epochs=10 trial.batch_size=32 data.source=image_folder data.root=other_images data.size=64 out=weights

The network is stored under its fingerprint in the cache, so that asking again finds it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from resnet_tl import cli
from resnet_tl.command import command, entry
from resnet_tl.result import Epoch


@command(sections=cli.fit_sections, needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.pretrain`."""
    request = cli.fit_request(words)
    from resnet_tl.model.runtime import own_process
    from resnet_tl.training.pretraining import pretrain

    def show(epoch: Epoch) -> None:
        print(
            f"epoch {epoch.epoch}/{request.trial.num_epochs}  val accuracy {epoch.metrics['val/accuracy']:.4f}",
            flush=True,
        )

    own_process()
    cli.make_generated(request)
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
    entry(main)
