"""The finite augmentations: those under which an image has few views, all of which can be computed beforehand."""

from dataclasses import dataclass
from itertools import product

from resnet_tl.config import FINITE_AUGMENTATIONS

PLACES = ("centre", "top_left", "top_right", "bottom_left", "bottom_right")
"""Where `five_crop` cuts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One deterministic presentation of an image."""

    place: str = "centre"
    hflip: bool = False
    vflip: bool = False

    @property
    def name(self) -> str:
        """Unique among views."""
        return self.place + "+hflip" * self.hflip + "+vflip" * self.vflip


PLAIN = View()
"""What evaluation sees."""


def finite_views(augment: tuple[str, ...]) -> tuple[View, ...] | None:
    """All views of an image under these augmentations, `PLAIN` first; None when there is no end of them."""
    if set(augment) - set(FINITE_AUGMENTATIONS):
        return None
    places = PLACES if "five_crop" in augment else PLACES[:1]
    flips = [(False, True) if name in augment else (False,) for name in ("hflip", "vflip")]
    return tuple(View(place=place, hflip=h, vflip=v) for place, h, v in product(places, *flips))
