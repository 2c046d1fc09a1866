"""What tests of training and of stored features share: weights, images, and features as the engine stores them."""

from pathlib import Path

import pytest
import torch

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.views import finite_views
from resnet_tl.features.compute import compute
from resnet_tl.features.key import frozen_prefix_of
from resnet_tl.features.store import Stored, begin, finish, num_rows, stored
from resnet_tl.identity import Environment
from resnet_tl.model.starting_point import starting_point
from tests.conftest import CPU, write_images
from tests.resnet_tl.trained import Trained, train


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A state dict of each backbone, with BatchNorm statistics that are not those of a fresh network."""
    import torchvision.models

    folder = tmp_path_factory.mktemp("weights")

    class Made(dict[str, str]):
        def __missing__(self, name: str) -> str:
            torch.manual_seed(0)
            network = getattr(torchvision.models, name)()
            for buffer in network.buffers():
                if buffer.is_floating_point():
                    buffer += 0.1 * torch.rand_like(buffer)
            self[name] = str(folder / f"{name}.pth")
            torch.save(network.state_dict(), self[name])
            return self[name]

    return Made()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Three classes of forty drawings, cropped from 40 to 32 pixels."""
    base = tmp_path_factory.mktemp("images")
    root = write_images(base / "images", count=40, size=40)
    return prepare(DataConfig(source="image_folder", root=str(root), size=40, crop=32), base / "cache")


def materialised(config: TrialConfig, data: Prepared, cache: Path, environment: Environment = CPU) -> Stored:
    """Computes what a trial can reuse, as the engine does."""
    prefix = frozen_prefix_of(config, data, "sha256:test", environment)
    views = finite_views(config.augment)
    assert prefix is not None
    assert views is not None
    start = starting_point(config, data)
    network = start.network(config, 0, torch.device(environment.device))
    for view in views:
        making = begin([prefix], view, num_rows(view, data), cache)
        half = making.rows // 64 * 32
        passes = [
            compute(making, start.images, network, start.normalisation, crop=data.crop, first=first, end=end)
            for first, end in ((0, half), (half, making.rows))
        ]
        assert sum(passes) == making.rows
        finish(making, cache)
    return stored(prefix, views, cache)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three classes, images fitted to 36 and cropped to 32 pixels."""
    base = tmp_path_factory.mktemp("three")
    root = write_images(base / "images", count=20, size=40)
    return train(base, DataConfig(source="image_folder", root=str(root), size=36, crop=32))


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two classes of grey images on one logit; a multi-layer head."""
    base = tmp_path_factory.mktemp("two")
    root = write_images(base / "images", classes=("bars", "dots"), count=20)
    config = DataConfig(source="image_folder", root=str(root), size=32, channels=1)
    return train(base, config, head="mlp_relu")
