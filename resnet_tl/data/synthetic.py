"""Generated training images beside the real ones: their names, known before a generator is trained, and their place.

    CACHE/synthetic/KEY/images.npy   the real images, and behind them the generated ones, [N, C, H, W]
    CACHE/synthetic/KEY/data.json    labels and splits of all of them, names of the generated ones; it comes last
    CACHE/synthetic/KEY/sheet.png    some of each class, real above generated

KEY names the real pixels with their splits, the generator's options and the machine's kind, but no share, so that
studies with other shares have the same images. `resnet_tl.training.generating` makes them; nothing here needs torch.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_tl.config import SyntheticConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.splits import SYNTHETIC
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment, digest

FORMAT = 1
"""Raised when a generator, its training or the way of storing its images changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """How generated images came to be, or are to."""

    real: Prepared
    """The images whose `train` the generator learns from."""
    share: float
    """Of an epoch's samples, in (0, 1)."""
    steps: int
    seed: int
    environment: Environment


def with_generated(real: Prepared, config: SyntheticConfig, *, environment: Environment, cache: Path) -> Prepared:
    """The same images, with as many generated ones of each class beside them as train has, made or yet to be made.

    Raises:
        ConfigError: the images are cut into folds or drawn by an ensemble's member, or an epoch has too few for both
            kinds.
    """
    if real.folds:
        raise ConfigError(
            "`data.synthetic` needs a `train` that is the same for all seeds, or the generator would learn from images "
            "that are test in some fold; leave it or `study.folds` out."
        )
    if real.drawn:
        raise ConfigError(
            f"`data.synthetic` needs a `train` that is the same for all seeds, but {real.drawn} draws one for each "
            "member; leave it out."
        )
    num_train = real.num_images["train"]
    num_made = round(config.share * num_train)
    if not 0 < num_made < num_train:
        raise ConfigError(
            f"`data.synthetic.share` must leave room for a generated and a real image in an epoch, but {config.share} "
            f"of {num_train} samples is {num_made}."
        )
    key = _key(real, config, environment)
    return replace(
        real,
        folder=str((cache / "synthetic" / key).absolute()),
        fingerprint=digest([real.fingerprint, {"synthetic": key, "share": config.share}]),
        pixels_name=digest([real.pixels_name, {"synthetic": key}]),
        num_images=real.num_images | {SYNTHETIC: num_train},
        table=real.table | {SYNTHETIC: real.table["train"]},
        generated=Generated(
            real=real, share=config.share, steps=config.steps, seed=config.seed, environment=environment
        ),
    )


def _key(real: Prepared, config: SyntheticConfig, environment: Environment) -> str:
    table = json.loads((Path(real.folder) / "data.json").read_text(encoding="utf-8"))
    images = [table["pixels_sha256"], table["labels"], table["splits"]]
    options = config.model_dump(mode="json", exclude={"share"})
    return digest([FORMAT, images, options, environment.identity()])


def sheet_of(data: Prepared) -> Path:
    """The picture on which real and generated images stand side by side."""
    return Path(data.folder) / "sheet.png"


def describe(data: Prepared) -> str:
    """What is generated from what, in one line."""
    made = data.generated
    assert made is not None
    height, width = data.size
    return (
        f"generator on {data.num_images['train']:,} train images of {len(data.classes)} classes at {height}×{width} "
        f"pixels, {made.steps:,} steps, seed {made.seed}"
    )
