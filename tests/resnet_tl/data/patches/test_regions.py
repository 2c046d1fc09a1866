import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.data.patches.regions import Square, regions_of, square_around
from tests.resnet_tl.data.patches.conftest import spot


@pytest.mark.parametrize(("size", "x"), [(8, 16), (9, 16), (16, 12)])
def test_a_centroid_comes_to_lie_in_the_middle_column(size: int, x: int) -> None:
    (region,) = regions_of(spot(20, 15, side=1) > 0, per_region=False)
    square = square_around(region, width=48, height=40, size=size)
    assert square == Square(x=x, y=x - 5, size=size)
    assert 20 - square.x == size // 2


@given(st.integers(0, 45), st.integers(0, 37), st.integers(8, 40), st.integers(1, 3))
def test_a_square_lies_inside_and_says_when_it_was_moved(x: int, y: int, size: int, side: int) -> None:
    (region,) = regions_of(spot(x, y, side=side) > 0, per_region=False)
    square = square_around(region, width=48, height=40, size=size)
    assert 0 <= square.x <= 48 - size
    assert 0 <= square.y <= 40 - size
    starts = [math.ceil(Fraction(2 * place + side - 1 - size, 2)) for place in (x, y)]
    assert square.x == min(max(starts[0], 0), 48 - size)
    assert square.y == min(max(starts[1], 0), 40 - size)
    assert square.clamped == ([square.x, square.y] != starts)


def test_one_region_for_an_image_or_one_for_each_connected_part() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:4, 2:4] = True
    mask[4, 4] = True  # touches at a corner
    mask[10:15, 20:27] = True
    (whole,) = regions_of(mask, per_region=False)
    assert (whole.num_pixels, whole.width, whole.height) == (40, 25, 13)
    small, large = regions_of(mask, per_region=True)
    assert (small.num_pixels, small.sum_x, small.sum_y) == (5, 2 * 2 + 2 * 3 + 4, 2 * 2 + 2 * 3 + 4)
    assert (large.num_pixels, large.sum_x, large.width, large.height) == (35, 35 * 23, 7, 5)


@pytest.mark.parametrize("per_region", [False, True])
def test_an_empty_mask_has_no_region_and_the_square_is_the_centre(per_region: bool) -> None:
    assert regions_of(np.zeros((5, 5), dtype=bool), per_region=per_region) == []
    assert square_around(None, width=48, height=41, size=16) == Square(x=16, y=12, size=16)
