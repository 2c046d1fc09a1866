"""No user and no password of an address is shown, and a text that only looks like one stays as it is."""

import time

import pytest

from resnet_tl.address import parse, without_secrets
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import brief, few


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
    assert without_secrets(word) == word


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
    assert without_secrets(text) == shown


@pytest.mark.parametrize("piece", ["a", "a://", "@", "?", "?pass", "&a", "http://a@", "a:", "://"])
def test_what_a_long_word_costs_grows_with_its_length_alone(piece: str) -> None:
    text = piece * (80_000 // len(piece))
    begun = time.monotonic()
    without_secrets(text)
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("odd", ["'", '"', "`", "<", ">", "(", "]", ",", "!", "|"])
def test_a_login_is_hidden_whatever_characters_it_holds(odd: str) -> None:
    address = f"http://bob:geh{odd}eim@host:5000/path"
    assert parse(address, "x").password == f"geh{odd}eim"
    for text in (address, f"`{address}`", f"cannot reach '{address}' (twice)", f"<{address}>"):
        hidden = without_secrets(text)
        assert "geh" not in hidden
        assert "eim" not in hidden
        assert "http://host:5000/path" in hidden
    assert without_secrets(f"run.storage={address}") == "run.storage=http://host:5000/path"


@pytest.mark.parametrize("odd", ["'", '"', "`", ";", "#", "<", ")"])
def test_a_secret_of_a_query_is_hidden_to_its_end(odd: str) -> None:
    text = f"postgresql://host/db?mode=a&api_key=geh{odd}eim&password=x{odd}y&port=1"
    assert without_secrets(f"sqlite:///x?mode=a;token=geh{odd}eim") == "sqlite:///x?mode=a;token=…"
    assert without_secrets(text) == "postgresql://host/db?mode=a&api_key=…&password=…&port=1"


def test_an_address_without_login_stays_as_it_is() -> None:
    for text in ("see http://host/a@b", "`sqlite:///x.db` and me@here", "http://host:5000/x is not there"):
        assert without_secrets(text) == text


def test_what_an_error_message_cuts_short_shows_no_password() -> None:
    address = "http://bob:" + "geheim" * 30 + "@host"
    assert "geheim" not in brief({"uri": address})
    assert "geheim" not in few([address, "b"])
