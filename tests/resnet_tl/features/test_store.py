"""Stored outputs of frozen prefixes: whole or not there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import PLAIN, View
from resnet_tl.errors import DataError
from resnet_tl.features.compute import as_stored, compute
from resnet_tl.features.inputs import Features
from resnet_tl.features.key import FrozenPrefix, frozen_prefix_of
from resnet_tl.features.store import abandon, begin, finish, num_rows, stored, verify
from resnet_tl.identity import Environment
from resnet_tl.model.starting_point import starting_point
from tests.conftest import CPU, trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("last", [True, False])
def test_outputs_have_the_strides_of_stored_ones(size: int, last: bool) -> None:
    wanted = (4 * size * size, 1, 4 * size, 4) if last else (4 * size * size, size * size, size, 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = torch.randn(3, 4, size, size).contiguous(memory_format=layout)
        given = as_stored(maps, last)
        assert torch.equal(given, maps)
        assert given.stride() == wanted


class TestStore:
    def test_every_field_of_the_key_counts(self, images: Prepared) -> None:
        prefix = frozen_prefix_of(trial(weights="w.pth", freeze="layer2"), images, "sha256:a", CPU)
        assert prefix is not None
        changes: dict[str, object] = {
            "weights": "sha256:b",
            "backbone": "resnet34",
            "cut": prefix.cut - 1,
            "precision": "bf16",
            "memory_format": "contiguous",
            "data": "other",
            "channels": 1,
            "first_layer": "luma",
            "input_size": (40, 40),
            "environment": Environment(device="cpu", threads=2),
        }
        assert set(changes) == {field.name for field in dataclasses.fields(FrozenPrefix)}
        keys = [dataclasses.replace(prefix, **{name: value}).key(PLAIN) for name, value in changes.items()]  # type: ignore[arg-type]
        keys += [prefix.key(PLAIN), prefix.key(View(hflip=True)), prefix.key(View(place="top_left"))]
        assert len(set(keys)) == len(keys)

    def test_library_versions_are_in_the_key(self, images: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
        prefix = frozen_prefix_of(trial(weights="w.pth", freeze="layer2"), images, "sha256:a", CPU)
        assert prefix is not None
        before = prefix.key(PLAIN)
        monkeypatch.setattr("resnet_tl.identity.version_of", lambda name: "99.0")
        assert prefix.key(PLAIN) != before

    def test_a_flipped_byte_is_found_and_the_outputs_are_removed(
        self, images: Prepared, weights: dict[str, str], tmp_path: Path
    ) -> None:
        config = trial(weights=weights["resnet18"], freeze="all", augment="hflip")
        place = materialised(config, images, tmp_path)
        verify(place)
        folder = Path(place.folders[View(hflip=True)])
        content = bytearray((folder / "outputs.bin").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "outputs.bin").write_bytes(content)
        with pytest.raises(DataError, match="must have sha256 .* were removed"):
            verify(place)
        assert not folder.exists()

    def test_unfinished_outputs_have_no_name(self, images: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
        config = trial(weights=weights["resnet18"], freeze="all")
        prefix = frozen_prefix_of(config, images, "sha256:test", CPU)
        assert prefix is not None
        making = begin([prefix], PLAIN, 5, tmp_path)
        assert not prefix.folder(PLAIN, tmp_path).exists()
        abandon(making)
        assert list((tmp_path / "features").iterdir()) == []

    def test_one_pass_emits_every_cut(self, images: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
        configs = [trial(weights=weights["resnet18"], freeze=f) for f in ("layer1", "layer3", "all")]
        prefixes = [frozen_prefix_of(config, images, "sha256:test", CPU) for config in configs]
        start = starting_point(configs[-1], images)
        network = start.network(configs[-1], 0, torch.device("cpu"))
        rows = num_rows(PLAIN, images)
        making = begin([f for f in prefixes if f], PLAIN, rows, tmp_path / "together")
        args = {"crop": images.crop, "first": 0, "end": rows}
        assert compute(making, start.images, network, start.normalisation, **args) == rows  # type: ignore[arg-type]
        finish(making, tmp_path / "together")
        for config, prefix in zip(configs, prefixes, strict=True):
            assert prefix is not None
            apart = Features(materialised(config, images, tmp_path / "apart"), start.images)
            together = Features(stored(prefix, [PLAIN], tmp_path / "together"), start.images)
            everything = np.arange(rows)
            assert torch.equal(apart.of_view(everything), together.of_view(everything))
            table = json.loads((prefix.folder(PLAIN, tmp_path / "together") / "features.json").read_text())
            assert table["prefix"]["cut"] == prefix.cut


def test_outputs_that_were_half_removed_are_made_anew(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    config = trial(weights=weights["resnet18"], freeze="all")
    place = materialised(config, images, tmp_path)
    (Path(place.folders[PLAIN]) / "features.json").unlink()
    verify(materialised(config, images, tmp_path))
    (Path(place.folders[PLAIN]) / "features.json").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        verify(place)
    assert not Path(place.folders[PLAIN]).exists()
