"""`imagenet`: what is published of the starting weights."""

from collections.abc import Sequence

from resnet_tl.architecture import BACKBONES
from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.imagenet import Options
from sweeps.reporting.results import Results, Trial, distinct
from sweeps.reporting.table import Table


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """Read from torchvision's weight metadata."""
    import torchvision.models

    if not all(trial.values.get("backbone") in BACKBONES for trial in trials):
        raise ConfigError(f"The table imagenet needs a column `backbone` with values of {', '.join(BACKBONES)}.")
    rows = []
    for backbone in distinct(trial.values["backbone"] for trial in trials):
        used = {_version(trial) for trial in trials if trial.values["backbone"] == backbone}
        for version in torchvision.models.get_model_weights(backbone):
            if version.name not in used:
                continue
            meta = version.meta
            scores = meta["_metrics"]["ImageNet-1K"]
            rows.append(
                (
                    backbone.removeprefix("resnet"),
                    f"v.{version.name[-1]}",
                    f"{scores['acc@1']:.2f}%",
                    f"{scores['acc@5']:.2f}%",
                    f"{meta['num_params'] / 1e6:.1f}M",
                    f"{meta['_file_size']:#.3g} Mo".replace(". ", " "),
                )
            )
    if not rows:
        raise ConfigError("The table imagenet needs trials that start from ImageNet weights, but none does.")
    return [
        Table(
            title="Published ImageNet results of the starting weights",
            header=("ResNet", "Weights", "Acc @1", "Acc @5", "#Params", "Size"),
            rows=tuple(rows),
            notes=("From torchvision's weight metadata.",),
        )
    ]


def _version(trial: Trial) -> str:
    """The name of the weights; `imagenet`, the default, means another version for each depth."""
    weights = str(trial.values.get("weights", "imagenet"))
    versions = BACKBONES[trial.values["backbone"]].imagenet_versions
    return versions[-1] if weights == "imagenet" and versions else weights
