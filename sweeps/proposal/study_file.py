"""The study as YAML that a person reads: every value with the reason for it.

Words of users (names of classes, files and folders) stand in quotes, or as one line of a comment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnet_tl.data.layout import read_layout
from sweeps.proposal.budget import Budget
from sweeps.proposal.patients import Patients
from sweeps.proposal.start import STAGE, Start
from sweeps.proposal.survey import UNEQUAL, Survey

HEAD_LRS = ("1e-3", "1e-2")
WHOLE_LRS = ("1e-3", "3e-4")
"""Of Adam, whose usual one is 1e-3: the first is what one would take without a search."""
SCRATCH_LR = "1e-3"
FLIP = (
    "If a mirrored image would still be of its class (not so for letters, or left and right of a body), this is mostly "
    "worth its while:"
)
FRESH_TRIALS, FRESH_SEEDS = 2, 5
"""Of the study behind the first: what it confirms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """All that the file says."""

    name: str
    root: str
    """Absolute, so that the study runs from any folder."""
    survey: Survey
    start: Start
    budget: Budget
    backbone: str
    batch_size: int
    device: str
    """In words."""
    minutes: float
    is_slim: bool
    """Whether each recipe has one learning rate only, for want of time."""
    patients: Patients | None
    """Groups that the file names; None where names show none, or where the data's own splits divide them."""
    best: Mapping[str, Any] | None = None
    """Values of the best trial of the study before, which this one goes on from; None for the first."""
    divided: str = ""
    """Why groups that were found are not named; empty where there are none, or where they are."""

    @property
    def metric(self) -> str:
        """Accuracy, unless a class is rare."""
        return "val/balanced_accuracy" if self.survey.imbalance >= UNEQUAL else "val/accuracy"


def quoted(text: str) -> str:
    """A text as one YAML value, whatever it holds."""
    dumped: str = yaml.safe_dump(text, default_style='"', width=10**9, allow_unicode=True)
    return dumped.strip()


def one_line(text: str) -> str:
    """A text that cannot end the comment it stands in."""
    return " ".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text).split())


def written(proposal: Proposal) -> str:
    """The whole file."""
    blocks = [_head(proposal), _study(proposal), _trial(proposal), _data(proposal)]
    uses_stage = proposal.best is None or proposal.best.get("weights") == STAGE
    if proposal.start.is_stage and uses_stage:
        blocks.append(_stage(proposal))
    return "\n".join(line for block in blocks for line in block) + "\n"


def _comment(text: str, *, indent: int = 0) -> list[str]:
    """A comment of as many lines as it takes."""
    words, lines, width = one_line(text).split(" "), [""], 116 - indent
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [f"{' ' * indent}# {line}" for line in lines]


def _head(proposal: Proposal) -> list[str]:
    survey, budget = proposal.survey, proposal.budget
    classes = len(survey.classes)
    return [
        *_comment(
            f"{'A first study' if proposal.best is None else 'The study behind the first'} of {proposal.root}: "
            f"{survey.num_images:,} images of {classes} classes."
        ),
        "#",
        "#   python -m sweeps.run study=THIS_FILE run.dry_run=true",
        "#   python -m sweeps.run study=THIS_FILE",
        "#",
        *_comment(
            f"Cost: about {budget.seconds / 60:.1f} minutes on {proposal.device}, from training steps timed there, for "
            f"minutes={proposal.minutes:g}. More time buys larger images, more epochs and more seeds"
            + (": run sweeps.init again with minutes=60, say." if proposal.best is None else ".")
        ),
    ]


def _study(proposal: Proposal) -> list[str]:
    start, budget = proposal.start, proposal.budget
    lines = [
        "study:",
        f"  name: {quoted(proposal.name)}",
        f"  question: {_question(proposal)}",
        "  method: grid",
        f"  metric: {proposal.metric}",
    ]
    lines[-1:] = [*_comment(_why_metric(proposal), indent=2), lines[-1]]
    told = f"{budget.num_seeds} seeds fit into the time; more narrow the intervals."
    if budget.num_seeds < 3:
        told = f"{budget.num_seeds} seeds fit into the time; fewer than three show hardly any spread, so add some."
    elif not budget.fits:
        told = "The time is too short for three seeds, but fewer show hardly any spread."
    lines += _comment(told, indent=2)
    lines.append(f"  seeds: [{', '.join(map(str, range(budget.num_seeds)))}]")
    if proposal.best is not None:
        return [*lines, *_around(proposal.best)]
    lines.append("  space:")
    if start.is_nothing:
        lines += _comment("Nothing to start from, so all networks train whole; the first is the usual one.", indent=4)
        return [*lines, f"    lr: {{values: [{', '.join(WHOLE_LRS)}]}}", "  tables: [summary, lists, checklist]",
                "  figures: [seeds, curves, confusion]"]  # fmt: skip
    weights = quoted(start.weights)
    lines += [
        *([] if start.is_stage else _comment(start.why, indent=4)),
        *_comment("Baseline 3, from scratch, is `none`: is it worth starting from these weights at all?", indent=4),
        f"    weights: {{values: [{weights}, none]}}",
        *_comment(
            "How much stays as it is: nothing, all but the last stage, or all. Baseline 1, a frozen network with a "
            "linear head, is `all`; baseline 2, the default fine-tune, is `none` with the first lr.",
            indent=4,
        ),
        f"    freeze: {{values: [none, layer3, all], when: {{weights: {weights}}}}}",
        *_comment(
            "A head alone takes larger steps, and costs next to nothing: its features are computed once.", indent=4
        ),
        "    lr:",
        f"      - {{values: [{', '.join(HEAD_LRS)}], when: {{freeze: all}}}}",
        f"      - {{values: [{SCRATCH_LR}], when: {{weights: none}}}}",
        *(_comment("A second one, 3e-4 say, did not fit into the time.", indent=6) if proposal.is_slim else []),
        f"      - {{values: [{', '.join(WHOLE_LRS[:1] if proposal.is_slim else WHOLE_LRS)}]}}",
        "  hypotheses:",
        f"    - {{says: Starting from these weights beats starting from nothing., "
        f"compare: {{weights: [{weights}, none]}}, expect: {weights}}}",
        "    - {says: Training the whole network beats a linear head on a frozen one., "
        "compare: {freeze: [none, all]}, expect: none}",
        "  tables: [summary, lists, checklist]",
        "  figures: [seeds, curves, forest, confusion]",
    ]
    return lines


def _question(proposal: Proposal) -> str:
    if proposal.best is None:
        return "Which recipe serves these images best, and is it better than three plain ones?"
    return "How good does the recipe that was best get with more time, and which learning rate suits it?"


def _around(best: Mapping[str, Any]) -> list[str]:
    lr = float(best["lr"])
    return [
        *_comment("The best were picked from these very numbers; fresh seeds say how good they are.", indent=2),
        f"  confirm: {{top: {FRESH_TRIALS}, seeds: {FRESH_SEEDS}}}",
        "  space:",
        *_comment("The best one of the study before comes first, others around it.", indent=4),
        f"    lr: {{values: [{lr:g}, {lr / 3:.2g}, {3 * lr:.2g}]}}",
        *_comment(
            "Take hflip out if a mirrored image is not of its class: letters, left and right of a body.", indent=4
        ),
        "    augment: {values: [none, hflip]}",
        "  tables: [summary, slices, confirmed, classes, checklist]",
        "  figures: [seeds, curves, forest, confusion, reliability]",
    ]


def _why_metric(proposal: Proposal) -> str:
    least, most = min(proposal.survey.learnt.values()), max(proposal.survey.learnt.values())
    if proposal.metric == "val/accuracy":
        return f"Classes have {least:,} to {most:,} images to learn from, alike enough for plain accuracy."
    return (
        f"Classes have {least:,} to {most:,} images to learn from: plain accuracy would hardly see the rare ones, so "
        "each class counts alike."
    )


def _trial(proposal: Proposal) -> list[str]:
    budget, work = proposal.budget, proposal.survey
    steps = -(-work.num_in("train") // proposal.batch_size)
    return [
        "trial:",
        f"  backbone: {proposal.backbone}",
        *_fixed(proposal),
        "  head: linear",
        "  optimizer: adam",
        *_comment(
            f"About {work.num_in('train'):,} training images in batches of {proposal.batch_size} are {steps:,} steps "
            f"an epoch, {steps * budget.epochs:,} in all.",
            indent=2,
        ),
        f"  epochs: {budget.epochs}",
        f"  batch_size: {proposal.batch_size}",
        *([] if proposal.best is not None else [*_comment(FLIP, indent=2), "  # augment: hflip"]),
    ]


def _fixed(proposal: Proposal) -> list[str]:
    """Weights and what stays frozen, where the study does not search them."""
    best, start = proposal.best, proposal.start
    if best is None:
        return [*_comment(start.why, indent=2), "  weights: none"] if start.is_nothing else []
    weights = str(best.get("weights", "none"))
    told = start.why if weights == start.weights and not start.is_stage else "As the best one of the study before."
    lines = [*_comment(told, indent=2), f"  weights: {quoted(weights)}"]
    return lines if weights == "none" else [*lines, f"  freeze: {best.get('freeze', 'none')}"]


def _data(proposal: Proposal) -> list[str]:
    survey, size = proposal.survey, proposal.budget.size
    lines = ["data:", f"  source: {survey.config.source}", f"  root: {quoted(proposal.root)}"]
    lines += [*_comment(_why_size(proposal), indent=2), f"  size: {size}"]
    given = survey.config.model_dump(mode="json", exclude_unset=True, exclude={"source", "root", "size", "channels"})
    if survey.config.channels is not None:
        lines += [f"  channels: {survey.config.channels}"]
    elif survey.is_grey and survey.config.source == "image_folder":
        lines += _comment(f"All of {survey.num_sampled} images looked at are grey.", indent=2)
        lines += ["  channels: 1"]
    if any(value is not None for value in given.values()):
        lines += _comment("As it was asked for:", indent=2)
        dumped = yaml.safe_dump(given, default_flow_style=False, allow_unicode=True, width=10**9, sort_keys=False)
        lines += [f"  {line}" for line in dumped.splitlines()]
    return [*lines, *_cut(proposal), *_groups(proposal)]


def _why_size(proposal: Proposal) -> str:
    survey, size = proposal.survey, proposal.budget.size
    sides = survey.short_sides
    told = f"Short sides are {sides[0]} to {sides[-1]} pixels (half of them {survey.median_side} or more)"
    if size >= 224:
        return f"{told}: {size} is what ImageNet's weights were trained at."
    if size * 1.2 >= survey.median_side:
        return f"{told}: {size} is about all there is."
    return f"{told}: {size} is what fits into the time; finer detail needs more of both."


def _cut(proposal: Proposal) -> list[str]:
    survey = proposal.survey
    lacking = [split for split in ("val", "test") if split not in survey.counts]
    if not lacking:
        return _comment("The data brings val and test itself.", indent=2)
    own = f" The data brings its own {' and '.join(survey.stated)}." if survey.stated else ""
    counts = ", ".join(f"about {survey.num_in(split):,} for {split}" for split in lacking)
    alone = " and ".join(lacking)
    return [
        *_comment(
            f"{alone.capitalize()} {'is' if len(lacking) == 1 else 'are'} cut from the training images by split_seed: "
            f"{counts}; copies stay on one side.{own}",
            indent=2,
        ),
        "  split_seed: 0",
        *(f"  {split}_fraction: {getattr(survey.config, f'{split}_fraction'):g}" for split in lacking
          if f"{split}_fraction" not in survey.config.model_fields_set),
    ]  # fmt: skip


def _groups(proposal: Proposal) -> list[str]:
    if proposal.divided:
        found = proposal.survey.patients
        assert found is not None
        return [
            *_comment(
                f"LOOK AT THIS: {found.told()}, such as {', '.join(found.example)}. {proposal.divided}", indent=2
            ),
            f"  # group_key: {single_quoted(found.pattern)}",
        ]
    if proposal.patients is None:
        return []
    found = proposal.patients
    torn = f" {found.num_torn} of them have images in two classes or more." if found.num_torn else ""
    rest = f" The other {found.missing:,} images count as one group each." if found.missing else ""
    lines = _comment(
        f"LOOK AT THIS, it is a guess: {found.told()}, such as {', '.join(found.example)}. Each stays in one split, "
        f"or test would be easier than new patients are.{torn}{rest} If these are no patients, take the "
        f"line{'s' if found.missing else ''} out.",
        indent=2,
    )
    lines.append(f"  group_key: {single_quoted(found.pattern)}")
    return [*lines, "  group_missing: own"] if found.missing else lines


def single_quoted(text: str) -> str:
    """A pattern, whose backslashes stay what they are."""
    return "'" + text.replace("'", "''") + "'"


def _stage(proposal: Proposal) -> list[str]:
    survey, budget = proposal.survey, proposal.budget
    in_folders = survey.config.source == "image_folder" and survey.config.labels is None
    has_own = in_folders and "train" in survey.counts
    root = f"{proposal.root.rstrip('/')}/{_train_folder(proposal)}" if has_own else proposal.root
    cut = [split for split in ("val", "test") if split not in survey.counts]
    if has_own and not cut:
        seen = "It sees the training images alone."
    else:
        which = f"the images that {' and '.join(cut)} {'is' if len(cut) == 1 else 'are'} cut from" if has_own else "all"
        seen = (
            f"It sees {which}, though no label of any: scores of what starts from it may be a little too good for new "
            "images."
        )
    return [
        "pretrain:",
        *_comment(proposal.start.why, indent=2),
        *_comment(f"The stage learns to tell how an image is turned. {seen}", indent=2),
        f"  {STAGE}:",
        f"    trial: {{backbone: {proposal.backbone}, optimizer: adam, lr: 1e-3, epochs: {budget.stage_epochs}, "
        f"batch_size: {2 * proposal.batch_size}}}",
        f"    data: {{source: rotations, root: {quoted(root)}, size: {budget.size}, {_stage_channels(survey)}"
        f"{_stage_options(survey)}val_fraction: 0.05, test_fraction: 0.05}}",
    ]


def _train_folder(proposal: Proposal) -> str:
    places = read_layout(Path(proposal.root)).places
    return next((place.name for split, place in places if split == "train"), "")


def _stage_channels(survey: Survey) -> str:
    channels = survey.config.channels or (1 if survey.is_grey else None)
    return f"channels: {channels}, " if channels else ""


def _stage_options(survey: Survey) -> str:
    """What the user said of how files are read, which holds for the stage as well."""
    names: Sequence[str] = ("bits", "max_pixels", "skip_bad", "truncated", "resize")
    given = survey.config.model_dump(mode="json", exclude_unset=True, include=set(names))
    return "".join(
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}, " for name, value in given.items()
    )
