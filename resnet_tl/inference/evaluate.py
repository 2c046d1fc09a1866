"""Scores stored networks on labelled images.

Axes: B images of a batch, K classes, N images, R bins of probability.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_tl import predictions
from resnet_tl.batching import EVAL_BATCH
from resnet_tl.config import DataConfig
from resnet_tl.data.cache import default_cache
from resnet_tl.data.decode import Decoded, Rules
from resnet_tl.data.depth import NothingDeep
from resnet_tl.data.prepare import prepare
from resnet_tl.data.remote import local
from resnet_tl.data.source import Listing
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import CheckpointError, ConfigError, DataError, shown
from resnet_tl.inference.answers import answers
from resnet_tl.inference.pictures import Picture
from resnet_tl.inference.predictor import Predictor, Reading, predictor_of
from resnet_tl.metrics import Floats, Ints, evaluate_many
from resnet_tl.option_text import nearest

WHICH = (*SPLITS, "all")
"""What can be scored: a split, or all images, however they are split."""

OnImage = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What a network said of labelled images, and what that is worth."""

    split: str
    classes: tuple[str, ...]
    """Names of the network's K classes."""
    names: list[str]
    """Of the N images."""
    labels_N: Ints
    """True classes."""
    log_p_NK: Floats
    """Log probability of each class."""
    metrics: dict[str, float]
    """Those of `metrics.METRICS` that there are, each under `split/name`: of a single class there is no AUROC."""
    notes: tuple[str, ...]
    """What was decided while reading the images, and which classes do not occur."""

    @property
    def confusion_KK(self) -> Ints:
        """Counts: row = true class, column = predicted class."""
        return predictions.confusion_KK(self.log_p_NK, self.labels_N)

    @property
    def reliability_R3(self) -> Floats:
        """How sure the network is, and how often right; see `metrics.reliability_R3`."""
        return predictions.reliability_R3(self.log_p_NK, self.labels_N)

    @property
    def by_class(self) -> dict[str, Floats]:
        """The metrics of each class, [K]; NaN for classes that do not occur."""
        return predictions.by_class(self.log_p_NK, self.labels_N)


def evaluate(
    checkpoint: Path | Sequence[Path],
    data: DataConfig,
    *,
    split: str = "test",
    device: str = "cpu",
    cache: Path | None = None,
    on_image: OnImage | None = None,
) -> Evaluation:
    """Scores a stored network, or the mean of several, on labelled images.

    The images are brought to the network's own size, crop, channels and bits. Classes are matched by their names; some
    may be lacking. A split that the data does not state is cut as for training, so that the network's own data gives
    back the very images that it was tested on; `all` cuts nothing.

    Args:
        checkpoint: a checkpoint's folder, or several.
        data: the images; what says how they are presented may be left out.
        split: `train`, `val`, `test` or `all`.
        cache: where decoded images are kept for `train`, `val` and `test`; default: the user's cache folder.
        on_image: told of progress.

    Raises:
        CheckpointError: a network cannot be rebuilt, or its outputs are not finite.
        ConfigError: options contradict the network, or the split is none.
        DataError: images or labels cannot be used, or classes are unknown to the network.
    """
    return score(predictor_of(checkpoint, device=device), data, split=split, cache=cache, on_image=on_image)


def score(
    predictor: Predictor,
    data: DataConfig,
    *,
    split: str,
    cache: Path | None = None,
    on_image: OnImage | None = None,
) -> Evaluation:
    """As `evaluate`, of what is loaded already."""
    if split not in WHICH:
        raise ConfigError(f"`split` must be one of {', '.join(WHICH)}, but got {split!r}; {nearest(split, WHICH)}")
    data = as_the_network_reads(data, predictor.reading)
    tell = on_image or (lambda done, total: None)
    if split == "all":
        with local(data, cache or default_cache()) as (found_data, said):
            found = _of_all(predictor, found_data, tell)
        found = (*found[:3], [*said, *found[3]])
    else:
        found = _of_split(predictor, data, split, cache or default_cache(), tell)
    names, labels_N, log_p_NK, notes = found
    if not np.isfinite(log_p_NK).all():
        wrong = [name for name, row in zip(names, log_p_NK, strict=True) if not np.isfinite(row).all()]
        raise CheckpointError(f"The network's outputs must be finite, but are not for:\n{shown(wrong)}")
    lacking = [name for number, name in enumerate(predictor.classes) if number not in set(labels_N.tolist())]
    if lacking:
        few = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
        notes = [
            *notes,
            f"{len(lacking)} of the network's {len(predictor.classes)} classes have no image here: {few}. Averages are "
            "over the others.",
        ]
    values = {name: float(value_M[0]) for name, value_M in evaluate_many(log_p_NK[None], labels_N).items()}
    return Evaluation(
        split=split,
        classes=predictor.classes,
        names=names,
        labels_N=labels_N,
        log_p_NK=log_p_NK,
        metrics={f"{split}/{name}": value for name, value in values.items() if not np.isnan(value)},
        notes=tuple(notes),
    )


_LEFT_OPEN: dict[str, tuple[str | None, ...]] = {"bits": ("auto", None), "channels": (None,)}
"""Values that leave a decision to the images, whose place the network's own takes."""

_Found = tuple[list[str], Ints, Floats, list[str]]


def as_the_network_reads(data: DataConfig, reading: Reading) -> DataConfig:
    """The same images, presented as the network takes them.

    Raises:
        ConfigError: something was asked for that the network does not do; all of it at once.
    """
    own = {
        "size": reading.size[0] if reading.resized else None,
        "resize": reading.resize,
        "crop": reading.crop,
        "channels": reading.channels,
        "bits": reading.bits,
        "max_pixels": reading.max_pixels,
    }
    given = {name: getattr(data, name) for name in own if name in data.model_fields_set}
    problems = []
    if data.shifted:
        problems.append("`data.shifted` belongs to training; to score such images, give their folder as data.root.")
    if data.synthetic:
        problems.append("`data.synthetic` belongs to training: generated images are never scored; leave it out.")
    problems += [
        f"`data.{name}` must be left out or {value}, as the network was trained, but got {given[name]}."
        for name, value in own.items()
        if name in given and given[name] not in (value, *_LEFT_OPEN.get(name, ()))
    ]
    if problems:
        raise ConfigError(*problems)
    options = source_of(data).options
    return data.model_copy(
        update={name: value for name, value in own.items() if name not in ("bits", "max_pixels") or name in options}
    )


def _labels_for(predictor: Predictor, classes: Sequence[str], labels: Sequence[int]) -> Ints:
    """The network's numbers of the classes of images.

    Raises:
        DataError: classes that occur are unknown to the network.
    """
    number = {name: index for index, name in enumerate(predictor.classes)}
    unknown = sorted({classes[label] for label in labels} - set(number))
    if unknown:
        lines = [f"{name}; {nearest(name, predictor.classes)}" for name in unknown]
        raise DataError(f"Every class of the images must be one of the network's, but these are not:\n{shown(lines)}")
    return np.array([number[classes[label]] for label in labels], dtype=np.int64)


def _of_split(predictor: Predictor, data: DataConfig, split: str, cache: Path, tell: OnImage) -> _Found:
    """Scores the images of one split in batches as training does, so that the last bits are the same."""
    try:
        prepared = prepare(data, cache)
    except NothingDeep:  # the network has seen deeper images than any of these, and reads 8 bits as they are
        prepared = prepare(data.model_copy(update={"bits": None}), cache)
    images = prepared.load()
    index = images.splits[split]
    if not len(index):
        raise DataError(f"`split={split}` must have images, but has none.")
    labels_N = _labels_for(predictor, prepared.classes, images.labels_N[index].tolist())
    rows = []
    for start in range(0, len(index), EVAL_BATCH):
        rows.append(predictor.log_p_BK(images.pixels_NCHW[index[start : start + EVAL_BATCH]]))
        tell(min(start + EVAL_BATCH, len(index)), len(index))
    notes = [*([prepared.how_cut] if prepared.how_cut else []), *prepared.notes]
    if any(card.images_name not in (None, prepared.images_name) for card in predictor.cards):
        notes.append(
            "These are other images than those of the training, or the same ones cut otherwise, so that some may have "
            "been learnt from. To score the images that the training left for this, give the data.* options that it "
            "had (group_key, labels, split_seed, val_fraction, test_fraction; of a study that searches the size its "
            "data.size)."
        )
    if prepared.skipped:
        notes.append(f"{len(prepared.skipped)} broken images are left out.")
    return [images.names[number] for number in index], labels_N, np.concatenate(rows), notes


def _of_all(predictor: Predictor, data: DataConfig, tell: OnImage) -> _Found:
    """Scores all images as they come; nothing is cut or kept."""
    listing = source_of(data).list(data)
    usable = [number for number, name in enumerate(listing.names) if name not in listing.bad]
    if listing.problems:
        raise DataError(*listing.problems)
    labels_N = _labels_for(predictor, listing.classes, [listing.labels[number] for number in usable])
    pictures = _pictures(listing, usable)
    names, kept, rows, bad = [], [], [], dict(listing.bad)
    for place, answer in enumerate(answers(predictor, pictures)):
        if answer.log_p_K is None:
            bad[pictures[place].name] = str(answer.bad)
        else:
            names.append(pictures[place].name)
            kept.append(place)
            rows.append(answer.log_p_K)
        tell(place + 1, len(pictures))
    if bad and not data.skip_bad:
        reasons = [f"{name} {reason}" for name, reason in sorted(bad.items())]
        raise DataError(
            f"{len(bad)} of {len({*listing.names, *bad})} images cannot be used; repair or remove them, or leave them "
            f"out with data.skip_bad=true:\n{shown(reasons, most=1000)}"
        )
    if not rows:
        raise DataError("No usable image is left.")
    notes = ["All images are scored, those of the training too where they are among them.", *listing.said]
    notes += [*([f"{len(bad)} broken images are left out."] if bad else [])]
    return names, labels_N[kept], np.stack(rows), notes


def _pictures(listing: Listing, numbers: Sequence[int]) -> list[Picture]:
    """Some images of a source, one at a time where it must be so."""
    taking_turns = contextlib.nullcontext() if listing.parallel else threading.Lock()

    def loader(number: int) -> Callable[[Rules], Decoded]:
        def load(rules: Rules) -> Decoded:
            with taking_turns:
                return listing.load(number)

        return load

    return [Picture(name=listing.names[number], load=loader(number)) for number in numbers]
