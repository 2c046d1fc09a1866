"""Images as small pictures that stand in a page itself.

Axes: C channels, H W pixels.
"""

import base64
import io

import numpy as np
from PIL import Image

from resnet_tl.data.decode import Pixels

SIDE = 112
"""Pixels of the longer side at most."""
SMALL = 48
"""Pixels up to which an image keeps every value: JPEG would blur what little there is."""


def as_address(pixels_CHW: Pixels) -> str:
    """A picture as a `data:` address.

    Args:
        pixels_CHW: bytes, or numbers from 0 to 1; of other channels than 1 or 3 the first is shown.
    """
    if pixels_CHW.dtype != np.uint8:
        pixels_CHW = (255 * np.clip(np.nan_to_num(pixels_CHW), 0.0, 1.0)).round().astype(np.uint8)
    if len(pixels_CHW) == 3:
        picture = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)), "RGB")
    else:
        picture = Image.fromarray(np.ascontiguousarray(pixels_CHW[0]), "L")
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    kind = "png" if max(picture.size) <= SMALL else "jpeg"
    picture.save(stream, kind, **({"optimize": True} if kind == "png" else {"quality": 78, "optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
