"""python -m sweeps.describe: shows the way of a study's data, from the sources to the report.

    python -m sweeps.describe study=quickstart
    python -m sweeps.describe study=my_study.yaml format=mermaid

study=NAME_OR_FILE     as for sweeps.run, with the same overrides: data.root=…, trial.lr=…, study.seeds=[…]
format=table           table, mermaid or plantuml

The definition alone is read: no images, no weights, no results. Whether the data brings splits of its own, and whether
outputs of a frozen prefix are stored, is decided when the study runs; `sweeps.run run.dry_run=true` says it.
Networks stage by stage: python -m resnet_tl.describe trial.backbone=resnet34
"""

import sys
from collections.abc import Sequence

from resnet_tl.command import command, entry
from resnet_tl.diagram import Diagram, written
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import nearest

FORMATS = ("table", "mermaid", "plantuml")


@command()
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    from sweeps.definition.compose import compose
    from sweeps.planning.flow import flow_of

    forms = [word.removeprefix("format=") for word in words if word.startswith("format=")] or ["table"]
    if len(forms) > 1 or forms[0] not in FORMATS:
        given = ", ".join(forms)
        raise ConfigError(f"`format` must be one of {', '.join(FORMATS)}, but got {given}; {nearest(given, FORMATS)}")
    definition = compose([word for word in words if not word.startswith("format=")])
    for note in definition.notes:
        print(note, file=sys.stderr)  # what is printed may go straight into a file that is drawn
    diagram = flow_of(definition)
    form = forms[0]
    if form == "table":
        print(f"{definition.study.name}: {definition.study.question}\n")
        print(table(diagram))
    elif form == "mermaid":
        print(written(diagram, "mermaid"))
    else:
        print(written(diagram, "plantuml"))
    return 0


def table(diagram: Diagram) -> str:
    """The boxes one below the other, each with those that lead to it."""
    width = max(len(node.key) for node in diagram.nodes)
    lines = []
    for node in diagram.nodes:
        before = [edge.source for edge in diagram.edges if edge.target == node.key]
        first, *rest = node.lines
        lines.append(f"{node.key:{width}}  {first}")
        lines += [f"{'':{width}}  {line}" for line in rest]
        lines += [f"{'':{width}}  <- {', '.join(before)}"] if before else []
    return "\n".join(lines)


if __name__ == "__main__":
    entry(main)
