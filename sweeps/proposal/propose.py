"""From a folder to a study file: looks, chooses weights, times the machine, fits the study into the time, writes."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from resnet_tl.cli import describe_data
from resnet_tl.config import DataConfig
from resnet_tl.data.cache import default_cache
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.device import found, is_gpu
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.files import write_text
from resnet_tl.identity import Environment
from resnet_tl.option_text import expand
from sweeps.definition.compose import compose
from sweeps.definition.config import Definition
from sweeps.execution.devices import allot, hardware
from sweeps.proposal import budget as budgets
from sweeps.proposal import speed as speeds
from sweeps.proposal import start as starts
from sweeps.proposal.proposal import Proposal
from sweeps.proposal.study_file import written
from sweeps.proposal.survey import Copies, Survey, copies_in, look
from sweeps.proposal.wording import one_line
from sweeps.storage.database import database_of

LABELS, NEXT = "_labels", "_next"
"""Ends of the names of the studies beside the first: the check of labels, and the one to go on with."""
BATCH = 32
BATCH_ON_GPU = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the user asked for."""

    root: str
    out: Path
    """The file to write."""
    data: Mapping[str, Any]
    """Options of `data.*`."""
    run_words: Sequence[str]
    """`run.*` as they were given."""
    minutes: float
    weights: str | None
    backbone: str | None


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A proposal with what it rests on."""

    proposal: Proposal
    data: Prepared
    """The images as the study sees them."""
    copies: Copies
    work: budgets.Work
    speed: speeds.Speed


def propose(request: Request) -> Proposed:
    """Looks at the folder and chooses; nothing is written but the cache.

    Raises:
        UserError: images or weights cannot be used.
    """
    run = compose([*request.run_words]).run
    survey = look(request.root, request.data)
    device = run.device.split(":")[0]
    device = found() if device == "auto" else device
    backbone = request.backbone or ("resnet50" if is_gpu(device) else "resnet18")
    start = starts.choose(request.weights, backbone, can_turn=survey.config.source == "image_folder")
    batch_size = min(BATCH_ON_GPU if is_gpu(device) else BATCH, max(8, survey.num_in("train") // 8))
    sizes = (128, 224) if is_gpu(device) else (32, 64)
    environment = Environment(device=device, threads=run.threads or 1)
    slots = allot(run.device, environment, run.workers)
    workers = len(slots)
    speed = speeds.measure(
        backbone,
        slots=slots,
        environment=environment,
        batch_size=batch_size,
        num_classes=len(survey.classes),
        sizes=sizes,
    )
    work = budgets.Work(
        num_train=survey.num_in("train"),
        num_val=survey.num_in("val"),
        num_all=survey.num_images,
        workers=workers,
        num_whole=2 if start.is_nothing else 3,
        num_tail=0 if start.is_nothing else 2,
        stores_features=not start.is_nothing,
        has_stage=start.is_stage,
        checks_labels=not start.is_nothing,
        decode_s=survey.num_images * survey.decode_s / workers,
    )
    fit = partial(budgets.choose, most_s=60 * request.minutes, batch_size=batch_size, sides=survey.short_sides)
    chosen = fit(work, speed)
    is_slim = not chosen.fits and not start.is_nothing
    if is_slim:
        work = replace(work, num_whole=2, num_tail=1)
        chosen = fit(work, speed)
    root = str(expand(request.root, "data.root").absolute())
    proposal = Proposal(
        name=_free_name(survey, expand(run.out, "run.out")),
        root=root,
        survey=survey,
        start=start,
        budget=chosen,
        backbone=backbone,
        batch_size=batch_size,
        device=f"{hardware(device)}, {workers} at a time",
        minutes=request.minutes,
        is_slim=is_slim,
        patients=None,
    )
    definition = _composed(proposal, request)
    proposal, data = _prepared(proposal, definition.data, cache_of(definition))
    return Proposed(
        proposal=proposal,
        data=data,
        copies=copies_in(data),
        work=work,
        speed=speed,
    )


def cache_of(definition: Definition) -> Path:
    """What studies share."""
    return expand(definition.run.cache, "run.cache") if definition.run.cache else default_cache()


def reports_of(request: Request) -> Path:
    """Where reports go."""
    return expand(compose([*request.run_words]).run.out, "run.out") / "reports"


def write(proposal: Proposal, request: Request) -> Definition:
    """Writes the file, once it is known to be one that can be read.

    Raises:
        ConfigError: what the user gave cannot stand in a study file.
    """
    definition = _composed(proposal, request)
    write_text(request.out, written(proposal))
    return definition


def _composed(proposal: Proposal, request: Request) -> Definition:
    """What the file would say, read as `sweeps.run` reads it."""
    with tempfile.TemporaryDirectory(prefix="sweeps-") as folder:
        draft = Path(folder) / "draft.yaml"
        write_text(draft, written(proposal))
        return compose([f"study={draft}", *request.run_words])


def _prepared(proposal: Proposal, config: DataConfig, cache: Path) -> tuple[Proposal, Prepared]:
    """Names the patients that names show, unless the data's own splits have divided them already.

    Returns:
        The proposal, and the images as it has them.
    """
    patients = proposal.survey.patients
    if patients is None:
        return proposal, prepare(config, cache)
    update = {"group_key": patients.pattern}
    if patients.missing and "group_missing" not in config.model_fields_set:
        update["group_missing"] = "own"
    try:
        data = prepare(config.model_copy(update=update), cache)
    except DataError as error:
        data = prepare(config, cache)  # what is wrong with the images themselves ends it here
        told = " ".join(error.problems[0].split())
        divided = replace(
            proposal,
            divided=f"The line below would keep each in one split, but is left out, since this does not work: {told} "
            "Scores on test may be too good for new patients.",
        )
        return divided, data
    return replace(proposal, patients=patients), data


def _free_name(survey: Survey, out: Path) -> str:
    """A name made from the folder's that the ledger does not know yet."""
    folder = Path(str(survey.config.root)).expanduser().absolute().name
    base = re.sub(r"[^A-Za-z0-9_.-]+", "_", folder).strip("_.-")[:80] or "images"
    database = database_of(out, None)
    if not database.exists():
        return base
    ledger = database.read()
    try:
        taken = {study.name for study in ledger.studies()}
    finally:
        ledger.close()
    names = (base if number == 1 else f"{base}_{number}" for number in range(1, 10_000))
    # the check of labels and the study to go on with get names of their own from it
    return next(name for name in names if taken.isdisjoint((name, f"{name}{LABELS}", f"{name}{NEXT}")))


def facts(proposed: Proposed) -> list[tuple[str, str]]:
    """What was found and what is proposed, each under a word."""
    proposal, survey, copies = proposed.proposal, proposed.proposal.survey, proposed.copies
    sides, budget = survey.short_sides, proposal.budget
    colours = "all grey" if survey.is_grey else "coloured, some at least"
    found = [
        ("Sizes", f"short sides of {sides[0]} to {sides[-1]} pixels, half of them {survey.median_side} or more"),
        ("Channels", f"{colours} ({survey.num_sampled} images looked at)"),
        ("Classes", f"{len(survey.classes)}, the commonest {survey.imbalance:.1f} times as frequent as the rarest"),
    ]
    if copies.sets:
        told = (
            f"{len(copies.sets):,} sets of copies, exact or near ({copies.num_exact:,} images are exact ones); "
            f"{copies.num_across_classes:,} stand in several classes, {copies.num_across_splits:,} in several splits"
        )
    else:
        told = "none found, neither exact nor near ones"
    found.append(("Copies", told))
    if survey.patients is not None:
        guessed = f"A GUESS, look at it: {survey.patients.told()}, such as {', '.join(survey.patients.example)}"
        rest = f". {proposal.divided}" if proposal.divided else "; the study keeps each in one split"
        found.append(("Patients", guessed + rest))
    elif survey.config.group_key is None and survey.config.source == "image_folder":
        found.append(("Patients", "none seen in the names; if images belong together, data.group_key says how"))
    stage = f", after {budget.stage_epochs} epochs on turned images" if budget.stage_epochs else ""
    proposes = (
        f"{proposal.backbone} at {budget.size} pixels, batches of {proposal.batch_size}, {budget.epochs} epochs, "
        f"{budget.num_seeds} seeds, by {proposal.metric}{stage}"
    )
    return [*found, ("Weights", proposal.start.why), ("Proposed", proposes)]


def told(proposed: Proposed) -> list[str]:
    """The same for the terminal, below the classes with their images in each split."""
    lines = [f"{word:<11} {one_line(text)}" for word, text in facts(proposed)]
    return [describe_data(proposed.data), "", *lines]


def require_free(out: Path, *, replace_it: bool) -> None:
    """Checks that the file may be written.

    Raises:
        ConfigError: it exists, or its folder does not, or cannot be written.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"`out` must be a file in a folder that exists, but got {out}.")
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"`out` must be a YAML file, such as study.yaml, but got {out}.")
    if out.exists() and not replace_it:
        raise ConfigError(
            f"`out` must be a new file, but {out} exists. Run it with  python -m sweeps.run study={out}, give another "
            "name with out=, or replace=true to write it anew."
        )
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=".sweeps-"):
            pass
    except OSError as error:
        raise ConfigError(
            f"`out` must be in a folder in which files can be written, but {out.parent.absolute()} is none "
            f"({error.strerror}); give another one with out=."
        ) from None
