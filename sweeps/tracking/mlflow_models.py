"""The best network of a study in MLflow's model registry, in the form that `mlflow models serve` answers with."""

import contextlib
import io
import logging
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import resnet_tl
from resnet_tl.files import move
from sweeps.tracking.credentials import one_line
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_files import local_path, own_run

BEST, CONFIRMED = "best", "confirmed"
"""Aliases of a version: the newest best network, and one whose trial also led on fresh seeds."""

WEIGHTS = "model.safetensors"
"""Of a checkpoint: nearly all of its bytes, so that a link stands in place of a copy."""

LOADER = "resnet_tl.inference.serving"

NEEDED = ("torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "pydantic", "pyyaml", "scipy")
"""Packages that a server of the network needs beside MLflow, in the versions that are installed here."""


def register(
    place: Place, study: str, network: Path, *, fingerprint: str, seed: int, is_confirmed: bool | None
) -> str | None:
    """Makes the best network of a study a version of the model with the study's name, unless it is one already.

    Args:
        network: folder of a checkpoint that needs no other file. Its `samples` stay here: they are images of test.
        fingerprint: of the trial.
        is_confirmed: whether the trial also led on fresh seeds; None where nobody knows.

    Returns:
        None, or why it was not done: no result depends on it.
    """
    if place.is_ours and not place.path.exists():
        return f"there is no {place.path}"  # MLflow would try for minutes to open it
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(place.uri)
        tags = {"fingerprint": fingerprint, "seed": str(seed)}
        known = [found for found in _versions(client, study) if tags.items() <= found.tags.items()]
        number = known[0].version if known else _add(client, study, network, tags)
        client.set_registered_model_alias(study, BEST, number)
        if is_confirmed:
            client.set_registered_model_alias(study, CONFIRMED, number)
        elif is_confirmed is False and number == client.get_registered_model(study).aliases.get(CONFIRMED):
            client.delete_registered_model_alias(study, CONFIRMED)  # another trial leads on the fresh seeds by now
    except Exception as error:  # whatever MLflow and its databases raise, the study is done
        return one_line(error)
    return None


def _versions(client: Any, study: str) -> list[Any]:
    return list(client.search_model_versions(f"name = '{study}'", max_results=1000))


def _add(client: Any, study: str, network: Path, tags: dict[str, str]) -> str:
    run = own_run(client, study)
    name = f"models/{tags['fingerprint']}-{tags['seed']}"
    local = local_path(run.info.artifact_uri)
    parent = (local / "models") if local is not None else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".") as making:
        _save(network, Path(making) / "model")
        if local is None:
            client.log_artifacts(run.info.run_id, str(Path(making) / "model"), name)
        elif not (local / name).exists():
            move(Path(making) / "model", local / name)
    if not client.search_registered_models(f"name = '{study}'"):
        client.create_registered_model(study)
    # an address by the run, not by a folder, so that it stays right when `run.out` is moved
    source = f"runs:/{run.info.run_id}/{name}"
    made = client.create_model_version(study, source, run.info.run_id, tags=tags)
    return str(made.version)


def _save(network: Path, destination: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Map, Schema
    from PIL import Image

    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "class"),
                ColSpec(DataType.double, "probability"),
                ColSpec(Map(DataType.double), "probabilities"),
            ]
        ),
    )
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(picture, "PNG")
    with tempfile.TemporaryDirectory(prefix="network-") as folder:
        shutil.copytree(network, Path(folder) / "network", ignore=shutil.ignore_patterns("samples", "origin.txt"))
        mlflow.pyfunc.save_model(
            str(destination),
            loader_module=LOADER,
            data_path=str(Path(folder) / "network"),
            code_paths=[str(Path(resnet_tl.__file__).parent)],
            signature=signature,
            input_example=pd.DataFrame({"image": [picture.getvalue()]}),
            # without the label of a build, `+cpu` say, which the index of packages does not know
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in ("mlflow", *NEEDED)],
        )
    stored = destination / "data" / "network" / WEIGHTS
    with contextlib.suppress(OSError):  # another file system, where a copy it stays
        aside = stored.with_suffix(".link")
        aside.hardlink_to(network / WEIGHTS)
        aside.replace(stored)
