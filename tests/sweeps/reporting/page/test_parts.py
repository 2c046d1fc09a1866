"""Colours that can be read, and a policy that names the very script of the page."""

import base64
import hashlib
import itertools
import json
import re

import pytest

from sweeps.reporting.page.parts import as_data, policy, script, style
from sweeps.reporting.svg import COLOURS


def _themes() -> dict[str, dict[str, str]]:
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", style())[:2]
    )
    (paper,) = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"@media print \{\s*:root \{([^}]*)\}", style())
    )
    return {"light": light, "dark": light | dark, "print": light | paper}


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(theme: str) -> None:
    colours = _themes()[theme]
    for text, back in itertools.product(("text", "muted", "link"), ("back", "soft")):
        assert _contrast(colours[text], colours[back]) >= 4.5, (text, back)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_edges_focus_and_curves_have_the_contrast_of_parts_that_are_no_text(theme: str) -> None:
    colours = _themes()[theme]
    for part in ("edge", "focus", "curve", "best"):
        assert _contrast(colours[part], colours["back"]) >= 3, part


def test_the_first_colours_of_pictures_are_seen_on_light_and_on_dark() -> None:
    for theme, colour in itertools.product(("light", "dark"), COLOURS[:3]):
        assert _contrast(colour, _themes()[theme]["back"]) >= 3, (theme, colour)


def test_the_policy_allows_the_script_of_the_page_and_no_address() -> None:
    (named,) = re.findall(r"'sha256-([^']+)'", policy())
    assert base64.b64decode(named) == hashlib.sha256(script().encode()).digest()
    assert policy().startswith("default-src 'none'")
    assert "http" not in policy()
    assert "unsafe-eval" not in policy()
    assert not re.search(r"https?://(?!www\.w3\.org/)", style() + script()), "no font, no library from elsewhere"
    assert "innerHTML" not in script()


def test_data_cannot_end_its_element() -> None:
    word = "</script><script>alert(1)</script><!--"
    written = as_data("x", {"name": word})
    assert written.count("<") == 2
    assert json.loads(re.sub(r"^<script[^>]*>|</script>$", "", written)) == {"name": word}
