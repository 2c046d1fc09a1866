from pathlib import Path

import pytest

from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import validate
from tests.resnet_tl.data.patches.conftest import options

GOOD = {"images": "i", "masks": "m", "out": "o", "size": 16}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 7}, "`size`.*greater than or equal to 8"),
        ({"threshold": -1}, "`threshold`"),
        ({"labels": {"Benign": 0}}, "two classes at least"),
        ({"labels": {"Benign": 0, "Malignant": 0}}, "two classes at least"),
        ({"labels": {"a/b": 0, "c": 1}}, "neither empty nor with a /"),
        ({"labels": {"a": "test", "c": 1}}, "of no splits, which these cannot: 'test'"),
        ({"labels": {"a": "x/y", "c": ".z"}}, "cannot: 'x/y', '.z'"),
        ({"split": False, "split_seed": 1}, "`split_seed` has no effect with split=false"),
        ({"group_missing": "own"}, "`group_missing` needs `group_key`"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, "`val_fraction \\+ test_fraction < 1`"),
        ({"szie": 3}, "`szie` is not an option; did you mean `size`"),
    ],
)
def test_a_bad_value_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        validate(PatchOptions, GOOD | changes, "")


def test_classes_are_text_however_yaml_reads_them(tmp_path: Path) -> None:
    asked = options(tmp_path, labels={"Benign": 0, "Malignant": True}, negative=0)
    assert asked.labels == {"Benign": "0", "Malignant": "true"}
    assert asked.negative == "0"
