"""Shows a network stage by stage: shapes, parameters, what is frozen, where it is cut, and what a forward pass costs.

    python -m resnet_tl.describe trial.backbone=resnet34 trial.freeze=0.8 data.size=224 classes=2
    python -m resnet_tl.describe trial.backbone=resnet50 trial.head=mlp_batchnorm format=mermaid

trial.x=VALUE          an option of a trial; only the backbone must be given. Those that say nothing of the network,
                       such as lr, are checked and change nothing
data.size=224          pixels of the square; data.crop=N where a smaller one is fed to the network; data.channels=3
classes=2              number of classes
format=table           table, mermaid or plantuml

Nothing is built, loaded or downloaded. Multiply-adds are those of convolutions and linear layers in the forward pass of
one image; FLOPs are twice as many. The way of a study's data: python -m sweeps.describe study=NAME
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from resnet_tl import cli
from resnet_tl.address import without_secrets
from resnet_tl.command import Section, command, entry, options_of
from resnet_tl.config import DataConfig, Options, TrialConfig, check_together
from resnet_tl.diagram import Diagram, Edge, Group, Node, written
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import idle_head_options
from resnet_tl.network_summary import NetworkSummary, Stage, summarise
from resnet_tl.option_text import parse_words, validate

OF_DATA = ("size", "crop", "channels")
"""The options of `data.*` that decide what a network is."""
UNSAID = {"optimizer": "sgd", "lr": 1e-3, "epochs": 10_000, "batch_size": 32}
"""Options that a trial must have and a network does not depend on; many epochs, so that any warm-up is shorter."""

MOST_SHOWN = 60
"""Characters of an address of weights; of a longer one the end is shown, where the file's name is."""


class _Plain(Options):
    classes: int = Field(2, ge=2)
    """Number of classes."""
    format: Literal["table", "mermaid", "plantuml"] = "table"
    """How the network is written."""


def _sections() -> list[Section]:
    return [options_of(TrialConfig, "trial")]


@command(sections=_sections, needs_words=True)
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    trial, data, plain = _request(words)
    side = data.crop or data.size
    assert side is not None
    assert data.channels is not None
    network = summarise(trial, channels=data.channels, input_size=(side, side), num_classes=plain.classes)
    if plain.format == "table":
        print(table(trial, network, channels=data.channels, side=side, num_classes=plain.classes))
    else:
        print(written(diagram(trial, network, channels=data.channels, side=side), plain.format))
    return 0


def _request(words: Sequence[str]) -> tuple[TrialConfig, DataConfig, _Plain]:
    values = parse_words(words, literal=cli.LITERAL)
    given: dict[str, dict[str, Any]] = {"trial": {}, "data": {}, "": {}}
    problems = []
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        if key == "study":
            problems.append(
                "`study=` is not an option here; the way of a study's data is shown by "
                f"`python -m sweeps.describe study={value}`."
            )
        elif group not in given:
            problems.append(f"`{key}` is not an option; it must start with trial. or data.")
        elif group == "data" and name in DataConfig.model_fields and name not in OF_DATA:
            problems.append(
                f"`{key}` must be left out: of the images only {', '.join(f'data.{name}' for name in OF_DATA)} decide "
                "what a network is."
            )
        else:
            given[group][name] = value
    found: dict[str, Any] = {}
    defaults = {"trial": UNSAID, "data": {"source": "image_folder", "size": 224, "channels": 3}, "": {}}
    for group, model in (("trial", TrialConfig), ("data", DataConfig), ("", _Plain)):
        try:
            found[group] = validate(model, defaults[group] | given[group], group)
        except ConfigError as error:
            problems += error.problems
    if "trial" in found:
        problems += idle_head_options(found["trial"], given["trial"])
    if "data" in found:
        data = found["data"]
        lacking = [name for name in ("size", "channels") if getattr(data, name) is None]
        problems += [f"`data.{name}` must be a number here: no images are read." for name in lacking]
    if problems:
        raise ConfigError(*problems)
    check_together(found["trial"], found["data"], found[""].classes)
    return found["trial"], found["data"], found[""]


def shape_text(shape: Sequence[int]) -> str:
    """`64×56×56`."""
    return "×".join(f"{size}" for size in shape)


def table(trial: TrialConfig, network: NetworkSummary, *, channels: int, side: int, num_classes: int) -> str:
    """The stages as columns of text, and what they come to."""
    header = ("stage", "what", "output", "parameters", "frozen", "multiply-adds")
    rows: list[tuple[str, ...]] = [("images", "", f"{channels}×{side}×{side}", "", "", "")]
    cut_after = 0
    for stage in network.stages:
        counts = [f"{count:,}" if count else "" for count in (stage.num_parameters, stage.num_frozen, stage.macs)]
        rows.append((stage.name, stage.what, shape_text(stage.shape), *counts))
        cut_after = len(rows) if stage.in_prefix else cut_after
    frozen = network.num_parameters - network.num_trained
    rows.append(("total", "", "", f"{network.num_parameters:,}", f"{frozen:,}" if frozen else "", f"{network.macs:,}"))
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}" for column, (cell, width) in columns(row)]
        return "  ".join(cells).rstrip()

    def columns(row: Sequence[str]) -> list[tuple[int, tuple[str, int]]]:
        return list(enumerate(zip(row, widths, strict=True)))

    lines = [
        f"{trial.backbone}, {num_classes} classes, head {trial.head}, starting weights {_weights(trial)}",
        "",
        line(header),
    ]
    for number, row in enumerate(rows, start=1):
        lines.append(line(row))
        if number == cut_after:
            lines.append(f"{'- cut ':-<{sum(widths) + 2 * (len(widths) - 1)}}")
    return "\n".join([*lines, "", *sentences(trial, network)])


def sentences(trial: TrialConfig, network: NetworkSummary) -> list[str]:
    """What is frozen, what may be computed once, and what is counted."""
    backbone = [stage for stage in network.stages if not _is_head(stage)]
    total, fixed = (sum(getattr(stage, name) for stage in backbone) for name in ("num_parameters", "num_frozen"))
    share = isinstance(trial.freeze, float) and 0 < trial.freeze < 1
    reached = f", the fewest in order that reach {trial.freeze:.0%}" if share else ""
    said = [
        f"{network.num_trained:,} of {network.num_parameters:,} parameters train.",
        f"Frozen: {fixed:,} of the backbone's {total:,} parameters ({fixed / total:.1%}), in the first "
        f"{network.num_frozen_tensors} of {network.num_tensors} tensors{reached}."
        if network.num_frozen_tensors
        else "Nothing is frozen.",
    ]
    if trial.head_epochs:
        of_head = sum(stage.num_parameters for stage in network.stages if _is_head(stage))
        said.insert(0, f"For {trial.head_epochs} epochs first {of_head:,} parameters train, those of the head.")
    if network.cut_behind is not None:
        num_bytes = math.prod(network.cut_shape) * (2 if trial.precision == "bf16" else 4)
        where = "with the block's input, which is still to be added, " if ".conv" in network.cut_behind else ""
        said.append(
            f"Cut behind {network.cut_behind}: {network.prefix_macs / network.macs:.1%} of the multiply-adds stand "
            f"before it, and no training changes what they make of an image: {shape_text(network.cut_shape)} values, "
            f"{where}{num_bytes:,} bytes in {trial.precision}."
        )
        if trial.weights == "none":
            said.append("The frozen part has random weights, which each seed draws anew.")
    elif network.num_frozen_tensors:
        said.append(f"No cut: {why_no_cut(trial)}.")
    said.append("Multiply-adds: convolutions and linear layers, one image forward; FLOPs are twice as many.")
    return said


def why_no_cut(trial: TrialConfig) -> str:
    """Why a network that is frozen in part has no frozen prefix, as the end of a sentence."""
    if trial.bn != "frozen_eval":
        return f"what the frozen part makes of an image changes with training (bn: {trial.bn})"
    if trial.endless_views:
        return f"no image is seen twice in the same way (augment: {', '.join(trial.augment)})"
    return "the frozen part ends within the first layers"


def diagram(trial: TrialConfig, network: NetworkSummary, *, channels: int, side: int) -> Diagram:
    """The stages as boxes, those of the frozen prefix in a frame."""
    start = Node(key="images", lines=("images", f"{channels}×{side}×{side}"))
    nodes = [_box(f"s{number}", stage) for number, stage in enumerate(network.stages)]
    num_prefix = sum(stage.in_prefix for stage in network.stages)
    num_backbone = sum(not _is_head(stage) for stage in network.stages)
    trained = "trained" if not any(stage.num_frozen for stage in network.stages[num_prefix:]) else "frozen in part"
    frames = [
        (f"{trial.backbone}, frozen prefix; starting weights: {_weights(trial)}", nodes[:num_prefix]),
        (
            f"{trial.backbone}, {trained}" + ("" if num_prefix else f"; starting weights: {_weights(trial)}"),
            nodes[num_prefix:num_backbone],
        ),
        (f"head {trial.head}, trained", nodes[num_backbone:]),
    ]
    order = [start, *nodes]
    edges = [Edge(source=a.key, target=b.key) for a, b in pairwise(order)]
    if num_prefix:
        label = f"cut: {shape_text(network.cut_shape)} values an image"
        edges[num_prefix] = Edge(source=order[num_prefix].key, target=order[num_prefix + 1].key, label=label)
    groups = tuple(Group(title=title, nodes=tuple(inside)) for title, inside in frames if inside)
    return Diagram(parts=(start, *groups), edges=tuple(edges))


def _box(key: str, stage: Stage) -> Node:
    lines = [f"{stage.name}: {stage.what}" if stage.name else stage.what, shape_text(stage.shape)]
    if stage.num_parameters:
        lines.append(f"{stage.num_parameters:,} parameters{_frozen(stage)}")
    if stage.macs:
        lines.append(f"{_large(stage.macs)} multiply-adds")
    whole = stage.num_frozen == stage.num_parameters > 0
    kind: Literal["frozen", "trained", "plain"] = "frozen" if whole else "trained" if stage.num_parameters else "plain"
    return Node(key=key, lines=tuple(lines), kind=kind)


def _large(count: int) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 1_000_000 else f"{count:,}"


def _frozen(stage: Stage) -> str:
    if not stage.num_frozen:
        return ", trained"
    return ", frozen" if stage.num_frozen == stage.num_parameters else f", {stage.num_frozen:,} frozen"


def _is_head(stage: Stage) -> bool:
    return stage.name.startswith("head") or not stage.name


def _weights(trial: TrialConfig) -> str:
    text = without_secrets(trial.weights)
    return text if len(text) <= MOST_SHOWN else f"…{text[-MOST_SHOWN:]}"


if __name__ == "__main__":
    entry(main)
