"""One fine-tune of ours by itself, on two threads: `python -m benchmarks.alone EPOCHS` in the work folder.

Prints images trained a second: validation after every epoch and final scores included, and without.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def main() -> None:
    """Trains one network."""
    from resnet_tl.config import DataConfig, TrialConfig
    from resnet_tl.data.prepare import prepare
    from resnet_tl.identity import Environment
    from resnet_tl.model.runtime import own_process
    from resnet_tl.training.loop import EpochScores
    from resnet_tl.training.network_learner import NetworkLearner
    from resnet_tl.training.seed_run import fit

    own_process()
    epochs = int(sys.argv[1])
    spent: list[float] = []
    train_epoch = NetworkLearner.train_epoch

    def timed(learner: NetworkLearner, epochs: Mapping[int, int]) -> EpochScores:
        started = time.perf_counter()
        trained = train_epoch(learner, epochs)
        spent.append(time.perf_counter() - started)
        return trained

    NetworkLearner.train_epoch = timed  # type: ignore[method-assign]
    data = prepare(DataConfig(source="image_folder", root="images", size=64, skip_bad=True), Path("cache"))
    trial = TrialConfig(
        backbone="resnet18", weights="backbone.pth", optimizer="sgd", lr=1e-3, epochs=epochs, batch_size=32,
        precision="bf16",
    )  # fmt: skip
    result = fit(trial, data, seed=0, environment=Environment(device="cpu", threads=2))
    train = data.num_images["train"]
    # the first epoch chooses kernels, as the bare loop's unmeasured one does
    print(json.dumps([epochs * train / result.wall_s, (epochs - 1) * train / sum(spent[1:])]))


if __name__ == "__main__":
    main()
