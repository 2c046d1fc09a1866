"""Fine-tunes one pretrained ResNet on images, with one seed, and remembers how.

    from resnet_tl import DataConfig, Environment, TrialConfig, evaluate, fit, predict, prepare

Knows torch and images; knows nothing of studies, Optuna, MLflow or databases. Importing this package loads neither
torch nor torchvision, so that planning and reporting stay quick: its names are loaded when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_tl.config import DataConfig as DataConfig
    from resnet_tl.config import TrialConfig as TrialConfig
    from resnet_tl.data.prepare import prepare as prepare
    from resnet_tl.identity import Environment as Environment
    from resnet_tl.inference.evaluate import evaluate as evaluate
    from resnet_tl.inference.predict import predict as predict
    from resnet_tl.training.seed_run import fit as fit

_HOMES = {
    "DataConfig": "resnet_tl.config",
    "Environment": "resnet_tl.identity",
    "TrialConfig": "resnet_tl.config",
    "evaluate": "resnet_tl.inference.evaluate",
    "fit": "resnet_tl.training.seed_run",
    "predict": "resnet_tl.inference.predict",
    "prepare": "resnet_tl.data.prepare",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("resnet-sweeps")
        except PackageNotFoundError:  # a source tree that is not installed
            return "0+unknown"
    # `resnet_tl.fit`, `predict` and `evaluate` are command lines too; if somebody imported one, it would stand here in
    # place of the function, so nobody does
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
