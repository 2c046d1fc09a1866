from pathlib import Path

import pytest

from resnet_tl.data.patches.pairs import pair_up
from resnet_tl.errors import ConfigError, DataError, UserError
from tests.resnet_tl.data.patches.conftest import noise, options, save, spot, write_marked


def test_masks_belong_to_images_of_their_path_with_any_suffix(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=2)
    (root / "masks" / "benign" / "000_0.png").rename(root / "masks" / "benign" / "000_0.tif")
    (root / "masks" / "malignant" / "001_1.png").unlink()
    paired = pair_up(options(root))
    assert [(pair.name, pair.label, pair.mask and pair.mask.name) for pair in paired.pairs] == [
        ("benign/000_0.png", "benign", "000_0.tif"),
        ("benign/000_1.png", "benign", "000_1.png"),
        ("malignant/001_0.png", "malignant", "001_0.png"),
        ("malignant/001_1.png", "malignant", None),
    ]
    assert paired.negative == "benign"


def test_all_that_does_not_belong_together_is_named_at_once(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=2)
    save(root / "masks" / "benign" / "lonely.png", spot(1, 1))
    save(root / "images" / "benign" / "000_0.jpg", noise(9))
    save(root / "masks" / "benign" / "000_1.tif", spot(1, 1))
    save(root / "images" / "stray.png", noise(8))
    with pytest.raises(DataError) as caught:
        pair_up(options(root))
    said = str(caught.value)
    for words in (
        "lonely.png",
        "benign/000_0.jpg and benign/000_0.png",
        "benign/000_1.png and benign/000_1.tif",
        "Every image must stand in the folder of its class, but 1 of 5 do not",
        "stray.png",
    ):
        assert words in said


def test_classes_may_stand_in_file_names(tmp_path: Path) -> None:
    for index, name in enumerate(("Benign_1", "x/Malignant_1", "Malignant_2")):
        save(tmp_path / "images" / f"{name}.png", noise(index))
        save(tmp_path / "masks" / f"{name}.png", spot(1, 1))
    asked = options(tmp_path, labels={"Benign": 0, "Malignant": 1}, negative=1)
    paired = pair_up(asked)
    assert [(pair.name, pair.label, pair.inner) for pair in paired.pairs] == [
        ("Benign_1.png", "0", "Benign_1"),
        ("Malignant_2.png", "1", "Malignant_2"),
        ("x/Malignant_1.png", "1", "x/Malignant_1"),
    ]
    assert paired.negative == "1"
    save(tmp_path / "images" / "benign_3.png", noise(5))
    save(tmp_path / "images" / "Benign" / "other.png", noise(5))
    save(tmp_path / "images" / "Benign_or_Malignant.png", noise(6))
    with pytest.raises(DataError) as caught:
        pair_up(asked)
    assert "2 of 6 hold none:\n  Benign/other.png\n  benign_3.png" in str(caught.value)
    assert "1 of 6 hold several:\n  Benign_or_Malignant.png: Benign, Malignant" in str(caught.value)


def test_folders_of_splits_are_kept_and_must_be_all_or_none(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write_marked(tmp_path / part, count=2)
        for what in ("images", "masks"):
            (tmp_path / what).mkdir(exist_ok=True)
            (tmp_path / part / what).rename(tmp_path / what / part)
    paired = pair_up(options(tmp_path, group_key=r"^(\d+)_"))
    assert [(pair.split, pair.label, pair.group) for pair in paired.pairs[3:5]] == [
        ("train", "malignant", "001"),
        ("val", "benign", "000"),
    ]
    save(tmp_path / "images" / "more" / "benign" / "a.png", noise(0))
    with pytest.raises(DataError, match=r"all splits, or none, but some are splits \(train, valid\).*\n  more"):
        pair_up(options(tmp_path))


def test_groups_are_searched_as_training_does(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=4)
    assert [pair.group for pair in pair_up(options(root, group_key=r"^(\d+)_")).pairs[:3]] == ["000", "000", "001"]
    save(root / "images" / "benign" / "odd.png", noise(5))
    with pytest.raises(DataError, match=r"`group_key` \^\(\\d\+\)_ must be found.*group_missing=own") as caught:
        pair_up(options(root, group_key=r"^(\d+)_"))
    assert "data." not in str(caught.value)
    own = pair_up(options(root, group_key=r"^(\d+)_", group_missing="own"))
    assert own.pairs[4].group == "benign/odd.png (alone)"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"negative": "bening"}, "`negative` must be a class of the images, but got 'bening'; did you mean `benign`"),
        ({"masks": "{}/images/benign"}, "`images` and `masks` must be folders apart"),
        ({"out": "{}/images/benign/out"}, "`images` and `out` must be folders apart"),
        ({"masks": "{}/nowhere"}, "`masks` must be a folder, but .*nowhere does not exist"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    root = write_marked(tmp_path, count=2)
    with pytest.raises(ConfigError, match=said):
        pair_up(options(root, **{name: text.format(root) for name, text in changes.items()}))


def test_one_class_or_no_image_is_refused(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=2, classes=("benign",))
    with pytest.raises(DataError, match="two classes at least, but all are of benign"):
        pair_up(options(root))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="`images` must hold images"):
        pair_up(options(root, images=str(tmp_path / "empty")))
