"""What the command lines that train share: options of a trial and its images in, prepared data out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from resnet_tl.command import Section, options_of
from resnet_tl.command import entry as entry
from resnet_tl.command import require as require
from resnet_tl.config import (
    LITERAL_OPTIONS,
    MOST_THREADS,
    DataConfig,
    TrialConfig,
    check_scored,
    check_together,
    real_images,
)
from resnet_tl.device import check_device
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import idle_head_options
from resnet_tl.identity import Environment
from resnet_tl.option_text import expand, parse_words, validate

if TYPE_CHECKING:
    from resnet_tl.data.prepare import Prepared

LITERAL = (*LITERAL_OPTIONS, "out", "out_dir", "cache", "checkpoint", "images")
"""Options that are taken letter by letter: paths and patterns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """What `fit` and `pretrain` are asked to do."""

    trial: TrialConfig
    data: "Prepared"
    seed: int
    environment: Environment
    device: str
    out: str | None
    cache: Path
    export: bool


class _Plain(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Options of `fit` and `pretrain` that belong neither to `trial` nor to `data`."""

    seed: int = Field(0, ge=0)
    """Decides head weights, sample order, augmentation and dropout."""
    threads: int = Field(1, ge=1, le=MOST_THREADS)
    """CPU threads."""
    device: str = "cpu"
    """cpu, cuda or cuda:1."""
    export: bool = False
    """Store a network that needs no other file, even where something was frozen."""
    out: str | None = None
    """Folder for the result; fit: `run` unless given; pretrain: a copy beside the one in the cache."""
    cache: str | None = None
    """Folder for decoded images and pretrained weights; default: the user's cache folder."""


def fit_sections() -> list[Section]:
    """The options of `fit` and `pretrain`."""
    return [options_of(_Plain, ""), options_of(TrialConfig, "trial"), options_of(DataConfig, "data")]


def fit_request(words: Sequence[str]) -> FitRequest:
    """Reads the command line of `fit` or `pretrain` and prepares the data.

    Raises:
        UserError: options or images that cannot be used; all problems of the options at once.
    """
    from resnet_tl.data.cache import default_cache
    from resnet_tl.data.prepare import prepare
    from resnet_tl.data.synthetic import with_generated
    from resnet_tl.model import weights

    values = parse_words(words, literal=LITERAL)
    groups: dict[str, dict[str, Any]] = {"trial": {}, "data": {}, "": {}}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        if group not in groups:
            raise ConfigError(f"`{key}` is not an option; it must start with trial. or data.")
        groups[group][name] = value
    problems: list[str] = []
    found: dict[str, Any] = {}
    models: dict[str, type[BaseModel]] = {"trial": TrialConfig, "data": DataConfig, "": _Plain}
    for group, model in models.items():
        try:
            found[group] = validate(model, groups[group], group)
        except ConfigError as error:
            problems += error.problems
    if "trial" in found:
        problems += idle_head_options(found["trial"], groups["trial"])
    if problems:
        raise ConfigError(*problems)
    plain = found[""]
    check_device(plain.device)
    check_together(found["trial"], found["data"])
    cache = expand(plain.cache, "cache") if plain.cache else default_cache()
    data = prepare(real_images(found["data"]), cache)
    environment = Environment(device=plain.device.split(":")[0], threads=plain.threads)
    if found["data"].synthetic is not None:
        data = with_generated(data, found["data"].synthetic, environment=environment, cache=cache)
    check_together(found["trial"], found["data"], len(data.classes))
    check_scored(found["trial"].monitor, data.num_classes_in("val"))
    print(describe_data(data))
    if weights.identity(found["trial"].weights, found["trial"].backbone).startswith("sha256:"):
        for sentence in weights.check(found["trial"].weights, found["trial"].backbone):
            print(sentence)
    return FitRequest(
        trial=found["trial"],
        data=data,
        seed=plain.seed,
        environment=environment,
        device=plain.device,
        out=plain.out,
        cache=cache,
        export=plain.export,
    )


def make_generated(request: FitRequest) -> None:
    """Has the generated images made that a request asks for, unless they are there."""
    data = request.data
    if data.generated is None:
        return
    from resnet_tl.data.synthetic import describe, sheet_of
    from resnet_tl.training.generating import make_generated

    if not data.is_made:
        print(f"Training a {describe(data)} …", flush=True)
    make_generated(data, device=request.device)
    print(f"Generated images beside real ones: {sheet_of(data)}", flush=True)


def describe_data(data: "Prepared") -> str:
    """The classes with their images in each split, how the splits came to be, and what was decided while reading."""
    most = 30  # a set of 1,000 classes would push everything else off the screen
    splits = ["train"] if data.folds else list(data.table)  # before a seed cuts folds, all images stand in each
    header = ["images"] if data.folds else splits
    rows = [(name, [data.table[split][name] for split in splits]) for name in data.classes]
    width = max(len(name) for name, _ in [*rows[:most], ("images", [])])
    widths = [max(7, len(name)) for name in header]
    lines = ["  ".join([" " * width, *(f"{name:>{wide}}" for name, wide in zip(header, widths, strict=True))])]
    for name, counts in [*rows[:most], ("images", [data.num_images[split] for split in splits])]:
        if name == "images" and len(rows) > most:
            lines.append(f"… and {len(rows) - most} more classes")
        cells = (f"{count:>{wide},}" for count, wide in zip(counts, widths, strict=True))
        lines.append("  ".join([f"{name:{width}}", *cells]))
    notes = [
        *([data.how_cut] if data.how_cut else []),
        *data.notes,
        *_few(data),
        *_balance(data),
        *([f"{len(data.skipped)} broken images are left out."] if data.skipped else []),
    ]
    return "\n".join([*lines, *notes])


FEW_TEST_IMAGES = 100
"""Below which the images of test alone leave an accuracy open by 20 points or more."""
UNEQUAL = 3
"""How many times the images of the rarest class the commonest has, from which on a word is said."""


def _few(data: "Prepared") -> list[str]:
    """What a small test set leaves open, and what accuracy says of unequal classes."""
    said = []
    num_test = data.num_images["test"]
    if not data.folds and 0 < num_test < FEW_TEST_IMAGES:
        said.append(
            f"{num_test} test images are few: they alone leave an accuracy of 50% open by ±{98 / num_test**0.5:.0f} "
            "points. A larger data.test_fraction helps, or a study's study.folds, which tests every image."
        )
    counts = [count for count in data.table["train"].values() if count]
    if len(counts) > 1 and max(counts) >= UNEQUAL * min(counts):
        said.append(
            f"Classes are unequal ({min(counts):,} to {max(counts):,} training images), and accuracy leans to the "
            "common ones: val/f1 and val/balanced_accuracy do not"
            + ("." if data.balanced else "; data.balanced=oversample or class_weights evens them in training.")
        )
    return said


def _balance(data: "Prepared") -> list[str]:
    """What `data.balanced` does to these images."""
    counts = data.table["train"]
    most, total = max(counts.values()), data.num_images["train"]
    if data.balanced == "oversample":
        return [
            f"Balanced by drawing (data.balanced=oversample): an epoch has {most * len(counts):,} draws in place of "
            f"{total:,} images, {most:,} of each class."
        ]
    if data.balanced == "class_weights":
        weights_of = {name: total / (len(counts) * count) for name, count in counts.items()}
        named = sorted(weights_of, key=lambda name: -weights_of[name])
        shown = named if len(named) <= 6 else [*named[:3], "…", *named[-3:]]
        told = ", ".join(name if name == "…" else f"{name} {weights_of[name]:.3g}" for name in shown)
        return [f"Balanced in the loss (data.balanced=class_weights): an image of a class weighs {told}."]
    return []
