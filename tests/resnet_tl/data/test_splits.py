import pytest

from resnet_tl.data.clusters import clusters_of
from resnet_tl.data.splits import cut
from resnet_tl.errors import DataError


def test_groups_too_uneven_for_the_asked_share_are_refused() -> None:
    groups = ["large"] * 80 + [f"small {index}" for index in range(20)]
    with pytest.raises(DataError, match="cannot be cut into about 15% for test.*the largest group has 80"):
        cut(
            [0, 1] * 50, [None] * 100, range(100),
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"], groups=groups,
        )  # fmt: skip


def test_stated_splits_are_never_touched() -> None:
    given = ["train"] * 20 + ["val"] * 4
    splits = cut(
        [0, 1] * 12, given, range(24),
        val_fraction=0.15, test_fraction=0.2, seed=0, classes=["a", "b"],
    )  # fmt: skip
    assert splits[20:] == ["val"] * 4
    assert splits.count("test") == 4


def test_copies_stand_on_one_side_and_join_the_groups_that_share_them() -> None:
    clusters = clusters_of(["a", "b", "a", "c", "d", "e"], [[1, 3, 4]])
    assert clusters == [0, 1, 0, 1, 1, 5]
    many = clusters_of([str(index) for index in range(200)], [[index, index + 100] for index in range(100)])
    for groups in (None, [f"patient {index}" for index in range(200)]):
        splits = cut(
            [index % 2 for index in range(200)], [None] * 200, many,
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"], groups=groups,
        )  # fmt: skip
        assert splits[:100] == splits[100:]
        assert 20 <= splits.count("test") <= 40


def test_groups_that_cannot_be_cut_are_named_where_copies_made_them_one() -> None:
    clusters = [0 if index % 10 == 0 else index for index in range(100)]  # each group has a copy of one image
    groups = [f"patient {index // 10}" for index in range(100)]
    with pytest.raises(
        DataError, match=r"at least 7 groups .* found 1\. .*near copies of one .* patient 0 and patient 1"
    ):
        cut(
            [0, 1] * 50, [None] * 100, clusters,
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"], groups=groups,
        )  # fmt: skip
    clusters = [1 if index in (11, 21, 31, 41, 51, 61, 71) else index for index in range(100)]
    groups = [f"patient {index // 10}" if index < 80 else f"alone {index}" for index in range(100)]
    with pytest.raises(DataError, match=r"largest group has 80\. Groups that share .* such as patient 0 and patient 1"):
        cut(
            [0, 1] * 50, [None] * 100, clusters,
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"], groups=groups,
        )  # fmt: skip
    with pytest.raises(DataError, match=r"largest group has 80\.$"):
        cut(
            [0, 1] * 50, [None] * 100, range(100),
            val_fraction=0.15, test_fraction=0.15, seed=0, classes=["a", "b"],
            groups=["large"] * 80 + [f"small {index}" for index in range(20)],
        )  # fmt: skip


@pytest.mark.parametrize(("val", "test"), [(0.08, 0.82), (0.2, 0.75), (0.15, 0.6), (0.15, 0.15)])
def test_whole_groups_are_cut_in_the_shares_asked_for(val: float, test: float) -> None:
    """Also where more than half is to be cut off, of which no single fold would be large enough."""
    count = 1200
    splits = cut(
        [index % 3 for index in range(count)], [None] * count, range(count),
        val_fraction=val, test_fraction=test, seed=0, classes=["a", "b", "c"],
        groups=[f"patient {index // 2}" for index in range(count)],
    )  # fmt: skip
    assert splits.count("test") / count == pytest.approx(test, rel=0.1)
    assert splits.count("val") / count == pytest.approx(val, rel=0.4)
    assert splits[::2] == splits[1::2]
