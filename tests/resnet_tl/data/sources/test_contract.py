"""What every source promises, tried on each with small inputs of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.config import DataConfig
from resnet_tl.data import sources
from resnet_tl.data.patches.make import make_patches
from resnet_tl.data.prepare import prepare
from resnet_tl.data.source import Source
from resnet_tl.data.sources import SOURCES, source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import ConfigError, DataError
from tests.conftest import write_images
from tests.resnet_tl.data.patches.conftest import options, write_marked


def an_image_folder(root: Path) -> DataConfig:
    write_images(root, count=8)
    return DataConfig(source="image_folder", root=str(root))


def arrays(root: Path) -> DataConfig:
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16), dtype=np.uint8)
    np.save(root / "x_train.npy", pixels)
    np.save(root / "y_train.npy", np.arange(24) % 3)
    return DataConfig(source="arrays", root=str(root))


def patches(root: Path) -> DataConfig:
    write_marked(root, count=8)
    make_patches(options(root, split=False))
    return DataConfig(source="patches", root=str(root / "out"))


def rotations(root: Path) -> DataConfig:
    write_images(root, count=4)
    return DataConfig(source="rotations", root=str(root), size=16)


def digits(root: Path) -> DataConfig:
    return DataConfig(source="digits_0_4")


def torchvision(root: Path) -> DataConfig:
    """MNIST, whose files are short to write and need no download."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    for prefix in ("train", "t10k"):
        header = np.array([0x803, 60, 28, 28], dtype=">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = np.array([0x801, 60], dtype=">i4").tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return DataConfig(source="torchvision.MNIST", root=str(root))


MADE: dict[str, Callable[[Path], DataConfig]] = {
    "image_folder": an_image_folder,
    "arrays": arrays,
    "digits": digits,
    "patches": patches,
    "rotations": rotations,
    "torchvision": torchvision,
}
"""A small input for each module of `resnet_tl.data.sources`."""


@pytest.fixture(params=SOURCES, ids=lambda source: type(source).__module__.rpartition(".")[2])
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.param
    return found


@pytest.fixture
def config(source: Source, tmp_path: Path) -> DataConfig:
    return MADE[type(source).__module__.rpartition(".")[2]](tmp_path / "input")


def test_every_module_of_the_folder_is_a_source_and_is_tried_here() -> None:
    modules = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(MADE)
    assert len(SOURCES) == len(modules)


def test_a_source_answers_to_its_names_alone(source: Source, config: DataConfig) -> None:
    for name in source.names:
        assert source_of(config.model_copy(update={"source": name})) is source
        with pytest.raises(DataError, match="`data.source` must name a source"):
            source_of(config.model_copy(update={"source": f"un{name}"}))


def test_the_listing_fits_together(source: Source, config: DataConfig) -> None:
    listing = source.list(config)
    count = len(listing.names)
    assert count == len(listing.labels) == len(listing.given) == len(set(listing.names))
    assert set(listing.labels) == set(range(len(listing.classes)))
    assert set(listing.given) <= {None, *SPLITS}
    assert not listing.problems
    assert not listing.bad


def test_pixels_have_the_stated_type_and_channels_and_come_again(source: Source, config: DataConfig) -> None:
    for channels in (None, 1, 3):
        asked = config.model_copy(update={"channels": channels, "size": 20})
        first, again = source.list(asked), source.list(asked)
        assert first.channels == (channels or first.channels)
        for index in (0, len(first.names) - 1):
            pixels = first.load(index).pixels
            assert (pixels.shape, pixels.dtype) == ((first.channels, 20, 20), first.dtype)
            assert np.array_equal(pixels, again.load(index).pixels)


def test_the_images_can_be_prepared_and_are_found_again(source: Source, config: DataConfig, tmp_path: Path) -> None:
    made = prepare(config, tmp_path / "cache")
    assert prepare(config, tmp_path / "cache") == made
    assert sum(made.num_images.values()) == len(source.list(config).names)


def test_a_changed_file_is_noticed(source: Source, config: DataConfig) -> None:
    files = list(source.files(config))
    assert bool(files) == (config.root is not None)
    for path in files:
        assert path.exists()


def test_a_missing_folder_is_a_clear_error(source: Source, config: DataConfig, tmp_path: Path) -> None:
    if config.root is None:
        return
    with pytest.raises(DataError, match=r"`data.root` must be given"):
        source.list(config.model_copy(update={"root": None}))
    gone = config.model_copy(update={"root": str(tmp_path / "nowhere")})
    assert source.files(gone) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("group_key", "(.)"),
        ("group_missing", "own"),
        ("labels", "labels.csv"),
        ("bits", 12),
        ("max_pixels", 9),
        ("skip_flagged", True),
    ],
)
def test_an_option_that_a_source_does_not_know_is_refused(
    source: Source, config: DataConfig, option: str, value: object
) -> None:
    asked = config.model_copy(update={option: value})
    if option in source.options:
        assert source_of(asked) is source
    else:
        with pytest.raises(ConfigError, match=rf"`data.{option}` works with data.source=.* only, but got"):
            source_of(asked)
