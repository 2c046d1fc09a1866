import pytest

from resnet_tl.errors import ConfigError
from resnet_tl.option_text import load_yaml, nearest, parse_words


def test_words_stay_words_and_numbers_become_numbers() -> None:
    text = "{a: off, b: 1e-3, c: 2024-01-01, d: true, e: null, f: 010, g: .5, h: no, i: -3, j: 1_000, k: 12:30}"
    assert load_yaml(text, "x") == {
        "a": "off", "b": 0.001, "c": "2024-01-01", "d": True, "e": None, "f": "010", "g": 0.5, "h": "no", "i": -3,
        "j": "1_000", "k": "12:30",
    }  # fmt: skip


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match="file, line 2: .*`a` stands twice"):
        load_yaml("a: 1\na: 2", "file")


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match="file, line 2"):
        load_yaml("a: [1\nb: }", "file")


def test_yaml_cannot_run_code() -> None:
    with pytest.raises(ConfigError):
        load_yaml("!!python/object/apply:os.system ['true']", "file")


def test_literal_values_are_taken_letter_by_letter() -> None:
    assert parse_words(["root=/a b,(=#&é", "lr=1e-3"], literal=["root"]) == {"root": "/a b,(=#&é", "lr": 0.001}


def test_words_without_a_value_and_twice_given_keys_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_words(["lr", "a=1", "a=2"])
    assert len(caught.value.problems) == 2


def test_the_nearest_name_is_offered() -> None:
    assert nearest("momentun", ["momentum", "lr"]) == "did you mean `momentum`?"
    assert nearest("zzz", ["b", "a"]) == "valid: a, b."
