"""The way of a study's data, from the sources to the report, as far as the definition alone says it. Reads no image."""

from dataclasses import dataclass, field
from typing import Any

from resnet_tl.address import without_secrets
from resnet_tl.architecture import piece_costs, pieces
from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.views import finite_views
from resnet_tl.diagram import Diagram, Edge, Group, Node
from resnet_tl.freezing import cut_of, is_head_only
from resnet_tl.identity import canonical, digest
from resnet_tl.option_text import few
from sweeps.definition.config import Definition, StudyConfig
from sweeps.definition.dimension import Dimension
from sweeps.planning.feature_reuse import why_nothing
from sweeps.study_trial import SHOWN, data_of

MOST_WAYS = 8
"""Kinds of training that a picture shows one by one; a study over depths and freeze fractions can have dozens."""


@dataclass(kw_only=True, slots=True)
class _Way:
    """Trials that begin alike: with one frozen prefix, or without one for one reason."""

    example: TrialConfig
    cut: int
    """Pieces of the prefix whose outputs can be stored; 0 where there are none."""
    reason: str
    """Why nothing can be stored; empty where something can."""
    views: dict[str, None] = field(default_factory=dict)
    """Names of the views in which images pass the prefix."""
    names: set[str] = field(default_factory=set)
    """Of the networks that are trained, so that two ways to write one network count once."""


def flow_of(definition: Definition) -> Diagram:
    """Draws the way of a study's data: sources, splits, prefixes, trials and seeds, selection, test, report."""
    data, study = definition.data, definition.study
    ways = _ways(definition)
    steps = [
        Node(key="source", lines=_source(data)),
        Node(key="splits", lines=_splits(data, study)),
        Node(key="shown", lines=(*_presentation(data), *_augmented(definition))),
    ]
    parts: list[Node | Group] = [Group(title="images", nodes=tuple(steps))]
    edges = [Edge(source="source", target="splits"), Edge(source="splits", target="shown")]
    starts = list(dict.fromkeys(way.example.weights for way in ways))
    begin: list[Node] = []
    for number, weights in enumerate(starts):
        nodes, inside = _start(definition, weights, f"start{number}")
        begin += nodes
        edges += inside
    parts.append(Group(title="starting weights", nodes=tuple(begin)))
    drawn = ways[:MOST_WAYS]
    counted = study.is_listed
    for number, way in enumerate(drawn):
        nodes, inside = _way(way, number, data_of(way.example, data), is_counted=counted)
        parts += nodes
        begins = [Edge(source="shown", target=nodes[0].key)]
        begins.append(Edge(source=f"start{starts.index(way.example.weights)}", target=nodes[0].key))
        edges += [*begins, *inside, Edge(source=nodes[-1].key, target="runs")]
    if len(ways) > len(drawn):
        parts.append(Node(key="more", lines=(f"{len(ways) - len(drawn)} more kinds of trial", "not drawn here")))
        edges += [Edge(source="shown", target="more"), Edge(source="more", target="runs")]
    after, inside = _after(definition, sum(len(way.names) for way in ways) if counted else study.trials)
    parts.insert(2, Node(key="space", lines=_space(definition)))
    edges += [Edge(source="space", target="runs"), *inside]
    return Diagram(parts=(*parts, *after), edges=tuple(edges))


def channels_of(data: DataConfig) -> int:
    """Channels of the images, as far as the options say: digits are grey; other images are taken to be RGB."""
    return data.channels or (1 if data.source.startswith("digits") else 3)


def _ways(definition: Definition) -> list[_Way]:
    study, channels = definition.study, channels_of(definition.data)
    trials = [definition.trial(params) for params in definition.points()] if study.is_listed else definition.probes()
    found: dict[Any, _Way] = {}
    for trial in trials:
        cut = cut_of(trial, channels) if trial.weights != "none" and finite_views(trial.augment) else 0
        # precision and layout decide the bits of what is stored
        how = (cut, trial.precision, trial.memory_format) if cut else why_nothing([trial], channels)
        shown = data_of(trial, definition.data)
        key = (
            trial.backbone,
            trial.weights,
            is_head_only(trial, channels),
            bool(trial.head_epochs),
            how,
            (shown.size, shown.crop) if cut else None,
        )
        reason = "" if cut else why_nothing([trial], channels)
        way = found.setdefault(key, _Way(example=trial, cut=cut, reason=reason))
        way.views |= dict.fromkeys(view.name for view in finite_views(trial.augment) or ())
        # with three classes no criterion that is given is the one taken by itself unless it always is
        network = canonical(trial, num_classes=3, channels=channels)
        images = shown.model_dump(mode="json", include={*SHOWN})
        way.names.add(digest([trial.backbone, trial.weights, network, images]))
    return list(found.values())


def _source(data: DataConfig) -> tuple[str, ...]:
    lines = [data.source]
    lines += [f"archive from {data.url}"] if data.url is not None else []
    lines += [f"in {data.root}"] if data.root is not None else []
    lines += [f"labels of {data.labels}"] if data.labels is not None else []
    return tuple(without_secrets(line) for line in lines)


def _splits(data: DataConfig, study: StudyConfig) -> tuple[str, ...]:
    groups = [f"no group on both sides, by {data.group_key}"] if data.group_key is not None else []
    if study.folds:
        rest = study.folds - 2
        return (
            f"{study.folds} folds, cut anew by each seed",
            f"each fit: {rest} to train, one val, one test",
            *groups,
        )
    return (
        "train, val and test",
        f"where the data brings none: val {data.val_fraction:.3g}, test {data.test_fraction:.3g} of the images",
        f"class by class, split seed {data.split_seed}",
        *groups,
    )


def _presentation(data: DataConfig) -> tuple[str, ...]:
    size = "as large as they come" if data.size is None else f"{data.size}×{data.size} pixels, by {data.resize}"
    lines = [size]
    lines += [f"of these {data.crop}×{data.crop} are shown"] if data.crop is not None else []
    if data.channels is None and data.source != "image_folder" and not data.source.startswith("digits"):
        lines.append("channels as they come")
    else:
        lines.append("grey" if channels_of(data) == 1 else "RGB")
    lines += [f"balanced by {data.balanced}"] if data.balanced else []
    lines += [f"of each epoch {data.synthetic.share:.3g} generated, learnt from train"] if data.synthetic else []
    return tuple(lines)


def _augmented(definition: Definition) -> list[str]:
    """In which ways some trial changes its training images."""
    names = dict.fromkeys(name for trial in definition.probes() for name in trial.augment)
    return [f"augmented in train alone: {few(names)}"] if names else []


def _start(definition: Definition, weights: str, key: str) -> tuple[list[Node], list[Edge]]:
    """Where trials start from: weights by name, or a network that is pretrained first, on images of its own."""
    if weights not in definition.pretrain:
        said = {"none": "none: drawn by each seed", "imagenet": "imagenet, of torchvision"}
        return [Node(key=key, lines=(said.get(weights, without_secrets(weights)),))], []
    stage = definition.pretrain[weights]
    told = [f"{name} {value}" for name, value in stage.trial.items() if name in ("backbone", "epochs", "lr")]
    images = Node(key=f"{key}images", lines=(*_source(stage.data), *_presentation(stage.data)))
    made = Node(
        key=key, kind="trained", lines=(f"pretrained once: {weights}", ", ".join([*told, f"seed {stage.seed}"]))
    )
    return [images, made], [Edge(source=images.key, target=made.key)]


def _way(way: _Way, number: int, data: DataConfig, *, is_counted: bool) -> tuple[list[Node], list[Edge]]:
    trial, channels = way.example, channels_of(data)
    head_only = is_head_only(trial, channels)
    trials = _count(len(way.names), "trial") if is_counted else "proposed trials"
    trained = "the head trains" if head_only else "what follows and the head train"
    first = ("first the head alone",) if trial.head_epochs else ()
    if not way.cut:
        lines = (f"{trials}: {trial.backbone}", *first, f"nothing stored: {way.reason}")
        return [Node(key=f"trials{number}", kind="trained", lines=lines)], []
    behind = pieces(trial.backbone)[way.cut - 1]
    prefix = Node(
        key=f"prefix{number}",
        kind="frozen",
        lines=(f"frozen prefix: {trial.backbone} up to {behind}", f"in {trial.precision}"),
    )
    side = data.crop or data.size
    stored = [f"{_count(len(way.views), 'view')} of train: {few(way.views)}"]
    if side is not None:
        shape = "×".join(map(str, piece_costs(trial.backbone, channels, (side, side))[way.cut - 1].shape))
        stored.insert(0, f"{shape} values an image")
    store = Node(key=f"store{number}", kind="stored", lines=("its outputs, stored where that pays", *stored))
    trials_node = Node(key=f"trials{number}", kind="trained", lines=(f"{trials}: {trained}", *first))
    edges = [
        Edge(source=prefix.key, target=store.key, label="once for all"),
        Edge(source=store.key, target=trials_node.key),
    ]
    return [prefix, store, trials_node], edges


def _space(definition: Definition) -> tuple[str, ...]:
    study = definition.study
    lines = [f"search space, {study.method}"]
    lines += [_dimension(dimension) for dimension in definition.space.dimensions]
    return tuple(without_secrets(line) for line in lines)


def _dimension(dimension: Dimension) -> str:
    listed = dimension.choices
    text = f"{dimension.name}: " + (
        f"{dimension.low:.4g} to {dimension.high:.4g}{', by its logarithm' if dimension.log else ''}"
        if listed is None
        else few(_value(value) for value in listed)
    )
    conditions = [f"{name} is {' or '.join(map(_value, values))}" for name, values in dimension.when.items()]
    return text + (f" (where {' and '.join(conditions)})" if conditions else "")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else "off" if value is None else str(value)


def _after(definition: Definition, num_trials: int | None) -> tuple[list[Node], list[Edge]]:
    """What becomes of all trials together."""
    study = definition.study
    assert num_trials is not None, "a study that samples says how many trials it wants"
    seeds = len(study.seeds)
    fits = f", {study.folds} fits each" if study.folds else ""
    runs = [f"{_count(num_trials, 'trial')} × {_count(seeds, 'seed')} = {num_trials * seeds:,} seed runs{fits}"]
    better = "lowest" if study.direction == "minimize" else "highest"
    selection = (
        f"epoch: of each seed run, by {_monitors(definition)}",
        f"trial: {better} mean of {study.metric} over its seeds",
    )
    tables = few(table.kind for table in study.tables) or "none"
    lines = [f"{study.name}.md and {study.name}.csv", f"tables: {tables}"]
    lines += [f"figures: {few(figure.kind for figure in study.figures)}"] if study.figures else []
    asked = sum(item.parameter is not None for item in study.hypotheses)
    lines += [f"{_count(asked, 'comparison')} answered"] if asked else []
    nodes = [
        Node(key="runs", kind="trained", lines=tuple(runs)),
        Node(key="selection", lines=("selection on val", *selection)),
        Node(key="test", lines=("test", "scored once for each seed run, steers nothing")),
        Node(key="report", lines=("report", *lines)),
    ]
    edges = [
        Edge(source="runs", target="selection"),
        Edge(source="selection", target="test"),
        Edge(source="test", target="report"),
    ]
    if study.confirm:
        told = (f"the best {study.confirm.top} again", f"on {_count(len(study.confirm.seeds), 'fresh seed')}")
        nodes.insert(2, Node(key="confirm", kind="trained", lines=told))
        edges[1:2] = [
            Edge(source="selection", target="test"),
            Edge(source="selection", target="confirm"),
            Edge(source="confirm", target="test"),
        ]
    return nodes, edges


def _monitors(definition: Definition) -> str:
    """The metrics that choose epochs."""
    return " or ".join(dict.fromkeys(trial.monitor for trial in definition.probes()))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
