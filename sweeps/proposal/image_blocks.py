"""The parts of a study file that say which images: `data:`, and the stage that learns from them first."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from resnet_tl.data.layout import read_layout
from sweeps.proposal.budget import largest_size
from sweeps.proposal.proposal import Proposal
from sweeps.proposal.start import STAGE
from sweeps.proposal.survey import Survey
from sweeps.proposal.wording import comment, quoted, single_quoted


def data_block(proposal: Proposal) -> list[str]:
    survey, size = proposal.survey, proposal.budget.size
    lines = ["data:", f"  source: {survey.config.source}", f"  root: {quoted(proposal.root)}"]
    lines += [*comment(_why_size(proposal), indent=2), f"  size: {size}"]
    given = survey.config.model_dump(mode="json", exclude_unset=True, exclude={"source", "root", "size", "channels"})
    if survey.config.channels is not None:
        lines += [f"  channels: {survey.config.channels}"]
    elif survey.is_grey and survey.config.source == "image_folder":
        lines += comment(f"All of {survey.num_sampled} images looked at are grey.", indent=2)
        lines += ["  channels: 1"]
    if any(value is not None for value in given.values()):
        lines += comment("As it was asked for:", indent=2)
        dumped = yaml.safe_dump(given, default_flow_style=False, allow_unicode=True, width=10**9, sort_keys=False)
        lines += [f"  {line}" for line in dumped.splitlines()]
    return [*lines, *_cut(proposal), *_groups(proposal)]


def _why_size(proposal: Proposal) -> str:
    survey, size = proposal.survey, proposal.budget.size
    sides = survey.short_sides
    told = f"Short sides are {sides[0]} to {sides[-1]} pixels (half of them {survey.median_side} or more)"
    if size >= 224:
        return f"{told}: {size} is what ImageNet's weights were trained at."
    if size > survey.median_side:
        return f"{told}: {size} is the least that a ResNet makes sense of."
    if size * 1.2 >= survey.median_side:
        return f"{told}: {size} is about all there is."
    if size == largest_size(sides):
        return f"{told}: {size} is the largest of the usual sizes that needs no enlarging."
    if not proposal.budget.fits:
        return f"{told}: {size} is the least that is proposed, for want of time; finer detail needs more of both."
    return f"{told}: {size} is what fits into the time; finer detail needs more of both."


def _cut(proposal: Proposal) -> list[str]:
    survey = proposal.survey
    lacking = [split for split in ("val", "test") if split not in survey.counts]
    if not lacking:
        return comment("The data brings val and test itself.", indent=2)
    brought = [split for split in survey.stated if split != "train"]
    own = f" The data brings its own {' and '.join(brought)}." if brought else ""
    counts = ", ".join(f"about {survey.num_in(split):,} for {split}" for split in lacking)
    alone = " and ".join(lacking)
    return [
        *comment(
            f"{alone.capitalize()} {'is' if len(lacking) == 1 else 'are'} cut from the training images by split_seed: "
            f"{counts}; copies stay on one side.{own}",
            indent=2,
        ),
        *(["  split_seed: 0"] if "split_seed" not in survey.config.model_fields_set else []),
        *(f"  {split}_fraction: {getattr(survey.config, f'{split}_fraction'):g}" for split in lacking
          if f"{split}_fraction" not in survey.config.model_fields_set),
    ]  # fmt: skip


def _groups(proposal: Proposal) -> list[str]:
    if proposal.divided:
        found = proposal.survey.patients
        assert found is not None
        return [
            *comment(f"LOOK AT THIS: {found.told()}, such as {', '.join(found.example)}. {proposal.divided}", indent=2),
            f"  # group_key: {single_quoted(found.pattern)}",
        ]
    if proposal.patients is None:
        return []
    found = proposal.patients
    torn = f" {found.num_torn} of them have images in two classes or more." if found.num_torn else ""
    rest = f" The other {found.missing:,} images count as one group each." if found.missing else ""
    lines = comment(
        f"LOOK AT THIS, it is a guess: {found.told()}, such as {', '.join(found.example)}. Each stays in one split, "
        f"or test would be easier than new patients are.{torn}{rest} If these are no patients, take the "
        f"line{'s' if found.missing else ''} out.",
        indent=2,
    )
    lines.append(f"  group_key: {single_quoted(found.pattern)}")
    needs_own = found.missing and "group_missing" not in proposal.survey.config.model_fields_set
    return [*lines, "  group_missing: own"] if needs_own else lines


def stage_block(proposal: Proposal) -> list[str]:
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
        *comment(proposal.start.why, indent=2),
        *comment(f"The stage learns to tell how an image is turned. {seen}", indent=2),
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
