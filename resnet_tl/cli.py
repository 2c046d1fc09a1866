"""What the entry points of this package share: `key=value` words in, exit status out."""

import gc
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field

from resnet_tl.address import without_secrets
from resnet_tl.config import (
    LITERAL_OPTIONS,
    MOST_THREADS,
    DataConfig,
    TrialConfig,
    check_scored,
    check_together,
    real_images,
)
from resnet_tl.data.cache import default_cache
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.synthetic import describe, sheet_of, with_generated
from resnet_tl.device import REPEATABLE_CUBLAS, check_device
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.head_spec import idle_head_options
from resnet_tl.identity import Environment
from resnet_tl.model import weights
from resnet_tl.option_text import expand, nearest, parse_words, validate

LITERAL = (*LITERAL_OPTIONS, "out", "out_dir", "cache", "checkpoint", "images")
"""Options that are taken letter by letter: paths and patterns."""


def entry(main: Callable[[], int]) -> None:
    """Runs an entry point: the user's mistakes become a message and exit status 2, never a traceback."""
    gc.set_threshold(100_000, 10, 10)  # what a start loads is no garbage, and to search it takes a fifth of the start
    os.environ.setdefault(*REPEATABLE_CUBLAS)
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {without_secrets(str(error))}", file=sys.stderr)
        status = error.status
    except BrokenPipeError:  # the reader, `head` say, has gone
        sys.stderr.close()
        status = 0
    except OSError as error:  # a folder that cannot be written, a full disk
        where = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print(f"error: a file could not be read or written: {without_secrets(where)}", file=sys.stderr)
        status = 2
    except MemoryError as error:
        print(f"error: this takes more memory than there is{f': {error}' if str(error) else ''}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    gc.freeze()  # otherwise the interpreter searches all of torch and MLflow for garbage as it ends, for 0.3 s and more
    sys.exit(status)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """What `fit` and `pretrain` are asked to do."""

    trial: TrialConfig
    data: Prepared
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


def fit_request(program: str, help_text: str, words: Sequence[str] | None = None) -> FitRequest:
    """Reads the command line of `fit` or `pretrain` and prepares the data.

    Raises:
        UserError: options or images that cannot be used; all problems of the options at once.
    """
    words = sys.argv[1:] if words is None else words
    if not words or "--help" in words or "-h" in words:
        print(
            help_text.strip()
            + "\n\n"
            + describe_options(TrialConfig, "trial")
            + "\n"
            + describe_options(DataConfig, "data")
        )
        print(describe_options(_Plain, ""))
        raise SystemExit(0)
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
    from resnet_tl.training.generating import make_generated

    if not data.is_made:
        print(f"Training a {describe(data)} …", flush=True)
    make_generated(data, device=request.device)
    print(f"Generated images beside real ones: {sheet_of(data)}", flush=True)


def describe_data(data: Prepared) -> str:
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


def _few(data: Prepared) -> list[str]:
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


def _balance(data: Prepared) -> list[str]:
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


def describe_options(model: type[BaseModel], group: str) -> str:
    """Each option with its default, what it means, and the values it takes."""
    lines = [f"{group + '.*' if group else 'others'}"]
    for name, field in model.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"default {_shown_default(field.get_default(call_default_factory=True))}"
        )
        lines.append(f"  {group + '.' if group else ''}{name}  ({default})")
        meaning = " ".join((field.description or "").split())
        values = [value for part in (field.annotation, *get_args(field.annotation)) for value in _literals(part)]
        if values:
            meaning += f" [{' | '.join(dict.fromkeys(map(str, values)))}]"
        lines += textwrap.wrap(meaning.replace("`", ""), 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines) + "\n"


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _shown_default(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple | dict) else str(value)


def require(values: dict[str, Any], allowed: Sequence[str], required: Sequence[str]) -> None:
    """Checks names of plain options.

    Raises:
        ConfigError: one is unknown or missing; all at once.
    """
    problems = [f"`{key}` is not an option; {nearest(key, allowed)}" for key in values if key not in allowed]
    problems += [f"`{key}=…` must be given." for key in required if key not in values]
    if problems:
        raise ConfigError(*problems)


def flags(values: dict[str, Any], names: Sequence[str]) -> None:
    """Checks options that are true or false.

    Raises:
        ConfigError: one is neither; all at once.
    """
    wrong = [name for name in names if not isinstance(values.get(name, False), bool)]
    if wrong:
        raise ConfigError(*(f"`{name}` must be true or false, but got {values[name]}." for name in wrong))
