"""Patients and objects in the paths of images: what names them, and what is said of the rest."""

import pytest

from resnet_tl.data.groups import Groups, group_key, groups_of, groups_told
from resnet_tl.errors import DataError


def found(key: str, *names: str, missing: str = "refuse") -> Groups:
    paths = [f"ill/{name}" for name in names]
    return groups_of(paths, names, group_key(key), missing="own" if missing == "own" else "refuse")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (r"^(\d+)_|^(.+?)[-.]", ["17_0.png", "17_1.png", "case-a.png", "case-b.png"]),
        (r"^(?:(\d+)|([a-z]+)[-_])", ["17_0.png", "17-1.png", "case-a.png", "case_b.png"]),
        (r"(?P<number>^\d+)|(?P<word>case)", ["17_0.png", "17_1.png", "case-a.png", "b-case.png"]),
        (r"^(\d*)_|(case)", ["17_0.png", "17_1.png", "case-a.png", "case-b.png"]),
        (r"/(p\d+)/|/q(\d+)/", ["p17/0.png", "p17/1.png", "q3/0.png", "q3/1.png"]),
    ],
)
def test_the_group_that_took_part_names_the_object(key: str, names: list[str]) -> None:
    groups = found(key, *names)
    one, same, other, alike = groups.names
    assert one == same != other == alike
    assert not groups.alone
    assert groups_told(groups, ["a"] * 4) == []


@pytest.mark.parametrize("missing", ["refuse", "own"])
@pytest.mark.parametrize("key", [r"^(\d+)_|^\w+", r"(\d*)", r"^(\d+)?"])
def test_an_expression_that_captures_nothing_is_refused_with_that_reason(key: str, missing: str) -> None:
    with pytest.raises(DataError, match=r"in 1 of 2 paths it matches and none of its groups(.|\n)*ill/word.png"):
        found(key, "17_0.png", "word.png", missing=missing)


def test_a_folder_is_a_group_under_any_alternative() -> None:
    key = group_key(r"^(a\d+)/|^(b\d+)/")
    assert key.names_folder("a1/0.png")
    assert key.names_folder("b1/0.png")
    assert not key.names_folder("c1/0.png")


SERIES = ["covid-24-day12.jpg", "covid-24-day6.jpg", "nejmc200_f1a.jpg", "nejmc200_f1b.jpg", "7C69-01.jpg", "IMG_1.jpg"]


def test_who_may_belong_together_is_named_before_each_becomes_a_group() -> None:
    with pytest.raises(DataError) as caught:
        found(r"^(\d+)_", "17_0.png", *SERIES, "patient7/a.png", "patient7/b.png", "IMG_2.jpg")
    message = str(caught.value)
    assert "not in 9 of 10. If some of these show the same patient or object (perhaps" in message
    assert (
        "(perhaps ill/covid-24-day12.jpg, ill/covid-24-day6.jpg; or ill/nejmc200_f1a.jpg, ill/nejmc200_f1b.jpg; or "
        "ill/patient7/a.png, ill/patient7/b.png), widen the expression (`one|other`) until it names them."
    ) in message
    assert "with it, pictures of one patient may stand on both sides of a split" in message


def test_it_is_said_of_those_that_became_groups_too() -> None:
    groups = found(r"^(\d+)_", "17_0.png", *SERIES, missing="own")
    missing, alike = groups_told(groups, ["ill"] * 7)
    assert missing == "data.group_key is not found in the paths of 6 of 7 images; each is a group of its own."
    assert alike.startswith("Some of these look as if they showed one object (such as ill/covid-24-day12.jpg, ")
    assert alike.endswith("if they do show one, widen data.group_key until it names it.")


def test_names_that_are_numbered_through_are_no_series() -> None:
    with pytest.raises(DataError, match=r"or object, widen the expression") as caught:
        found(r"^(p\d+)_", "p1_0.png", *(f"picture_{number:03}.png" for number in range(30)))
    assert "perhaps" not in str(caught.value)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_around_an_expression_are_what_is_said(quote: str) -> None:
    with pytest.raises(DataError) as caught:
        found(f"{quote}^([^_]+){quote}", *(f"{number}_0.png" for number in range(30)))
    first, *files = str(caught.value).splitlines()
    assert first.endswith(f"The quotes {quote} at both ends belong to the value as it is given: leave them out.")
    assert len(files) == 6


def test_of_groups_in_two_classes_it_is_said_what_was_done() -> None:
    (said,) = groups_told(found(r"^(\d+)_", "17_0.png", "17_1.png", "18_0.png"), ["ill", "well", "ill"])
    assert said == (
        "1 of 2 groups have images in two classes or more; each of these groups stands on one side of the splits all "
        "the same. Check that data.group_key names one patient or object in each, and that both labels are meant: "
        "17 (ill, well)."
    )
