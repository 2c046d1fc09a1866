"""The best network in MLflow's registry."""

import shutil
from pathlib import Path

import pytest

from resnet_tl.config import DataConfig
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_models import register
from tests.conftest import write_images
from tests.resnet_tl.trained import train
from tests.sweeps.tracking.test_tracker import mlflow, told


def aliases(place: Place) -> dict[str, int]:
    """Versions of the model `s`, by alias; a server says them as text, a database as numbers."""
    from mlflow.tracking import MlflowClient

    found = MlflowClient(place.uri).get_registered_model("s").aliases
    return {alias: int(version) for alias, version in found.items()}


@pytest.mark.slow
def test_the_best_network_is_one_version_that_answers_also_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd
    from mlflow import pyfunc, set_tracking_uri

    root = write_images(tmp_path / "images", count=10)
    network = train(tmp_path, DataConfig(source="image_folder", root=str(root), size=32)).checkpoint
    (network / "samples").mkdir()
    shutil.copy(root / "bars" / "00.png", network / "samples")
    out = tmp_path / "out"
    assert register(
        Place(out=out, cache=tmp_path, given=None), "s", network, fingerprint="f", seed=0, is_confirmed=False
    )
    study = told(mlflow(out, tmp_path / "cache"), out)
    study.run(0)
    study.close()
    place = Place(out=out, cache=tmp_path / "cache", given=None)
    for is_confirmed in (False, False, True):
        why = register(place, "s", network, fingerprint="f", seed=0, is_confirmed=is_confirmed)
        assert why is None
        assert aliases(place) == ({"best": 1, "confirmed": 1} if is_confirmed else {"best": 1})
    assert register(place, "s", network, fingerprint="g", seed=1, is_confirmed=False) is None
    assert aliases(place) == {"best": 2, "confirmed": 1}

    shutil.copytree(out, tmp_path / "moved")
    shutil.rmtree(out / "mlruns" / "artifacts")
    moved = Place(out=tmp_path / "moved", cache=tmp_path / "cache", given=None)
    moved.relocate()
    set_tracking_uri(moved.uri)
    monkeypatch.chdir(tmp_path)
    try:
        loaded = pyfunc.load_model("models:/s@confirmed")
        example = loaded.input_example
        assert example is not None
        (answer,) = loaded.predict(pd.DataFrame({"image": [(root / "bars" / "01.png").read_bytes()]}))
    finally:
        set_tracking_uri(None)
    assert answer["class"] in ("bars", "dots", "rings")
    assert [column.name for column in loaded.metadata.signature.outputs] == ["class", "probability", "probabilities"]
