"""No user and no password of an address is shown, and a text that only looks like one stays as it is."""

import time

import pytest

from resnet_tl.address import parse, without_secrets, word_without_secrets
from resnet_tl.errors import ConfigError


@pytest.mark.parametrize(
    "text", ["//bob:pass77@host", "///bob:pass77@host/x", "bob:pass77@host", "http:/bob:pass77@host"]
)
def test_an_address_without_its_scheme_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="must begin with http://") as raised:
        parse(text, "run.tracking_uri")
    assert "pass77" not in str(raised.value)


@pytest.mark.parametrize("text", ["/data/a@b", "./a@b", "~/a@b", "//server/share"])
def test_a_path_is_one(text: str) -> None:
    assert parse(text, "x").bare == text


@pytest.mark.parametrize(
    "word",
    [
        "study.question=Is http://x better @ 5?",
        "study.about=see https://a.org/b, https://c.org/d and mail me @ home",
        "study.question=http://x/a@b",
        "study.question=lr @ 0.1",
    ],
)
def test_a_sentence_with_an_address_is_stored_whole(word: str) -> None:
    assert word_without_secrets(word) == word


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x=http://bob:p'w`<>@host/p", "x=http://host/p"),
        ("x=http://bob:p/w@host", "x=http://host"),
        ("x=1http://bob:pw@host", "x=1http://host"),
        ("x=http://bob:p@w@host and http://eve:pw@there", "x=http://host and http://there"),
        ("x=postgresql+psycopg://h/d?a=1&sslPassword=s3cret&b=2", "x=postgresql+psycopg://h/d?a=1&sslPassword=…&b=2"),
    ],
)
def test_logins_and_secret_options_are_cut_out(text: str, shown: str) -> None:
    assert word_without_secrets(text) == shown


@pytest.mark.parametrize("piece", ["a", "a://", "@", "?", "?pass", "&a", "http://a@", "a:", "://"])
def test_what_a_long_word_costs_grows_with_its_length_alone(piece: str) -> None:
    text = piece * (80_000 // len(piece))
    begun = time.monotonic()
    without_secrets(text)
    word_without_secrets(text)
    assert time.monotonic() - begun < 1
