"""Words of users are text in every format, whatever characters they have."""

import html.parser
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sweeps.reporting.blocks import Block, Heading, Paragraph, Points, Prose
from sweeps.reporting.chart import Bars, Chart, Grid, Plot, Series
from sweeps.reporting.html import html as as_html
from sweeps.reporting.inline import Inline, Span, bold, code, joined, length, pieces
from sweeps.reporting.interactive import figure
from sweeps.reporting.latex import inline as as_latex
from sweeps.reporting.latex import latex
from sweeps.reporting.markdown import markdown, picture
from sweeps.reporting.markers import ALIKE
from sweeps.reporting.svg import svg
from sweeps.reporting.table import Table

NASTY = [
    "a|b", "<b>x</b>", "*x*", "**x**", "_x_", "__init__", "mlp_relu", "runs_of__two", "`x`", "$5_$10", "x --> y",
    "<!-- /sweeps -->", "<!-- sweeps: study=a table=b -->", "[a](http://b)", "![a](b)", "~~x~~", "&lt; & &amp;",
    r"C:\_x\*", "a\\", "# x", "- x", "1. x", "> x", "---", "===", "+ x", "12) x", "{x}", "x^2", "a\nb", '"x"', "--",
    "<br>", "\\|", "``x``", "5 < 6 > 4", "p < 0.001", "2 * 3 * 4", "[0.1, 0.2]", "100%", "[x]: http://y", "a  ",
]  # fmt: skip
TEXTS = st.text(alphabet="ab1 *_`$|<>&\\[]()~#-+=!.:;/{}^\"'", min_size=1, max_size=14) | st.sampled_from(NASTY)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLAIN = {"text", "text_special", "softbreak"}


def said(text: str) -> str:
    return " ".join(text.split())


def read(document: str) -> list[str]:
    """The texts of a document, each of which must be without markup."""
    found = []
    for token in MARKDOWN.parse(document):
        if token.type == "inline":
            assert {child.type for child in token.children or ()} <= PLAIN, document
            found.append(said("".join(child.content or " " for child in token.children or ())))
        assert token.type not in ("html_block", "fence", "code_block", "hr", "blockquote_open"), document
    return found


@settings(deadline=None, max_examples=500)
@given(TEXTS, TEXTS)
def test_markdown_shows_the_very_characters(first: str, second: str) -> None:
    table = Table(title=None, header=("h", "i"), rows=((first, second), (("a", first), (second, "b"))))
    blocks: list[Block] = [Paragraph(lines=(first,)), Points(items=("c", second)), table]
    wanted = [first, "c", second, "h", "i", first, second, "a" + first, second + "b"]
    assert [text for text in read(markdown(blocks)) if text] == [said(text) for text in wanted if said(text)]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_becomes_a_marker_or_mathematics(text: str) -> None:
    written = markdown([Paragraph(lines=(text,)), Table(title=text, header=(text,), rows=((bold(text),),))])
    assert not ALIKE.search(written)
    assert "-->" not in written
    assert not re.search(r"(?<!\\)\$", written)


def test_titles_captions_and_bold_words_are_text_too() -> None:
    assert MARKDOWN.render(markdown([Heading(text="a_*b*", level=1)])) == "<h1>a_*b*</h1>\n"
    assert MARKDOWN.render(picture("[a] *b*", "x y.svg")) == '<p><img src="x%20y.svg" alt="[a] *b*" /></p>\n'
    table = Table(title="a*", header=("",), rows=((bold(" x "),), (code("a`|b"),)))
    assert "**a\\***" in markdown([table])
    assert MARKDOWN.render(markdown([table])).count("<strong>") == 2
    assert "<code>a`|b</code>" in MARKDOWN.render(markdown([table]))


class _Texts(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@given(TEXTS)
def test_html_shows_the_very_characters(text: str) -> None:
    page = as_html("t", [Paragraph(lines=(text,)), Table(title=None, header=("h",), rows=((bold(text),),))], {})
    parser = _Texts()
    parser.feed("<main" + page.split("<main")[1].split("</main>")[0])
    shown = [said(part) for part in parser.found if said(part)]
    assert shown == [said(part) for part in (text, "t", "h", text) if said(part)]


def test_latex_has_no_command_in_somebodys_name() -> None:
    assert as_latex(r"\input{x}_$5^2$ #1 & 100% ~") == (
        r"\textbackslash{}input\{x\}\_\$5\textasciicircum{}2\$ \#1 \& 100\% \textasciitilde{}"
    )
    assert as_latex("a---b --> `c`") == r"a-{}-{}-b -{}-$>$ \textasciigrave{}c\textasciigrave{}"
    written = latex([Points(items=("[x] y",)), Table(title=None, header=("h",), rows=(("[1, 2]",), ("* x",)))])
    assert "\\item {}[x] y" in written
    assert "\n{}[1, 2] \\\\\n{}* x \\\\\n" in written, "a bracket after a line's end would be its option"


def charts(text: str) -> list[Chart]:
    series = Series(name=text, x=(1.0, 2.0), y=(0.0, 1.0), hover=(text, text), line=True)
    return [
        Plot(x_label=text, y_label=text, series=(series, Series(name="b", x=(1.0,), y=(1.0,)))),
        Plot(x_label=text, y_label="", series=(series,), categories=(text, text)),
        Bars(names=(text, "b"), values=(1.0, 2.0), x_label=text),
        Grid(
            rows=(text, "b"), columns=(text, "c"), values=((1.0, 2.0), (None, 3.0)), texts=((text, ""), ("", "")),
            x_label=text, y_label=text, scale=text,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["$5_$10", r"a\$b$", "$\\frac{1}{$", "<b>x</b>", "&lt;", "_x", "{%", "_{x}$^2$"])
def test_pictures_show_the_very_characters(text: str) -> None:
    for chart in charts(text):
        shown = [node.text for node in ElementTree.fromstring(svg(chart)).iter() if node.tag.endswith("}text")]
        assert sum((part or "").strip("\u200b") == text for part in shown) >= 2, shown
        drawn = figure(chart).to_json()
        assert "<b>" not in drawn
        assert "\\u003cb\\u003e" not in drawn
        assert text != "&lt;" or "&amp;lt;" in drawn or "\\u0026amp;lt;" in drawn


def test_prose_of_a_study_keeps_its_markup_in_markdown_and_its_lines_elsewhere() -> None:
    text = "We vary\nthe *rate*:\n\n- low\n- high\n\n| a | b |\n| --- | --- |\n\n```\ncode  here\n```"
    blocks = [Prose(text=text)]
    assert markdown(blocks) == text + "\n"
    page = as_html("t", blocks, {})
    assert "<p>We vary the *rate*:</p>\n<p>- low<br>- high</p>" in page
    assert "We vary the *rate*:\n\n- low \\\\\n- high\n\n|" in latex(blocks)


def test_neighbours_of_one_look_are_one_span() -> None:
    text: Inline = ("a", ("_", Span("b")), bold(("c", "d")), code("e"), "")
    assert pieces(text) == [Span("a_b"), Span("cd", bold=True), Span("e", code=True)]
    assert length(joined(", ", ["a", "b"])) == 4
