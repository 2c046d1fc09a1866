import pytest

from resnet_tl.config import DataConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import load_yaml, nearest, parse_words, scalar, validate


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


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "at most 100,000 values"),
        ("a: &a [*a]", "recursive node"),
        ("[" * 5000 + "]" * 5000, "at most 50 lists and mappings within each other"),
        ("[" * 60 + "]" * 60, "at most 50 lists and mappings within each other"),
        ("a: " + "9" * 5000, "line 1: .*at most 9007199254740992, but got one of 5000 digits"),
        ("a: 9007199254740993", "at most 9007199254740992"),
        ("a: !!float x", "not valid YAML"),
        ("a: !!int x", "not valid YAML"),
        ("a: !!timestamp 2001-99-99", "not valid YAML"),
        ("a: !!timestamp 2001-01-01", "plain values, but holds a date"),
        ("a: !!set {x, y}", "plain values, but holds a set"),
        ("a: !!binary aGk=", "plain values, but holds a bytes"),
        (r'a: "x\0y"', "must be printable characters"),
        (r'a: "\uD800"', "must be printable characters|not valid YAML"),
        (r'"\e[31m": 1', "must be printable characters"),
    ],
)
def test_yaml_that_nobody_writes_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_yaml(text, "file")


def test_a_cell_is_a_number_a_word_or_nothing() -> None:
    cells = ("", "~", "true", "1e-3", "3", "none", "{a: 1}", "[x", "@x: y", "a # b", "1_0")
    assert [scalar(text) for text in cells] == [
        None, None, True, 0.001, 3, "none", "{a: 1}", "[x", "@x: y", "a # b", "1_0",
    ]  # fmt: skip
    for text in (".inf", "-.INF", ".nan", "9" * 5000, "1e999"):
        with pytest.raises(ValueError, match="must be"):
            scalar(text)


def test_names_are_near_whatever_their_case_and_long_lists_are_cut() -> None:
    assert nearest("Batch-Size", ["batch_size", "lr"]) == "did you mean `batch_size`?"
    assert nearest("zzz", map(str, range(100))).endswith(" and 88 more.")


@pytest.mark.parametrize(
    ("option", "value", "end"),
    [
        ("bits", "12", "but got '12'; write it without quotes"),
        ("bits", "twelve", "but got 'twelve'"),
        ("bits", "atuo", "did you mean `auto`?"),
        ("channels", "1", "but got '1'; write it without quotes"),
        ("channels", "RGB", "but got 'RGB'"),
        ("balanced", "oversampel", "did you mean `oversample`?"),
        ("resize", "zoom", "valid: crop, pad, squash."),
    ],
)
def test_the_choices_listed_are_all_choices(option: str, value: str, end: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(DataConfig, {"source": "digits", "size": 32, option: value}, "data")
    assert str(caught.value).endswith(end)
