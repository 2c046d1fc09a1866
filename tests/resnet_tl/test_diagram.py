import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.diagram import Diagram, Edge, Group, Node, mermaid, mermaid_text, plantuml, plantuml_text

NASTY = [
    'a"b',
    "x] --> y",
    "<b>bold</b>",
    "`code`",
    "a|b",
    "two\nlines",
    "%%{init: {}}%%",
    "#35; &lt;",
    "style a:b#1;",
    "**strong** ~~gone~~ _it_",
    "1. item",
    "1) item",
    "- item",
    "fa:fa-car",
    "$$x$$ %date() !include",
    "[[http://x.y]] www.x.y",
    "@enduml",
    "\\n",
]


def drawn(text: str) -> Diagram:
    nodes = (Node(key="a", lines=(text, "below")), Node(key="b", lines=(text,), kind="stored"))
    return Diagram(parts=(Group(title=text, nodes=nodes),), edges=(Edge(source="a", target="b", label=text),))


@pytest.mark.parametrize("text", NASTY)
def test_words_of_users_are_text(text: str) -> None:
    plain = drawn("word")
    flat = " ".join(text.split())
    shown = mermaid(drawn(text))
    assert mermaid(plain).replace("word", mermaid_text(text)) == shown, "nothing but the labels depends on them"
    assert html.unescape(re.sub(r"#(\d+);", r"&#\1;", mermaid_text(text))) == flat
    assert not set("\"'`<>[]{}|*_~\\%$@&!:/=") & set(mermaid_text(text))
    assert re.match(r"\d+[.)]\s|[-+*>]", mermaid_text(text)) is None, "no list of Markdown"
    assert "www." not in mermaid_text(text), "no link of Markdown"
    component = plantuml_text(text)
    assert re.sub(r"<U\+([0-9A-F]{4})>", lambda found: chr(int(found[1], 16)), component) == flat
    assert not set("\"'`[]{}|*_~\\%$@&!:/=#") & set(re.sub(r"<U\+[0-9A-F]{4}>", "", component))
    assert plantuml(plain).replace("word", component) == plantuml(drawn(text))


@given(st.text())
def test_any_text_comes_back_and_stays_on_its_line(text: str) -> None:
    shown = mermaid_text(text)
    assert "\n" not in shown
    assert '"' not in shown
    assert html.unescape(re.sub(r"#(\d+);", lambda f: chr(int(f[1])), shown.replace("&", ""))) == " ".join(text.split())
    assert re.match(r"\d+[.)]\s|[-+*>]", shown) is None, "no list of Markdown"


def test_what_is_harmless_stays_legible() -> None:
    assert mermaid_text("0.8 of layer4, multiply-adds (3×7)") == "0.8 of layer4, multiply-adds (3×7)"
