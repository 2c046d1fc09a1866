"""What a predictor says of many images, one after another: decoded in threads, computed in batches, memory flat.

Axes: B images, C channels, H W pixels, K classes.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.data.decode import BadImage, Decoded, Pixels
from resnet_tl.data.depth import settled_bits
from resnet_tl.errors import DataError
from resnet_tl.inference.pictures import Picture
from resnet_tl.inference.predictor import Predictor, Reading
from resnet_tl.metrics import Floats

AHEAD = 2 * EVAL_BATCH
"""Images that are decoded before they are needed: one batch while another is computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is said of one image."""

    log_p_K: Floats | None
    """Log probability of each class; None where the image cannot be classified, or
    the reason is `bad`."""
    bad: str | None = None
    """Why it cannot be classified."""
    pixels_CHW: Pixels | None = None
    """As it was decoded, where that was asked for."""
    largest: int | None = None
    """The largest value in the image, where it stores more than 8 bits."""


def answers(predictor: Predictor, pictures: Sequence[Picture], *, with_pixels: bool = False) -> Iterator[Answer]:
    """One answer for each picture, in their order.

    Grey values of more than 8 bits are read by the bits that the network was trained with. A network that saw none
    reads them by the rule of training, over all images of the call: as 16 bits, if they use as many. So from the first
    such image on, answers wait until one uses 16 bits, or until the end.

    Args:
        with_pixels: whether to hand over the pixels, too.
    """
    waiting: list[Answer] = []
    is_settled = predictor.reading.bits is not None
    most: int | None = None
    for answer in _computed(predictor, pictures, with_pixels=with_pixels):
        if not is_settled and answer.log_p_K is not None and answer.largest is not None:
            most = max(most or 0, answer.largest)
            is_settled = _uses_16_bits(most)
        if is_settled:
            yield from waiting
            waiting.clear()
        if is_settled or most is None:
            yield answer
        else:
            waiting.append(answer)
    too_dark = (
        "stores 16 bits, which the network was not trained on, and would come out nearly black: the largest value of "
        f"all such images here is {most} of 65535; convert them to 8 bits"
    )
    for answer in waiting:
        is_deep = answer.log_p_K is not None and answer.largest is not None
        yield replace(answer, log_p_K=None, bad=too_dark) if is_deep else answer


def _uses_16_bits(largest: int) -> bool:
    """Whether training would take values as large as this for 16 bits without being told."""
    try:
        settled_bits(None, largest)
    except DataError:
        return False
    return True


def _computed(predictor: Predictor, pictures: Sequence[Picture], *, with_pixels: bool) -> Iterator[Answer]:
    """Answers batch by batch, each image by itself."""
    batch: list[Decoded | str] = []
    num_good = 0
    for decoded in _decoded(predictor.reading, pictures):
        batch.append(decoded)
        num_good += not isinstance(decoded, str)
        if num_good == EVAL_BATCH:
            yield from _of_batch(predictor, batch, with_pixels=with_pixels)
            batch, num_good = [], 0
    yield from _of_batch(predictor, batch, with_pixels=with_pixels)


def _of_batch(predictor: Predictor, batch: Sequence[Decoded | str], *, with_pixels: bool) -> Iterator[Answer]:
    pixels = [decoded.pixels for decoded in batch if not isinstance(decoded, str)]
    rows = iter(predictor.log_p_BK(np.stack(pixels)) if pixels else ())
    for decoded in batch:
        if isinstance(decoded, str):
            yield Answer(log_p_K=None, bad=decoded)
        else:
            kept = decoded.pixels if with_pixels else None
            yield Answer(log_p_K=next(rows), pixels_CHW=kept, largest=decoded.largest)


def _decoded(reading: Reading, pictures: Sequence[Picture]) -> Iterator[Decoded | str]:
    """Images as the predictor takes them, or why there is none, in their order."""
    rules = reading.rules

    def load(picture: Picture) -> Decoded | str:
        try:
            decoded = picture.load(rules)
        except BadImage as error:
            return str(error)
        return _unsuitable(reading, decoded) or decoded

    coming = iter(pictures)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        pending: deque[Future[Decoded | str]] = deque(pool.submit(load, picture) for picture in islice(coming, AHEAD))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(load, picture) for picture in islice(coming, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _unsuitable(reading: Reading, decoded: Decoded) -> str | None:
    """Why a network cannot be shown an image."""
    if reading.bits is not None and decoded.largest is not None and decoded.largest >= 2**reading.bits:
        return f"has values up to {decoded.largest}, but the network was trained on images of {reading.bits} bits"
    height, width = decoded.pixels.shape[1:]
    if (height, width) != reading.size:
        return f"is {height}×{width}, but must be {reading.size[0]}×{reading.size[1]}"
    return None
