"""Fine-tunes one network on one data set with one seed.

    python -m resnet_tl.fit trial.backbone=resnet18 trial.optimizer=sgd trial.lr=1e-3 trial.epochs=10 \\
        trial.batch_size=32 data.source=image_folder data.root=my_images data.size=224 out=run
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from resnet_tl import cli
from resnet_tl.command import command, entry
from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.files import is_full, write_text
from resnet_tl.option_text import expand
from resnet_tl.result import Epoch, FitResult


@command(sections=cli.fit_sections, needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.fit`."""
    request = cli.fit_request(words)
    out = expand(request.out or "run", "out")
    if (out / "result.json").exists():
        raise ConfigError(f"`out` must not hold a result already, but {out / 'result.json'} is there; give out=FOLDER.")
    from resnet_tl.model.runtime import own_process
    from resnet_tl.training.seed_run import fit

    def show(epoch: Epoch) -> None:
        values = "  ".join(f"{name} {value:.4f}" for name, value in epoch.metrics.items())
        print(f"epoch {epoch.epoch}/{request.trial.num_epochs}  {values}", flush=True)

    own_process()
    cli.make_generated(request)
    result = fit(
        request.trial,
        request.data,
        seed=request.seed,
        environment=request.environment,
        device=request.device,
        folder=out,
        on_epoch=show,
    )
    # the scores first: on a full disk nothing that follows may be possible
    if result.state == "diverged":
        print(f"Diverged: {result.reason}.", flush=True)
    else:
        print(f"Best epoch {result.best_epoch} of {len(result.history)}, {result.wall_s:.1f} s")
        for name, value in result.metrics.items():
            print(f"  {name:16} {value:.4f}", flush=True)
    _write(result, out)
    if result.state == "diverged":
        return 0
    if result.unsaved:
        raise CheckpointError(
            f"The disk must have room for {result.unsaved}, but it is full: the scores are all that is left of the fit."
        )
    if request.export:
        from resnet_tl.inference.export import export

        export(out / "checkpoint", out / "checkpoint")
    print(f"Predict with:  python -m resnet_tl.predict checkpoint={out / 'checkpoint'} images=FILE_OR_FOLDER")
    return 0


def _write(result: FitResult, out: Path) -> None:
    """Stores the result, after which the training state is of no use."""
    content = asdict(result)
    del content["unsaved"], content["compact"]  # `predictions.safetensors` beside it has all of that
    try:
        write_text(out / "result.json", json.dumps(content, indent=1))
    except OSError as error:
        if result.unsaved is None or not is_full(error):  # else the reader is told already
            raise
    (out / "state.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    entry(main)
