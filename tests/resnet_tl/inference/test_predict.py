"""New images are read as those of the training were, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import MAX_PIXELS, DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.inference.predict import classify
from resnet_tl.model.checkpoint import read_card
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, trial


def pictures(root: Path, dtype: type, top: int, count: int = 5) -> Path:
    """Two classes of grey pictures that use all values up to `top`."""
    for label, name in enumerate(("rows", "columns")):
        (root / name).mkdir(parents=True)
        for index in range(count):
            values = np.indices((16, 16))[label] * (top - 15 * index) // 15
            values[0, 0] = top
            Image.fromarray(values.astype(dtype)).save(root / name / f"{index}.png")
    return root


def trained(root: Path, folder: Path, **options: object) -> Path:
    asked = DataConfig.model_validate({"source": "image_folder", "root": str(root), "channels": 1} | options)
    fit(trial(epochs=1), prepare(asked, folder / "cache"), seed=0, environment=CPU, folder=folder)
    return folder / "checkpoint"


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.png"))


def change_card(checkpoint: Path, **values: object) -> None:
    path = checkpoint / "model.json"
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value != "remove"}))


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that saw 8 bits alone."""
    base = tmp_path_factory.mktemp("shallow")
    return trained(pictures(base / "images", np.uint8, 255), base)


def test_a_network_that_saw_8_bits_refuses_dark_images_of_16_and_reads_bright_ones(
    shallow: Path, tmp_path: Path
) -> None:
    assert read_card(shallow).bits is None
    dark = files(pictures(tmp_path / "dark", np.uint16, 4095))
    plain = files(pictures(tmp_path / "plain", np.uint8, 255))
    found = classify(shallow, [*dark[:5], *plain, *dark[5:]])
    assert found.paths == plain
    assert np.allclose(found.probabilities_NK, classify(shallow, plain).probabilities_NK, atol=1e-6)
    assert set(found.bad) == set(dark)
    assert "the largest value of all such images here is 4095 of 65535; convert" in found.bad[dark[0]]
    bright = files(pictures(tmp_path / "bright", np.uint16, 65535))
    found = classify(shallow, [*bright, *dark])
    assert not found.bad, "as in training, the largest value of all decides"


def test_images_of_more_bits_than_those_of_the_training_are_refused(tmp_path: Path) -> None:
    checkpoint = trained(pictures(tmp_path / "images", np.uint16, 4095), tmp_path, bits=12)
    assert read_card(checkpoint).bits == 12
    deeper = files(pictures(tmp_path / "deeper", np.uint16, 4096))
    same = files(tmp_path / "images")
    found = classify(checkpoint, [*deeper, *same])
    assert found.paths == same
    assert found.bad[deeper[0]] == "has values up to 4096, but the network was trained on images of 12 bits"


def test_cards_from_before_say_16_bits(shallow: Path, tmp_path: Path) -> None:
    dark = files(pictures(tmp_path / "dark", np.uint16, 4095))
    card = (shallow / "model.json").read_text()
    try:
        change_card(shallow, bits="remove", max_pixels="remove")
        assert (read_card(shallow).bits, read_card(shallow).max_pixels) == (16, MAX_PIXELS)
        assert not classify(shallow, dark).bad
    finally:
        (shallow / "model.json").write_text(card)


def test_images_are_as_large_as_training_allowed(tmp_path: Path) -> None:
    checkpoint = trained(pictures(tmp_path / "images", np.uint8, 255), tmp_path, max_pixels=300, size=16)
    assert read_card(checkpoint).max_pixels == 300
    Image.new("L", (17, 18)).save(tmp_path / "large.png")
    assert "more than data.max_pixels=300" in classify(checkpoint, [tmp_path / "large.png"]).bad[tmp_path / "large.png"]
