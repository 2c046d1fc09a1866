"""Generated training images, made once and kept in the cache; see `resnet_tl.data.synthetic` for where and what.

What a killed process had begun is begun again: a generator takes minutes.

Axes: C channels, H W pixels, N images.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from resnet_tl.data.cache import alone
from resnet_tl.data.decoding import store
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.data.splits import SYNTHETIC
from resnet_tl.data.synthetic import Generated, sheet_of
from resnet_tl.files import make_folder, move, sync
from resnet_tl.heartbeat import beat
from resnet_tl.model.runtime import computing
from resnet_tl.training.generator import fitted, generate, shrunk, train_generator

AT_A_TIME = 256
"""Images that are copied or resized in one go."""
CELL, GAP, LINE = 96, 4, 16
"""Pixels of a thumbnail on the sheet, between them, and of a line of text."""
COLUMNS, MOST_CLASSES = 10, 20

OnStep = Callable[[int, float], None]
"""Told a step of the generator's training, from 1 up, and the discriminator's loss."""


def make_generated(data: Prepared, *, device: str, on_step: OnStep | None = None) -> None:
    """Trains the generator and stores its images, or finds that they are there.

    Args:
        data: from `synthetic.with_generated`.
        device: the very one, `cuda:1` say.

    Raises:
        DataError: training diverged.
    """
    made = data.generated
    assert made is not None
    folder = Path(data.folder)
    make_folder(folder)
    with alone(folder / "lock"):  # several studies may want them at once; one makes them, the others wait
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        if data.is_made:
            return
        work.mkdir()
        images = made.real.load()
        with computing(device=device, threads=made.environment.threads):
            _make(images, data, made, work, torch.device(device), on_step)
        for name in ("images.npy", sheet_of(data).name, "data.json"):  # the last one says that all is there
            sync(work / name)
            move(work / name, folder / name)
        work.rmdir()


def _make(
    images: Images, data: Prepared, made: Generated, work: Path, device: torch.device, on_step: OnStep | None
) -> None:
    train = images.splits["train"]
    labels_N = np.sort(images.labels_N[train])
    generator = train_generator(
        shrunk(images.pixels_NCHW, train),
        images.labels_N[train],
        num_classes=len(data.classes),
        steps=made.steps,
        seed=made.seed,
        device=device,
        on_step=on_step,
    )
    small_NCHW = generate(generator, labels_N, seed=made.seed, device=device)
    with (work / "raw").open("wb") as stream:
        for part_NCHW in (*_parts(images.pixels_NCHW), *_resized(small_NCHW, images.pixels_NCHW)):
            beat()
            stream.write(part_NCHW.tobytes())
    shape = (len(images.labels_N) + len(labels_N), *images.pixels_NCHW.shape[1:])
    sha256 = store(work / "raw", work / "images.npy", shape, images.pixels_NCHW.dtype.str)
    real = json.loads((Path(made.real.folder) / "data.json").read_text(encoding="utf-8"))
    numbers = [int(number) for count in np.bincount(labels_N) for number in range(count)]
    table = {
        "pixels_sha256": sha256,
        "labels": [*real["labels"], *labels_N.tolist()],
        "splits": [*real["splits"], *[SYNTHETIC] * len(labels_N)],
        "generated": [
            f"{SYNTHETIC}/{data.classes[label]}/{number:04}" for label, number in zip(labels_N, numbers, strict=True)
        ],
    }
    pixels_NCHW = np.load(work / "images.npy", mmap_mode="r")
    _draw_sheet(pixels_NCHW, np.array(table["labels"]), (train, len(images.labels_N)), data.classes).save(
        work / sheet_of(data).name
    )
    (work / "data.json").write_text(json.dumps(table), encoding="utf-8")


def _parts(pixels_NCHW: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    for start in range(0, len(pixels_NCHW), AT_A_TIME):
        yield np.ascontiguousarray(pixels_NCHW[start : start + AT_A_TIME])


def _resized(small_NCHW: NDArray[np.float32], like_NCHW: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """Generated images at the size and of the type of stored ones."""
    height, width = like_NCHW.shape[2:]
    for part_NCHW in _parts(small_NCHW):
        unit_NCHW = fitted(torch.from_numpy(part_NCHW), (height, width))
        if like_NCHW.dtype == np.uint8:
            yield (unit_NCHW * 255).round().to(torch.uint8).numpy()
        else:
            yield unit_NCHW.numpy().astype(like_NCHW.dtype)


def _draw_sheet(
    pixels_NCHW: NDArray[np.generic],
    labels_N: NDArray[np.int64],
    sides: tuple[NDArray[np.int64], int],
    classes: tuple[str, ...],
) -> Image.Image:
    """The first images of each class, real ones above generated ones.

    Args:
        sides: numbers of the images of train, and the number of the first generated image.
    """
    train, first = sides
    shown = classes[:MOST_CLASSES]
    down = 2 * (CELL + GAP) + LINE
    page = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, len(shown) * down + GAP), "white")
    draw = ImageDraw.Draw(page)
    made = np.arange(first, len(labels_N))
    for label, name in enumerate(shown):
        top = GAP + label * down
        said = f"{' '.join(name.split())[:60]}: real images of train above, generated ones below"
        draw.text((GAP, top), said, fill="black")
        for row, index in enumerate((train, made)):
            for column, number in enumerate(index[labels_N[index] == label][:COLUMNS]):
                place = (GAP + column * (CELL + GAP), top + LINE + row * (CELL + GAP))
                page.paste(_thumbnail(pixels_NCHW[number]), place)
    return page


def _thumbnail(pixels_CHW: NDArray[np.generic]) -> Image.Image:
    unit = pixels_CHW if pixels_CHW.dtype == np.uint8 else np.round(pixels_CHW.astype(np.float64) * 255)
    planes_HWC = np.ascontiguousarray(unit.astype(np.uint8).transpose(1, 2, 0))
    image = Image.fromarray(planes_HWC if planes_HWC.shape[2] == 3 else planes_HWC[:, :, 0]).convert("RGB")
    return image.resize((CELL, CELL), Image.Resampling.BILINEAR)
