import pytest

from resnet_tl.address import parse, without_secrets, word_without_secrets
from resnet_tl.option_text import brief, few


@pytest.mark.parametrize("odd", ["'", '"', "`", "<", ">", "(", "]", ",", "!", "|"])
def test_a_login_is_hidden_whatever_characters_it_holds(odd: str) -> None:
    address = f"http://bob:geh{odd}eim@host:5000/path"
    assert parse(address, "x").password == f"geh{odd}eim"
    for text in (address, f"`{address}`", f"cannot reach '{address}' (twice)", f"<{address}>"):
        hidden = without_secrets(text)
        assert "geh" not in hidden
        assert "eim" not in hidden
        assert "http://host:5000/path" in hidden
    assert word_without_secrets(f"run.storage={address}") == "run.storage=http://host:5000/path"


@pytest.mark.parametrize("odd", ["'", '"', "`", ";", "#", "<", ")"])
def test_a_secret_of_a_query_is_hidden_to_its_end(odd: str) -> None:
    text = f"postgresql://host/db?mode=a&api_key=geh{odd}eim&password=x{odd}y&port=1"
    assert without_secrets(text) == "postgresql://host/db?mode=a&api_key=…&password=…&port=1"
    assert word_without_secrets(text) == without_secrets(text)


def test_an_address_without_login_stays_as_it_is() -> None:
    for text in ("see http://host/a@b", "`sqlite:///x.db` and me@here", "http://host:5000/x is not there"):
        assert without_secrets(text) == text


def test_what_an_error_message_cuts_short_shows_no_password() -> None:
    address = "http://bob:" + "geheim" * 30 + "@host"
    assert "geheim" not in brief({"uri": address})
    assert "geheim" not in few([address, "b"])
