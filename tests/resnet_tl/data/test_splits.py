import pytest

from resnet_tl.data.splits import cut
from resnet_tl.errors import DataError


def test_groups_too_uneven_for_the_asked_share_are_refused() -> None:
    groups = ["large"] * 80 + [f"small {index}" for index in range(20)]
    with pytest.raises(DataError, match="cannot be cut into about 15% for test.*the largest group has 80"):
        cut(
            [0, 1] * 50, [None] * 100, [str(index) for index in range(100)],
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"], groups=groups,
        )  # fmt: skip


def test_stated_splits_are_never_touched() -> None:
    given = ["train"] * 20 + ["val"] * 4
    splits = cut(
        [0, 1] * 12, given, [str(index) for index in range(24)],
        val_fraction=0.15, test_fraction=0.2, seed=0, classes=["a", "b"],
    )  # fmt: skip
    assert splits[20:] == ["val"] * 4
    assert splits.count("test") == 4
