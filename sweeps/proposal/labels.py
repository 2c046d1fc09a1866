"""Labels that are likely wrong: images whose label a head finds improbable that has not learnt from them.

A linear head on the frozen network is trained on some folds of the images and asked about another, so that each image
is judged by a head that never saw its label. The heads are a study of their own, in the same ledger. What comes out is
a list to look at: a hard image of the right class stands in it as well.

Axes: K classes, N images.
"""

import contextlib
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from resnet_tl.data.notes import known_as
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, UserError
from resnet_tl.files import write_text
from resnet_tl.inference.calibrate import fit_temperature, with_temperature
from resnet_tl.metrics import Floats, Ints, log_softmax
from resnet_tl.option_text import expand
from sweeps.definition.compose import compose
from sweeps.definition.config import Definition
from sweeps.engine.driver import drive
from sweeps.proposal.propose import LABELS, Proposed, Request, cache_of, reports_of
from sweeps.reporting.reading import from_ledger
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore

FOLDS = 5
EPOCHS, LR = 40, 0.003
"""Of the heads, which take milliseconds an epoch; the best epoch is chosen on another fold than the one asked about."""
IMPROBABLE, PROBABLE = 0.1, 0.5
"""An image is doubted whose label is less probable than the one while another class has the other: of ten classes that
are hard to tell apart, most have less than a tenth."""
LEAST_RECALL = 0.25
"""Below which the length of the list says nothing of how many labels are wrong."""
MOST_SHOWN = 30
"""One page of pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """One image whose label is improbable."""

    index: int
    """In the order of the names."""
    name: str
    split: str
    """That it stands in as the study cuts them."""
    given: str
    predicted: str
    p_given: float
    p_predicted: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """What the heads say of all labels."""

    found: tuple[Doubt, ...]
    """Most improbable first."""
    recall: float
    """Share of wrong labels that the list would hold, were they put at random."""
    num_images: int
    accuracy: float
    """Of the heads, on images they have not learnt from."""
    chance: float
    """What naming the commonest class every time gets right."""

    def told(self) -> list[str]:
        """What the list is worth, one sentence each."""
        lines = [
            f"{len(self.found):,} of {self.num_images:,} labels are improbable (below {IMPROBABLE:.0%}, and "
            f"another class {PROBABLE:.0%} or more) to a linear head on the frozen network that has not learnt "
            "from the image.",
            "It is a list to look at and no verdict. How many of them are wrong cannot be told from it: hard images "
            "and rare examples look odd as well, and the heads agree with the labels on "
            f"{self.accuracy:.0%} of the images (naming the commonest class: {self.chance:.0%}).",
        ]
        if self.recall < LEAST_RECALL:
            lines.append(
                f"Nor does it find much: of labels that were wrong at random it would hold about {self.recall:.0%}."
            )
        else:
            lines.append(
                f"Of labels that were wrong at random it would hold about {self.recall:.0%}; of those swapped between "
                "classes that look alike, fewer, so there may be more wrong ones than it holds."
            )
        num_test = sum(doubt.split == "test" for doubt in self.found)
        if num_test:
            lines.append(
                f"{num_test:,} of them {'is a test image' if num_test == 1 else 'are test images'}: whoever changes "
                "these by what a network finds odd makes test easier."
            )
        return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class NotChecked:
    """Why there is no list."""

    why: str


def check_labels(proposed: Proposed, request: Request, *, command: str, console: Console) -> Doubts | NotChecked:
    """Trains the heads and asks them about every image.

    Args:
        command: as the user gave it.
    """
    proposal = proposed.proposal
    survey = proposal.survey
    if proposal.start.is_nothing:
        return NotChecked(why="a linear head needs a network that has learnt something, and weights=none has not")
    smallest = min(sum(own[name] for own in survey.counts.values()) for name in survey.classes)
    folds = min(FOLDS, smallest)
    if folds < 3:
        return NotChecked(why=f"the smallest class has {smallest} images, and three folds need one each")
    words = [
        f"study={request.out}",
        f"study.name={proposal.name}{LABELS}",
        "study.question=Which labels does a head find improbable that has not learnt from the image?",
        f"study.folds={folds}",
        "study.seeds=[0]",
        "study.space={}",
        "study.hypotheses=[]",
        "study.tables=[lists]",
        "study.figures=[]",
        f"trial.weights={proposal.start.weights}",
        "trial.freeze=all",
        f"trial.lr={LR}",
        f"trial.epochs={EPOCHS}",
        *request.run_words,
    ]
    if survey.stated:
        if survey.config.source != "image_folder" or survey.config.labels is not None:
            return NotChecked(why="the data states its splits, and folds cut all images anew")
        table = reports_of(request) / f"{proposal.name}.all_labels.csv"
        write_text(table, _table(proposed))
        words.append(f"data.labels={table.absolute()}")
    try:
        definition = compose(words)
        outcome = drive(definition, command=command, console=console)
        if outcome.ended_by is not None:
            raise outcome.ended_by
        if outcome.failed:
            return NotChecked(why="its seed run failed; python -m sweeps.status says why")
        split_of = _splits(proposed.data)
        return _doubts(definition, prepare(definition.data, cache_of(definition), folds=folds), split_of)
    except UserError as error:
        return NotChecked(why=str(error).rstrip("."))


def _table(proposed: Proposed) -> str:
    """All images with their labels and without their splits, as `data.labels` reads it."""
    config, root = proposed.proposal.survey.config, Path(proposed.proposal.root)
    listing = source_of(config).list(config.model_copy(update={"root": str(root)}))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["file", "label"])
    for name, label in zip(listing.names, listing.labels, strict=True):
        writer.writerow([Path(name).relative_to(root).as_posix(), listing.classes[label]])
    return stream.getvalue()


def _splits(data: Prepared) -> dict[str, str]:
    """By the name of an image, its split in the study; folds have none."""
    images = data.load()
    return {images.names[index]: split for split in SPLITS for index in images.splits[split].tolist()}


def _doubts(definition: Definition, data: Prepared, split_of: Mapping[str, str]) -> Doubts | NotChecked:
    study, out = definition.study.name, expand(definition.run.out, "run.out").resolve()
    ledger = database_of(out, None).read()
    try:
        (trial,) = from_ledger(ledger, study, out).trials
        kept = NetworkStore(out, study).kept(trial.fingerprint or "", 0)
    finally:
        ledger.close()
    if kept is None:
        return NotChecked(why="its predictions are not there; python -m sweeps.doctor looks")
    images = data.load()
    return judge(
        log_softmax(kept.logits["test"].astype(np.float64)),
        kept.labels["test"],
        names=known_as(images.names, definition.data),
        splits=[split_of[name] for name in images.names],
        classes=data.classes,
    )


def judge(
    log_p_NK: Floats, labels_N: Ints, *, names: Sequence[str], splits: Sequence[str], classes: Sequence[str]
) -> Doubts:
    """Finds the labels that are improbable, once the heads are as sure as they are right.

    Args:
        log_p_NK: what heads said that have not learnt from the image.
    """
    with contextlib.suppress(DataError):  # right on all, or no better than chance: there is nothing to fit
        log_p_NK = with_temperature(log_p_NK, fit_temperature(log_p_NK, labels_N))
    p_NK = np.exp(log_p_NK)
    best_N = p_NK.argmax(1)
    p_given_N = p_NK[np.arange(len(labels_N)), labels_N]
    is_odd_NK = (p_NK < IMPROBABLE) & (p_NK.max(1, keepdims=True) >= PROBABLE)
    odd = np.flatnonzero(is_odd_NK[np.arange(len(labels_N)), labels_N])
    # no head has learnt from the label it is asked about, so that any other in its place would get the same answer
    is_other_NK = np.arange(p_NK.shape[1]) != labels_N[:, None]
    return Doubts(
        found=tuple(
            Doubt(
                index=int(index),
                name=names[index],
                split=splits[index],
                given=classes[labels_N[index]],
                predicted=classes[best_N[index]],
                p_given=float(p_given_N[index]),
                p_predicted=float(p_NK[index, best_N[index]]),
            )
            for index in odd[np.argsort(p_given_N[odd], kind="stable")]
        ),
        recall=float(is_odd_NK[is_other_NK].mean()),
        num_images=len(labels_N),
        accuracy=float((best_N == labels_N).mean()),
        chance=float(np.bincount(labels_N).max() / len(labels_N)),
    )


def as_csv(doubts: Doubts) -> str:
    """The whole list."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["file", "split", "given", "predicted", "p_given", "p_predicted"])
    for doubt in doubts.found:
        chances = (f"{doubt.p_given:.4f}", f"{doubt.p_predicted:.4f}")
        writer.writerow([doubt.name, doubt.split, doubt.given, doubt.predicted, *chances])
    return stream.getvalue()
