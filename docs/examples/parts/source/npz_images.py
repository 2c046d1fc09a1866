"""`data.source=npz data.root=FILE`: images [N, H, W] or [N, H, W, 3] and labels [N] that `numpy.savez` wrote."""

import numpy as np

from resnet_tl.data.decode import decode_array
from resnet_tl.data.source import Listing, root_of, rules_of


class Npz:
    names = ("npz",)
    libraries = ("numpy", "pillow")  # whose versions decide what pixels come out
    options = frozenset()

    def files(self, config):
        return [root_of(config)]

    def list(self, config):
        stored = np.load(root_of(config))
        images, labels = stored["images"], stored["labels"].tolist()
        channels = config.channels or (3 if images.ndim == 4 else 1)
        rules = rules_of(config, channels)
        return Listing(
            names=[f"image {number}" for number in range(len(labels))],
            labels=labels,
            given=[None] * len(labels),  # no splits of its own
            classes=tuple(f"class {label}" for label in range(max(labels) + 1)),
            channels=channels,
            dtype="uint8",
            load=lambda number: decode_array(images[number], rules),
        )


SOURCE = Npz()
