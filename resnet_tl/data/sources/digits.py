"""The 1,797 handwritten digits that come with scikit-learn: all of them, or two disjoint halves of the classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import decode_array
from resnet_tl.data.source import Listing, Source, rules_of

WANTED = {"digits": range(10), "digits_0_4": range(5), "digits_5_9": range(5, 10)}


class Digits:
    """`data.source: digits`, `digits_0_4` or `digits_5_9`."""

    names = tuple(WANTED)
    libraries = ("scikit-learn", "pillow")
    options = frozenset[str]()

    def files(self, config: DataConfig) -> Sequence[Path]:
        """None but the library's own."""
        return ()

    def list(self, config: DataConfig) -> Listing:
        """Reads the digits, which the library has in memory."""
        from sklearn.datasets import load_digits

        wanted = WANTED[config.source]
        digits = load_digits()
        chosen = np.isin(digits.target, list(wanted))
        pixels = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # stored as 0 … 16
        channels = config.channels or 1
        rules = rules_of(config, channels)
        return Listing(
            names=[f"digits[{index}]" for index in np.flatnonzero(chosen)],
            labels=[int(label) - wanted.start for label in digits.target[chosen]],
            given=[None] * int(chosen.sum()),
            classes=tuple(str(digit) for digit in wanted),
            channels=channels,
            dtype="uint8",
            load=lambda index: decode_array(pixels[index], rules),
        )


SOURCE: Source = Digits()
