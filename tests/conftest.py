"""Small real inputs that tests share: image files on disk, a prepared set, a fast trial."""

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.device import REPEATABLE_CUBLAS, num_gpus
from resnet_tl.identity import Environment
from resnet_tl.result import FitResult
from tests.postgres import PostgresServer, start_server


def write_images(
    root: Path, classes: tuple[str, ...] = ("bars", "dots", "rings"), count: int = 12, size: int = 32
) -> Path:
    """A folder of learnable drawings: each class has a pattern of its own under noise."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[0:size, 0:size]
    patterns = [
        rows % 8 < 4,
        (rows % 8 < 4) & (columns % 8 < 4),
        (np.hypot(rows - size / 2, columns - size / 2) % 8) < 4,
    ]
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise = draws.integers(0, 90, (size, size, 3))
            pixels = np.clip(noise + 150 * patterns[label % 3][:, :, None], 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:02}.png")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of twelve 32-pixel drawings."""
    return write_images(tmp_path / "images")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The same, prepared."""
    base = tmp_path_factory.mktemp("prepared")
    root = write_images(base / "images")
    return prepare(DataConfig(source="image_folder", root=str(root), size=32), base / "cache")


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two classes of grey drawings."""
    base = tmp_path_factory.mktemp("binary")
    root = write_images(base / "images", classes=("bars", "dots"), count=10)
    return prepare(DataConfig(source="image_folder", root=str(root), size=32, channels=1), base / "cache")


CPU = Environment(device="cpu", threads=1)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def environment(request: pytest.FixtureRequest) -> Environment:
    """Of a CPU, by which tests written for GPUs are known to work, and of a GPU where there is one."""
    if request.param == "cpu":
        return CPU
    if not num_gpus():
        pytest.skip("torch finds no CUDA device here")
    os.environ.setdefault(*REPEATABLE_CUBLAS)
    return Environment(device="cuda", threads=1)


def trial(**changes: object) -> TrialConfig:
    """A quick trial."""
    values = {
        "backbone": "resnet18", "weights": "none", "optimizer": "sgd", "lr": 0.01, "epochs": 2, "batch_size": 8,
    }  # fmt: skip
    return TrialConfig.model_validate(values | changes)


def numbers(result: FitResult) -> object:
    """All but the time it took."""
    return dataclasses.replace(
        result, wall_s=0, history=[dataclasses.replace(epoch, wall_s=0) for epoch in result.history]
    )


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `python -m …` in an empty folder, as a user would."""

    def call(*words: str, cwd: Path | None = None, **kwargs: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return call


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of these tests alone."""
    found = start_server()
    if isinstance(found, str):
        pytest.skip(found)
    yield found
    found.remove()


_NUMBERS = itertools.count()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The address, with its login, of an empty database."""
    return postgres_server.new_database(f"t{next(_NUMBERS)}")
