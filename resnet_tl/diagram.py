"""Boxes and arrows as text that Mermaid or PlantUML draws. Whatever stands in a label is text, never markup.

Source of the escapes: mermaid.js.org/syntax/flowchart.html, "Entity codes to escape characters" (`#35;`);
plantuml.com/creole, "Unicode" (`<U+0023>`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "frozen", "trained", "stored"]
Format = Literal["mermaid", "plantuml"]

_COLOURS: dict[Kind, tuple[str, str]] = {
    "plain": ("#ffffff", "#555555"),
    "frozen": ("#dbe9f6", "#2b6ca3"),
    "trained": ("#fde5cd", "#b45f06"),
    "stored": ("#e6e6e6", "#555555"),
}
"""Background and border of each kind. Labels say in words what colours show."""
_PUNCTUATION = re.compile(r"(?!(?<=\d)\.(?=\d)|(?<=[a-zA-Z])-(?=[a-zA-Z]))[^\w ,()\u0080-\U0010ffff]|_")
"""ASCII characters that are markup somewhere: of Mermaid, of the Markdown in its labels, of Creole or of a
preprocessor. Within quotes commas and brackets are not, nor are the point in `0.8` and the hyphen in `near-by`."""
_LIST = re.compile(r"\A(\d+)\)")
"""What Markdown takes for an item of a list at the start of a label; its other forms begin with punctuation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One box."""

    key: str
    """By which arrows name it: letters and digits."""
    lines: tuple[str, ...]
    kind: Kind = "plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """One arrow."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Boxes with a frame around them."""

    title: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagram:
    """Boxes and arrows, from top to bottom."""

    parts: tuple[Node | Group, ...]
    edges: tuple[Edge, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All boxes, in frames or not."""
        return tuple(n for part in self.parts for n in (part.nodes if isinstance(part, Group) else (part,)))


def written(diagram: Diagram, form: Format) -> str:
    """A diagram in one of the languages, without a line end."""
    return mermaid(diagram) if form == "mermaid" else plantuml(diagram)


def mermaid(diagram: Diagram) -> str:
    """A flowchart of Mermaid 10 or later."""

    def box(node: Node) -> str:
        before, after = ("[(", ")]") if node.kind == "stored" else ("[", "]")
        return f'{node.key}{before}"{_label(node.lines, mermaid_text, "<br/>")}"{after}'

    lines = ["flowchart TB"]
    for number, part in enumerate(diagram.parts):
        if isinstance(part, Group):
            lines.append(f'    subgraph group{number}["{mermaid_text(part.title)}"]')
            lines += [f"        {box(node)}" for node in part.nodes]
            lines.append("    end")
        else:
            lines.append(f"    {box(part)}")
    for edge in diagram.edges:
        label = f'|"{mermaid_text(edge.label)}"|' if edge.label else ""
        lines.append(f"    {edge.source} -->{label} {edge.target}")
    for kind, (fill, stroke) in _COLOURS.items():
        keys = [node.key for node in diagram.nodes if node.kind == kind]
        if keys:
            lines.append(f"    classDef {kind} fill:{fill},stroke:{stroke},color:#000000")
            lines.append(f"    class {','.join(keys)} {kind}")
    return "\n".join(lines)


def plantuml(diagram: Diagram) -> str:
    """A component diagram of PlantUML."""

    def box(node: Node) -> str:
        shape = "database" if node.kind == "stored" else "rectangle"
        fill, stroke = _COLOURS[node.kind]
        return f'{shape} "{_label(node.lines, plantuml_text, chr(92) + "n")}" as {node.key} {fill};line:{stroke[1:]}'

    lines = ["@startuml", "top to bottom direction"]
    for number, part in enumerate(diagram.parts):
        if isinstance(part, Group):
            lines.append(f'rectangle "{plantuml_text(part.title)}" as group{number} {{')
            lines += [f"  {box(node)}" for node in part.nodes]
            lines.append("}")
        else:
            lines.append(box(part))
    for edge in diagram.edges:
        label = f" : {plantuml_text(edge.label)}" if edge.label else ""
        lines.append(f"{edge.source} --> {edge.target}{label}")
    return "\n".join([*lines, "@enduml"])


def mermaid_text(text: str) -> str:
    """Text for a label of Mermaid: letters and digits as they are, what is markup somewhere as its code."""
    return _escaped(text, lambda character: f"#{ord(character)};")


def plantuml_text(text: str) -> str:
    """Text for a label of PlantUML, likewise."""
    return _escaped(text, lambda character: f"<U+{ord(character):04X}>")


def _escaped(text: str, code: Callable[[str], str]) -> str:
    flat = " ".join(text.split())  # a line end would end the label, and with it the quotes that make it text
    coded = _PUNCTUATION.sub(lambda found: code(found.group()), flat)
    return _LIST.sub(lambda found: found.group(1) + code(")"), coded)


def _label(lines: Sequence[str], text: Callable[[str], str], line_end: str) -> str:
    return line_end.join(text(line) for line in lines)
