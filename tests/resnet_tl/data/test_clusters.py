"""Sets of copies: what is one, and which of them splits are not cut around."""

from resnet_tl.data.clusters import near_sets, num_across_classes, without_crowds, without_whole_classes


def test_sets_of_exact_copies_alone_are_no_near_copies() -> None:
    assert near_sets(["a", "a", "b", "c", "b"], [(0, 1)]) == []
    assert near_sets(["a", "a", "b", "c", "b"], [(0, 3)]) == [[0, 1, 3]]


def test_a_set_is_a_crowd_by_its_different_pictures_not_by_how_often_each_is_there() -> None:
    contents = ["a"] * 200 + [f"near {n}" for n in range(6)] + [f"other {n}" for n in range(60)]
    near = [list(range(206))]
    assert without_crowds(near, contents, [0] * len(contents)) == (near, 0)
    many = [f"{n}" for n in range(100)]
    assert without_crowds([list(range(17))], many, [0] * 100) == ([], 17)
    assert without_crowds([list(range(16))], many, [0] * 100) == ([list(range(16))], 0)


def test_a_set_that_fills_a_class_is_a_crowd() -> None:
    labels = [0] * 300 + [1] * 30
    contents = [str(n) for n in range(330)]
    assert without_crowds([list(range(300, 320))], contents, labels) == ([], 20)
    assert without_crowds([list(range(20))], contents, labels) == ([list(range(20))], 0)


def test_a_class_keeps_a_picture_for_each_split() -> None:
    contents, labels = [str(n) for n in range(12)], [0] * 6 + [1] * 6
    near = [[0, 1], [6, 7, 8], [9, 10, 11]]
    assert without_whole_classes(near, contents, labels, free=range(12), num_parts=3) == ([[0, 1]], [1])
    assert without_whole_classes(near, contents, labels, free=range(12), num_parts=2) == (near, [])
    exact = contents[:6] + ["6"] * 6  # which no leaving out helps
    assert without_whole_classes([[0, 1]], exact, labels, free=range(12), num_parts=3) == ([[0, 1]], [])


def test_images_with_a_near_copy_in_another_class_are_counted_and_those_with_exact_ones_alone_are_not() -> None:
    assert num_across_classes([[0, 1, 2]], ["a", "b", "c"], [0, 0, 1]) == 3
    assert num_across_classes([[0, 1, 2]], ["a", "a", "b"], [0, 1, 0]) == 2
    assert num_across_classes([[0, 1]], ["a", "b"], [0, 0]) == 0
