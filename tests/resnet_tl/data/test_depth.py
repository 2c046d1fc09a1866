import numpy as np
import pytest

from resnet_tl.data.decode import to_8_bits
from resnet_tl.data.depth import BITS, settled_bits
from resnet_tl.errors import DataError


@pytest.mark.parametrize(("largest", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (16384, 16)])
def test_auto_takes_the_fewest_bits_that_hold_the_largest_value(largest: int, bits: int) -> None:
    assert settled_bits("auto", largest) == bits


def test_sixteen_bits_that_are_hardly_used_are_refused_with_the_way_out() -> None:
    assert settled_bits(None, 16384) == 16
    assert settled_bits(None, None) is None
    with pytest.raises(DataError, match=r"largest value of the whole set is 4095 of 65535.*Give data.bits=12"):
        settled_bits(None, 4095)
    assert settled_bits(16, 4095) == 16, "who says so may have dark images"


def test_bits_that_hold_too_little_or_mean_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"largest value of the whole set, 4096, but got 12; give data.bits=14"):
        settled_bits(12, 4096)
    with pytest.raises(DataError, match="no image stores more than 8 bits"):
        settled_bits(12, None)
    assert settled_bits("auto", None) is None


@pytest.mark.parametrize("bits", BITS)
def test_scaling_keeps_order_and_ends(bits: int) -> None:
    values = np.arange(2**bits)
    scaled = to_8_bits(values, bits).astype(int)
    assert (scaled[0], scaled[-1]) == (0, 255)
    assert (np.diff(scaled) >= 0).all()
    assert np.abs(scaled - values * 255 / (2**bits - 1)).max() <= 0.5
    if bits == 16:
        assert np.array_equal(scaled, (values + 128) // 257), "what it was before there was a choice"
