"""Charts as parts of a page: the pictures of `svg` in the page's colours, with points that answer when pointed at."""

import re
import xml.etree.ElementTree as ElementTree
from html import escape

from sweeps.reporting.chart import Chart, Plot, Series
from sweeps.reporting.svg import CELL, COLOURS, points_id, svg

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
THEME = {"#000000": "currentColor", "#ffffff": "var(--back)", "#dddddd": "var(--line)", "#bbbbbb": "var(--muted)"}
"""What takes the page's own colours, so that a picture can be read on light and on dark."""
PX_PER_PT = 1.6
"""How large a picture is at most: letters of 10 points are as large as the page's notes."""
_FONT = re.compile(r"font-family:[^;]*;?\s*")
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
"""Of places: a hundredth of a point is finer than a screen."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")


def picture(chart: Chart, kind: str, caption: str) -> str:
    """A picture as an element.

    Args:
        kind: of the picture; its parts are named by it, since those of two pictures may not have one name.
        caption: what a screen reader says in place of it.
    """
    root = ElementTree.fromstring(svg(chart))
    for unwanted in (f"{{{SVG}}}metadata", f"{{{SVG}}}defs"):  # a style sheet in there would be that of the whole page
        for child in root.findall(unwanted):
            if unwanted.endswith("metadata") or child.find(f"{{{SVG}}}style") is not None:
                root.remove(child)
    if isinstance(chart, Plot):
        for number, series in enumerate(chart.series):
            _ask(root, number, series)
    for cell in root.iter(f"{{{SVG}}}g"):
        if (cell.get("id") or "").startswith(CELL):  # stands on a colour of its own, whatever the page's
            for text in cell.iter(f"{{{SVG}}}text"):
                style = text.get("style", "")
                colour = "white" if "fill: #ffffff" in style else "black"
                text.set("style", f"{style.replace('fill: #ffffff', '')}; fill: {colour}")
    for node in root.iter():
        _adapt(node, kind)
    width = PX_PER_PT * float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    root.attrib |= {"role": "img", "aria-label": caption, "class": "chart", "style": f"max-width: {width:.0f}px"}
    for prefix, uri in (("", SVG), ("xlink", XLINK)):
        ElementTree.register_namespace(prefix, uri)
    written = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", re.sub(r" ?\n", " ", written))


def _ask(root: ElementTree.Element, number: int, series: Series) -> None:
    """Gives the points of a series what they say when they are pointed at."""
    group = next((node for node in root.iter(f"{{{SVG}}}g") if node.get("id") == points_id(number)), None)
    points = [] if group is None else list(group.iter(f"{{{SVG}}}use"))
    if len(points) != len(series.x):  # a line without marks, or points beyond the picture
        return
    for point, word in zip(points, series.hover or (), strict=False):
        ElementTree.SubElement(point, f"{{{SVG}}}title").text = word
    for point, run in zip(points, series.runs or (), strict=False):
        point.set("data-run", run)
        for title in point.findall(f"{{{SVG}}}title"):  # the curve says it
            point.remove(title)


def _adapt(node: ElementTree.Element, kind: str) -> None:
    for name in ("d", "x", "y", "transform"):
        if place := node.get(name):
            node.set(name, _DIGITS.sub(lambda found: f"{float(found[0]):.2f}", place))
    if style := node.get("style"):
        style = _FONT.sub("", style)
        if node.tag == f"{{{SVG}}}text":  # labels in the colours of points would be too pale to read
            for colour in COLOURS:
                style = style.replace(f"fill: {colour.lower()}", "fill: currentColor")
        node.set("style", _COLOUR.sub(lambda found: THEME.get(found[0], found[0]), style))
    if own := node.get("id"):
        node.set("id", f"{kind}-{own}")
    if (link := node.get(f"{{{XLINK}}}href")) and link.startswith("#"):
        node.set(f"{{{XLINK}}}href", f"#{kind}-{link[1:]}")
    if clip := node.get("clip-path"):
        node.set("clip-path", clip.replace("url(#", f"url(#{kind}-"))


def explorable(kind: str, plotly_json: str) -> str:
    """The button that puts plotly's drawing in place of a picture, and what that one is drawn from."""
    from sweeps.reporting.page.parts import as_data

    name = escape(kind, quote=True)
    return (
        f'<p class="explore"><button type="button" hidden data-chart="{name}" aria-label="Zoom in: {name}">Zoom in'
        "</button></p>" + as_data(f"chart-{name}", plotly_json)
    )
