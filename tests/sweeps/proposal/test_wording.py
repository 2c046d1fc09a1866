"""Words of users in a study file."""

import pytest

from resnet_tl.option_text import load_yaml
from sweeps.proposal.wording import comment, one_line, quoted, single_quoted

WORDS = ["a\nb", "x: y", "# no comment", "'", '"', "{a}", "off", "1e-3", "\\d+", "grün", "\u2028", "- a", "", " a "]


@pytest.mark.parametrize("text", WORDS)
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    assert load_yaml(f"key: {quoted(text)}", "here") == {"key": text}


@pytest.mark.parametrize("text", [r"/(\d+)_[^/]*$", "it's"])
def test_a_pattern_keeps_its_backslashes(text: str) -> None:
    assert load_yaml(f"key: {single_quoted(text)}", "here") == {"key": text}


@pytest.mark.parametrize("text", ["a\nroot: other", "a\r b", "a\u2028b", "\x85root: x", "\x1b[2J", "word " * 100])
def test_no_text_ends_the_comment_it_stands_in(text: str) -> None:
    lines = comment(text, indent=2)
    assert all(line.startswith("  # ") and len(line) <= 120 for line in lines)
    assert load_yaml("\n".join(["a:", *lines, "  b: 1"]), "here") == {"a": {"b": 1}}
    assert one_line(text).isprintable()
