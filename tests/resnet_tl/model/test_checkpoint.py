"""A damaged or newer model.json is an error of ours, whatever is wrong in it; an older one is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError, UserError
from resnet_tl.files import sha256_of
from resnet_tl.inference.export import rebuild
from resnet_tl.model import weights
from resnet_tl.model.checkpoint import BEFORE, read_card
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, trial


@pytest.fixture(scope="module")
def stored(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a short fit."""
    folder = tmp_path_factory.mktemp("stored")
    fit(trial(epochs=1, head="mlp_relu"), prepared, seed=0, environment=CPU, folder=folder)
    return folder / "checkpoint"


@pytest.fixture
def damaged(stored: Path, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A copy of it with other fields in its card; `…` takes one out, and those of `trial` change one by one."""

    def make(changes: dict[str, Any]) -> Path:
        content = json.loads((stored / "model.json").read_text())
        content["trial"] |= changes.pop("trial", {})
        content = {name: value for name, value in (content | changes).items() if value is not ...}
        (tmp_path / "model.json").write_text(json.dumps(content))
        (tmp_path / "model.safetensors").write_bytes((stored / "model.safetensors").read_bytes())
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": "zoom"}, "`resize`.*'zoom'"),
        ({"bits": "x"}, "`bits`.*'x'"),
        ({"bits": "8"}, "`bits`.*'8'"),
        ({"first_layer": "foo"}, "`first_layer`.*'foo'"),
        ({"mean": [float("nan"), 0.5, 0.5]}, "`mean.0`.*finite"),
        ({"std": [0.0, 0.5, 0.5]}, "`std.0`.*greater than 0"),
        ({"std": [0.5]}, "a number for each channel"),
        ({"num_outputs": 7}, "`num_outputs` must be 3"),
        ({"num_frozen": -1}, "`num_frozen`"),
        ({"classes": ["a", "a", "b"]}, "each once"),
        ({"size": [32]}, "`size.1`"),
        ({"crop": 64}, "`crop` must be at most `size`"),
        ({"resized": "yes"}, "`resized`"),
        ({"base": {"address": "x"}}, "`base` must have"),
        ({"metrics": {"val/loss": float("inf")}}, "`metrics.val/loss`"),
        ({"seed": ...}, "`seed`"),
        ({"novelty": 1}, "`novelty`"),
        ({"trial": {"novelty": 1}}, "`trial.novelty` is not an option"),
        ({"trial": {"head": "forest"}}, "`trial.head`"),
        ({"trial": {"freeze": "layer9"}}, "layer9"),
        ({"trial": {"lr": None}}, "`trial.lr`"),
        ({"format": 2}, "must have format 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(
    damaged: Callable[[dict[str, Any]], Path], changes: dict[str, Any], message: str
) -> None:
    folder = damaged(dict(changes))
    with pytest.raises(CheckpointError, match=message):
        read_card(folder)
    with pytest.raises(UserError):
        rebuild(folder)
    with pytest.raises(UserError):
        weights.load(str(folder), "resnet18")


@pytest.mark.parametrize(
    ("changes", "usable_weights"),
    [
        ({"trial": {"head": "linear"}}, True),
        ({"trial": {"head_width": 8}}, True),
        ({"trial": {"backbone": "resnet50"}}, False),
        ({"channels": 1, "mean": [0.5], "std": [0.5]}, False),
    ],
)
def test_tensors_of_another_network_than_the_card_describes_are_refused(
    damaged: Callable[[dict[str, Any]], Path], changes: dict[str, Any], usable_weights: bool
) -> None:
    folder = damaged(dict(changes))
    with pytest.raises(CheckpointError, match=r"must hold the tensors of the network that its model\.json describes"):
        rebuild(folder)
    if not usable_weights:
        with pytest.raises(UserError):
            weights.load(str(folder), "resnet18")


@pytest.mark.parametrize("name", ["backbone.layer2.0.conv1.weight", "head.out.bias"])
def test_tensors_that_are_not_finite_are_refused(
    damaged: Callable[[dict[str, Any]], Path], stored: Path, name: str
) -> None:
    folder = damaged({})
    tensors = load_file(stored / "model.safetensors")
    tensors[name] = tensors[name] * float("nan")
    save_file(tensors, folder / "model.safetensors")
    damaged_card = json.loads((folder / "model.json").read_text())
    damaged_card["tensors_sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(damaged_card))
    with pytest.raises(CheckpointError, match=rf"must hold finite numbers, .*:\n  {name}"):
        rebuild(folder)


def test_tensors_stored_in_half_are_predicted_with(damaged: Callable[[dict[str, Any]], Path], stored: Path) -> None:
    folder = damaged({})
    tensors = load_file(stored / "model.safetensors")
    save_file({n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}, folder / "model.safetensors")
    folder = damaged({"tensors_sha256": sha256_of(folder / "model.safetensors")})
    save_file({n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}, folder / "model.safetensors")
    network, card = rebuild(folder)
    assert network(torch.zeros(1, card.channels, *card.size)).isfinite().all()


def test_a_network_that_stands_on_itself_is_refused(damaged: Callable[[dict[str, Any]], Path], tmp_path: Path) -> None:
    folder = damaged({"base": {"address": str(tmp_path), "sha256": "0" * 64}})
    with pytest.raises(CheckpointError, match="names itself"):
        rebuild(folder)


@pytest.mark.parametrize("content", ["", "[]", "3", "null", '{"format": 1}', "[" * 100_000, '{"format": ', "\x00"])
def test_what_is_no_card_at_all_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"model\.json is damaged"):
        read_card(tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.json is damaged"):
        weights.identity(str(tmp_path), "resnet18")


def test_bytes_that_are_no_text_are_damaged_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"model\.json is damaged"):
        read_card(tmp_path)
    (tmp_path / "inner" / "model.json").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"model\.json cannot be read"):
        read_card(tmp_path / "inner")


def test_cards_from_before_there_was_a_choice_are_read(damaged: Callable[[dict[str, Any]], Path]) -> None:
    folder = damaged(dict.fromkeys(BEFORE, ...))
    card = read_card(folder)
    assert {name: getattr(card, name) for name in BEFORE} == BEFORE
    assert (card.size, card.classes) == ((32, 32), ("bars", "dots", "rings"))
    rebuild(folder)
