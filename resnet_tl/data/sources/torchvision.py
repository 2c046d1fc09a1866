"""Data sets of torchvision, by name; it downloads them where it can."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import Decoded, decode
from resnet_tl.data.finder import everything_below
from resnet_tl.data.source import Listing, Source, root_of, rules_of
from resnet_tl.errors import DataError
from resnet_tl.option_text import nearest


class Torchvision:
    """`data.source: torchvision.CIFAR10` and the like."""

    names = ("torchvision.NAME",)
    libraries = ("torchvision", "pillow")
    options = frozenset({"bits"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder, which torchvision makes when it downloads."""
        return everything_below(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Opens the splits that the data set has, and reads their labels."""
        return _torchvision(config, root_of(config))


def _torchvision(config: DataConfig, root: Path) -> Listing:
    import inspect

    import torchvision.datasets

    name = config.source.removeprefix("torchvision.")
    if name not in torchvision.datasets.__all__:
        raise DataError(
            f"`data.source` must name a torchvision data set, but got {name!r}; "
            f"{nearest(name, torchvision.datasets.__all__)}"
        )
    cls = getattr(torchvision.datasets, name)
    ways: list[tuple[str | None, dict[str, Any]]]
    accepted = inspect.signature(cls.__init__).parameters
    parts: list[tuple[str | None, Any]] = []
    if "train" in accepted:
        ways = [("train", {"train": True}), ("test", {"train": False})]
    elif "split" in accepted:
        ways = [("train", {"split": "train"}), ("val", {"split": "val"}), ("test", {"split": "test"})]
        ways[1:1] = [("train", {"split": "trainval"}), ("val", {"split": "valid"})]
    else:
        ways = [(None, {})]
    done: set[str | None] = set()
    for split, how in ways:
        if split in done:
            continue
        arguments: dict[str, Any] = dict(how, **({"download": True} if "download" in accepted else {}))
        if "root" in accepted:
            arguments["root"] = str(root)
        try:
            parts.append((split, cls(**arguments)))
            done.add(split)
        except ValueError as error:
            if "split" not in str(error):
                raise DataError(f"torchvision.{name}({how}): {error}") from None
        except (OSError, RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
            raise DataError(
                f"torchvision.{name} cannot be had in {root}: {error}. If this machine is offline, download it "
                "elsewhere and give the folder as data.root."
            ) from None
    if "train" not in done and None not in done:
        raise DataError(f"torchvision.{name} has no split called train, so it cannot be used here.")
    labels: list[int] = []
    for _, part in parts:
        for index in range(len(part)):
            try:
                image, label = part[index]
            except NotImplementedError:
                raise DataError(f"torchvision.{name} is no data set of its own.") from None
            if not isinstance(label, int | np.integer) or not isinstance(image, Image.Image):
                raise DataError(
                    f"torchvision.{name} must give (image, class) pairs; this one is not for classification."
                )
            labels.append(int(label))
    present = sorted(set(labels))
    if present != list(range(len(present))):
        raise DataError(f"Labels of torchvision.{name} must be 0 … K-1, but got {present[:20]}.")
    class_names = getattr(parts[0][1], "classes", None) or present
    bounds = np.cumsum([0] + [len(part) for _, part in parts])
    channels = config.channels or (1 if parts[0][1][0][0].mode in ("L", "1", "I;16") else 3)
    rules = rules_of(config, channels)

    def load(index: int) -> Decoded:
        which = int(np.searchsorted(bounds, index, side="right")) - 1
        return decode(parts[which][1][index - int(bounds[which])][0], rules)

    return Listing(
        names=[f"{name}/{split or 'all'}[{index}]" for split, part in parts for index in range(len(part))],
        labels=labels,
        given=[split for split, part in parts for _ in range(len(part))],
        classes=tuple(str(c) for c in class_names[: len(present)]),
        channels=channels,
        dtype="uint8",
        load=load,
        parallel=False,
    )


SOURCE: Source = Torchvision()
