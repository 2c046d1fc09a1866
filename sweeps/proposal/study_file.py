"""The study as YAML that a person reads: every value with the reason for it.

Words of users (names of classes, files and folders) stand in quotes, or as one line of a comment.
"""

from collections.abc import Mapping
from typing import Any

from sweeps.proposal.budget import SEEDS, epochs_of, largest_size
from sweeps.proposal.image_blocks import data_block, stage_block
from sweeps.proposal.proposal import Proposal
from sweeps.proposal.start import STAGE
from sweeps.proposal.wording import comment, quoted

HEAD_LRS = ("1e-3", "1e-2")
WHOLE_LRS = ("1e-3", "3e-4")
"""Of Adam, whose usual one is 1e-3: the first is what one would take without a search."""
SCRATCH_LR = "1e-3"
FLIP = (
    "If a mirrored image would still be of its class (not so for letters, or left and right of a body), this is mostly "
    "worth its while:"
)
HOUR = 60
"""Minutes that are named where more time would help."""
FRESH_TRIALS, FRESH_SEEDS = 2, 5
"""Of the study behind the first: what it confirms."""


def written(proposal: Proposal) -> str:
    """The whole file."""
    blocks = [_head(proposal), _study(proposal), _trial(proposal), data_block(proposal)]
    uses_stage = proposal.best is None or proposal.best.get("weights") == STAGE
    if proposal.start.is_stage and uses_stage:
        blocks.append(stage_block(proposal))
    return "\n".join(line for block in blocks for line in block) + "\n"


def _head(proposal: Proposal) -> list[str]:
    survey, budget = proposal.survey, proposal.budget
    classes = len(survey.classes)
    return [
        *comment(
            f"{'A first study' if proposal.best is None else 'The study behind the first'} of {proposal.root}: "
            f"{survey.num_images:,} images of {classes} classes."
        ),
        "#",
        "#   python -m sweeps.run study=THIS_FILE run.dry_run=true",
        "#   python -m sweeps.run study=THIS_FILE",
        "#",
        *comment(
            f"Cost: about {budget.seconds / 60:.1f} minutes on {proposal.device}, from training steps timed there, for "
            f"minutes={proposal.minutes:g}. {_more_time(proposal)}"
        ),
    ]


def _more_time(proposal: Proposal) -> str:
    """What is not at its most."""
    survey, budget = proposal.survey, proposal.budget
    lacking = {
        "larger images": budget.size < largest_size(survey.short_sides),
        "more epochs": budget.epochs < epochs_of(survey.num_in("train"), proposal.batch_size)[1],
        "more seeds": budget.num_seeds < SEEDS[1],
    }
    bought = [what for what, is_lacking in lacking.items() if is_lacking]
    if not bought:
        return "More time buys nothing: sizes, epochs and seeds are the most that is proposed."
    how = (
        f": run sweeps.init again with minutes={HOUR}, say" if proposal.best is None and proposal.minutes < HOUR else ""
    )
    return f"More time buys {' and '.join(', '.join(bought).rsplit(', ', 1))}{how}."


def _study(proposal: Proposal) -> list[str]:
    start, budget = proposal.start, proposal.budget
    lines = [
        "study:",
        f"  name: {quoted(proposal.name)}",
        f"  question: {_question(proposal)}",
        "  method: grid",
        f"  metric: {proposal.metric}",
    ]
    lines[-1:] = [*comment(_why_metric(proposal), indent=2), lines[-1]]
    told = f"{budget.num_seeds} seeds fit into the time; more narrow the intervals."
    if budget.num_seeds >= SEEDS[1]:
        told = f"{budget.num_seeds} seeds; more narrow the intervals."
    elif budget.num_seeds < 3:
        told = f"{budget.num_seeds} seeds fit into the time; fewer than three show hardly any spread, so add some."
    elif not budget.fits:
        told = "The time is too short for three seeds, but fewer show hardly any spread."
    lines += comment(told, indent=2)
    lines.append(f"  seeds: [{', '.join(map(str, range(budget.num_seeds)))}]")
    if proposal.best is not None:
        return [*lines, *_around(proposal.best)]
    lines.append("  space:")
    if start.is_nothing:
        lines += comment("Nothing to start from, so all networks train whole; the first is the usual one.", indent=4)
        return [*lines, f"    lr: {{values: [{', '.join(WHOLE_LRS)}]}}", "  tables: [summary, lists, checklist]",
                "  figures: [seeds, curves, confusion]"]  # fmt: skip
    weights = quoted(start.weights)
    lines += [
        *([] if start.is_stage else comment(start.why, indent=4)),
        *comment("Baseline 3, from scratch, is `none`: is it worth starting from these weights at all?", indent=4),
        f"    weights: {{values: [{weights}, none]}}",
        *comment(
            "How much stays as it is: nothing, all but the last stage, or all. Baseline 1, a frozen network with a "
            "linear head, is `all`; baseline 2, the default fine-tune, is `none` with the first lr.",
            indent=4,
        ),
        f"    freeze: {{values: [none, layer3, all], when: {{weights: {weights}}}}}",
        *comment(
            "A head alone takes larger steps, and costs next to nothing: its features are computed once.", indent=4
        ),
        "    lr:",
        f"      - {{values: [{', '.join(HEAD_LRS)}], when: {{freeze: all}}}}",
        f"      - {{values: [{SCRATCH_LR}], when: {{weights: none}}}}",
        *(comment("A second one, 3e-4 say, did not fit into the time.", indent=6) if proposal.is_slim else []),
        f"      - {{values: [{', '.join(WHOLE_LRS[:1] if proposal.is_slim else WHOLE_LRS)}]}}",
        "  hypotheses:",
        f"    - {{says: Starting from these weights beats starting from nothing., "
        f"compare: {{weights: [{weights}, none]}}, expect: {weights}}}",
        "  tables: [summary, lists, checklist]",
        "  figures: [seeds, curves, forest, confusion]",
    ]
    return lines


def _question(proposal: Proposal) -> str:
    if proposal.best is None and proposal.start.is_nothing:
        return "Which learning rate serves these images best?"
    if proposal.best is None:
        return "Which recipe serves these images best, and is it better than three plain ones?"
    return "How good does the recipe that was best get with more time, and which learning rate suits it?"


def _around(best: Mapping[str, Any]) -> list[str]:
    lr = float(best["lr"])
    return [
        *comment("The best were picked from these very numbers; fresh seeds say how good they are.", indent=2),
        f"  confirm: {{top: {FRESH_TRIALS}, seeds: {FRESH_SEEDS}}}",
        "  space:",
        *comment("The best one of the study before comes first, others around it.", indent=4),
        f"    lr: {{values: [{lr:g}, {lr / 3:.2g}, {3 * lr:.2g}]}}",
        *comment(
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
        *comment(
            f"About {work.num_in('train'):,} training images in batches of {proposal.batch_size} are {steps:,} steps "
            f"an epoch, {steps * budget.epochs:,} in all.",
            indent=2,
        ),
        f"  epochs: {budget.epochs}",
        f"  batch_size: {proposal.batch_size}",
        *([] if proposal.best is not None else [*comment(FLIP, indent=2), "  # augment: hflip"]),
    ]


def _fixed(proposal: Proposal) -> list[str]:
    """Weights and what stays frozen, where the study does not search them."""
    best, start = proposal.best, proposal.start
    if best is None:
        return [*comment(start.why, indent=2), "  weights: none"] if start.is_nothing else []
    weights = str(best.get("weights", "none"))
    told = start.why if weights == start.weights and not start.is_stage else "As the best one of the study before."
    lines = [*comment(told, indent=2), f"  weights: {quoted(weights)}"]
    return lines if weights == "none" else [*lines, f"  freeze: {best.get('freeze', 'none')}"]
