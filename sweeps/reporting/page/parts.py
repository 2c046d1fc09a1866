"""The look and the script of a page, which stand in it, and what the page allows a browser to do."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def style() -> str:
    """The style sheet."""
    return _text("page.css")


@cache
def script() -> str:
    """The script, which sorts tables, shows learning curves and asks for plotly; without it everything can be read."""
    return _text("page.js")


def policy() -> str:
    """The content security policy: the page's own script and what that one loads, no address, no other origin.

    `strict-dynamic` is for plotly's script, which lies beside the page and is loaded when somebody asks for it. Styles
    may stand in elements, since pictures have them there; `blob:` is for plotly's button that saves a picture.
    """
    own = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{own}' 'strict-dynamic'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def as_data(name: str, content: Any) -> str:
    """Data for the script, in an element that a browser does not run.

    Args:
        name: of the element.
        content: JSON content; texts in it may hold anything, since no `<` is left that could end the element.
    """
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"), allow_nan=False)
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
