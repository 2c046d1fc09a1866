"""Checks, splits and decodes a data set once, into a folder that every run maps into memory.

    CACHE/data/FINGERPRINT/images.npy   [N, C, H, W], uint8 or float32
    CACHE/data/FINGERPRINT/data.json    labels, splits (none where each seed cuts folds)
    CACHE/data/seen/SIGNATURE.json      for files of these paths, sizes and dates: their fingerprint, the names of the
                                        images as they came, what was left out, what is to be said
    CACHE/data/seen/SIGNATURE.names     names of their images, and which belong together, as JSON

The fingerprint names content (pixels, labels, splits), so data that moved is the same data. Other files may decode to
the same pixels, so whatever depends on the files themselves stands under `seen`.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.config import DataConfig
from resnet_tl.data import notes as notes_on
from resnet_tl.data.cache import clear_unfinished, hold
from resnet_tl.data.clusters import (
    clusters_of,
    near_sets,
    num_across_classes,
    sets_of,
    without_crowds,
    without_whole_classes,
)
from resnet_tl.data.decode import Pixels, Resize
from resnet_tl.data.decoding import decode_all, store
from resnet_tl.data.depth import settled_bits
from resnet_tl.data.folds import cut_folds, require_folds
from resnet_tl.data.near_copies import near_copies
from resnet_tl.data.remote import local
from resnet_tl.data.shifted import Learnt, clusters_beside, configs, list_shifted, names_beside
from resnet_tl.data.source import Listing
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS, SYNTHETIC, absent, by_split, cut, joined, to_cut
from resnet_tl.errors import ConfigError, DataError, shown
from resnet_tl.files import discard, make_folder, move, sha256_of, sync_all, write_text
from resnet_tl.identity import digest
from resnet_tl.parts import identity_of

if TYPE_CHECKING:
    from resnet_tl.data.synthetic import Generated

FORMAT = 2
"""Raised when the rules of decoding, cutting or storing change."""
SEEN_FORMAT = 8
"""Raised when what stands under `seen` changes; the decoded images stay as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A data set that is ready to train on; small, so that it travels to workers."""

    folder: str
    names_file: str
    """Where the names of the images stand, and which belong together."""
    fingerprint: str
    """Names all that the images decide of a result: pixels, labels, splits, crop, balance."""
    test_name: str
    """Names the test images as they came: scores on the same ones may be compared, however they are presented."""
    images_name: str
    """Names all images as they came, with their splits."""
    presentation_name: str
    """Names how they are presented: size, crop, channels, balance, and what decoding made of them."""
    pixels_name: str
    """Names what a network is shown, and in which split: pixels, crop and splits, neither labels nor balance."""
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    """Pixels H, W of the stored images."""
    resized: bool
    """Whether images were fitted to `size`; else all had it."""
    resize: Resize
    """How they were fitted."""
    bits: int | None
    """Bits that hold the grey values of images that store more than 8; None where none does."""
    max_pixels: int
    """Images of more pixels were refused."""
    crop: int | None
    balanced: str | bool
    num_images: dict[str, int]
    """Images in each split."""
    table: dict[str, dict[str, int]]
    """Images of each class in each split."""
    skipped: dict[str, str]
    """Broken images left out under `skip_bad`, with the reason."""
    notes: tuple[str, ...]
    """What was decided while reading the images that the user may not expect: one sentence each."""
    how_cut: str
    """How val and test were cut off train; empty where the data states both."""
    num_contradicting: int
    """Images whose very pixels stand in another class too."""
    num_leaked: int
    """Images of val and test whose very pixels stand in train too."""
    shifted: Mapping[str, str] = field(default_factory=dict)
    """Sets under other conditions, each a split beside `test`, scored as seldom; with a name of their images."""
    folds: int = 0
    """Folds into which each seed cuts all images anew, so that every split holds all of them in turn; 0: the splits are
    cut once for all seeds."""
    drawn: str = ""
    """By which method each seed draws the training images, with replacement; empty: all of them train, each once."""
    draws: tuple[tuple[int, str], ...] = ()
    """Of each seed the file of its draws; see `resnet_tl.data.draws`."""
    split_seed: int = 0
    """Decides the cut, together with the seed of the run where there are folds."""
    generated: "Generated | None" = None
    """How the generated images came to be that stand behind the real ones in `folder`; None where there are none."""

    @property
    def is_made(self) -> bool:
        """Whether the images are there; generated ones are named before they are made."""
        return (Path(self.folder) / "data.json").exists()

    @property
    def scored(self) -> tuple[str, ...]:
        """Splits that the selected network is scored on, once."""
        return ("val", "test", *self.shifted)

    @property
    def num_stored(self) -> int:
        """Images in all."""
        return self.num_images["train"] if self.folds else sum(self.num_images.values())

    @property
    def num_learnable(self) -> int:
        """Images that some fit trains on, generated ones included."""
        return self.num_images["train"] + self.num_images.get(SYNTHETIC, 0)

    @property
    def input_size(self) -> tuple[int, int]:
        """Pixels H, W that the network sees."""
        return (self.crop, self.crop) if self.crop else self.size

    def num_classes_in(self, split: str) -> int:
        """Classes that have an image in a split."""
        return sum(count > 0 for count in self.table[split].values())

    def cut(self, images: "Images", seed: int) -> NDArray[np.int64]:
        """The fold of each image for a seed, [N]; see `folds.cut_folds`."""
        return cut_folds(
            images.labels_N,
            images.clusters_N,
            folds=self.folds,
            split_seed=self.split_seed,
            seed=seed,
            classes=self.classes,
        )

    def load(self) -> "Images":
        """Maps the images into memory."""
        folder = Path(self.folder)
        table = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        came = json.loads(Path(self.names_file).read_text(encoding="utf-8"))
        every = np.arange(len(table["labels"]))
        names = (*SPLITS, *self.shifted, *([SYNTHETIC] if self.generated else []))
        splits = dict.fromkeys(SPLITS, every) if table["splits"] is None else by_split(table["splits"], names)
        made = splits.get(SYNTHETIC, every[:0])
        alone = 1 + max(came["clusters"]) + np.arange(len(made))  # a generated image depends on no other
        return Images(
            pixels_NCHW=np.load(folder / "images.npy", mmap_mode="r"),
            labels_N=np.array(table["labels"], dtype=np.int64),
            splits=splits,
            learnable=np.concatenate([splits["train"], made]),
            names=[*came["names"], *(table["generated"] if self.generated else [])],
            clusters_N=np.array([*came["clusters"], *alone], dtype=np.int64),
            copies=tuple(tuple(found) for found in came["copies"]),
            draws={seed: Path(path) for seed, path in self.draws},
            share=self.generated.share if self.generated else 0.0,
        )

    def drawn_by(self, method: str, draws: Mapping[int, Path]) -> "Prepared":
        """The same images, of which each seed trains on draws of its own.

        Args:
            method: names the rule that makes the draws from the data, the seed and the seeds before it.
            draws: the file of each seed.
        """
        return replace(
            self,
            drawn=method,
            draws=tuple((seed, str(path)) for seed, path in sorted(draws.items())),
            fingerprint=digest([self.fingerprint, {"drawn": method}]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Content of a prepared data set."""

    pixels_NCHW: Pixels
    labels_N: NDArray[np.int64]
    splits: dict[str, NDArray[np.int64]]
    """Image numbers of `train`, `val`, `test`, the sets under other conditions and the generated images; before a seed
    has cut folds, all images in each."""
    learnable: NDArray[np.int64]
    """Images that some fit trains on: those of train, generated ones behind, or all where there are folds."""
    names: list[str]
    clusters_N: NDArray[np.int64]
    """Images of one number depend on each other: copies, exact and near, and images of one group."""
    copies: tuple[tuple[int, ...], ...] = ()
    """Sets of numbers of images that are copies of each other, exact and near, whatever groups there are; without sets
    under other conditions."""

    draws: dict[int, Path] = field(default_factory=dict)
    """By seed the file of what an epoch draws, where it is not each image of train once; see `data.draws`."""
    share: float = 0.0
    """Of an epoch's samples that are generated images."""

    def with_splits(self, splits: dict[str, NDArray[np.int64]]) -> "Images":
        """The same images, cut another way."""
        return replace(self, splits=splits)


def prepare(config: DataConfig, cache: Path, *, folds: int = 0, like: Prepared | None = None) -> Prepared:
    """Makes a data set ready, or finds it ready. `synthetic.with_generated` adds generated images to it.

    Args:
        cache: folder shared by studies; see the module's docstring.
        folds: into which each seed is to cut all images; 0 cuts the splits here, once for all seeds.
        like: the same images at another size, crop or balance, whose splits and clusters are to be taken over: copies
            are found by pixels, so that a cut of its own could be another one.

    Raises:
        ConfigError: generated images are asked for.
        DataError: the images or labels cannot be used; names every offending file.
    """
    if config.synthetic:
        raise ConfigError(
            "`prepare` makes real images ready and needs a request without `synthetic`, but got one with it; "
            "`resnet_tl.data.synthetic.with_generated` names generated images beside those that it returns, and "
            "`resnet_tl.training.generating.make_generated` makes them."
        )
    with local(config, cache) as (found, said):
        data = _prepare(found, cache, folds, like)
    data = replace(data, notes=(*said, *data.notes))
    if folds:
        images = data.load()
        require_folds(images.labels_N, images.clusters_N, folds=folds, classes=data.classes)
    return data


def _prepare(config: DataConfig, cache: Path, folds: int, like: Prepared | None) -> Prepared:
    base = cache / "data"
    seen = base / "seen" / f"{_signature(config, is_cut=not folds, like=like)}.json"
    names_file = seen.with_suffix(".names")
    if seen.exists() and names_file.exists():
        facts = json.loads(seen.read_text(encoding="utf-8"))
        folder = base / facts["fingerprint"]
        if (folder / "data.json").exists():
            return _open(folder, names_file, facts, config, folds)
    source = source_of(config).list(config)
    make_folder(base)
    clear_unfinished(base, older_than_s=86_400)  # a day is longer than any decoding
    with tempfile.TemporaryDirectory(dir=base, prefix=".making-") as making, hold([Path(making)]):
        facts, came = _make(config, source, Path(making), is_cut=not folds, like=like)
        folder = base / facts["fingerprint"]
        if not folder.exists():
            Path(making).chmod(0o755)
            sync_all(Path(making))
            try:
                move(Path(making), folder)
            except OSError:
                if not folder.exists():  # else another process was first, with the same content
                    raise
            else:
                Path(making).mkdir()  # for the context manager to remove
    write_text(names_file, json.dumps(came))
    write_text(seen, json.dumps(facts))
    return _open(folder, names_file, facts, config, folds)


def verify(data: Prepared) -> None:
    """Compares the stored pixels with their hash, before they are trained on.

    Raises:
        DataError: they differ; the damaged copy is removed, so that the next start makes it anew.
    """
    folder = Path(data.folder)
    stated = json.loads((folder / "data.json").read_text(encoding="utf-8"))["pixels_sha256"]
    found = sha256_of(folder / "images.npy")
    if found != stated:
        discard(folder)
        raise DataError(
            f"The decoded images in {folder} must have sha256 {stated[:12]}…, but have {found[:12]}…: the disk or "
            "another program changed them. They were removed; start again to decode them anew."
        )


def _open(folder: Path, names_file: Path, facts: dict[str, Any], config: DataConfig, folds: int) -> Prepared:
    # what belongs to the request stands apart from the content: other files may have equal pixels
    table = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    stored = table["prepared"]
    classes = tuple(stored["classes"])
    shifted = facts.get("shifted") or {}
    if folds:  # the folder holds the images alone, which all numbers of folds share
        of_class = Counter(table["labels"])
        counts = Counter({(split, label): number for split in SPLITS for label, number in of_class.items()})
        stored["fingerprint"] = digest([stored["fingerprint"], {"folds": folds, "split_seed": config.split_seed}])
    else:
        counts = Counter(zip(table["splits"], table["labels"], strict=True))
    return Prepared(
        **stored
        | {
            "folder": str(folder.absolute()),
            "pixels_name": digest([table["pixels_sha256"], stored["crop"], table["splits"]]),
            "names_file": str(names_file.absolute()),
            "test_name": facts["test_name"],
            "images_name": facts["images_name"],
            "classes": classes,
            "size": tuple(stored["size"]),
            "resized": config.size is not None,
            "resize": config.resize,
            "bits": facts["bits"],
            "max_pixels": config.max_pixels,
            "skipped": facts["skipped"],
            "notes": tuple(facts["notes"]),
            "how_cut": facts["cut"],
            "folds": folds,
            "split_seed": config.split_seed,
            "shifted": shifted,
            "table": {
                split: {name: counts[split, label] for label, name in enumerate(classes)}
                for split in (*SPLITS, *shifted)
            },
        }
    )


def _signature(config: DataConfig, *, is_cut: bool, like: Prepared | None) -> str:
    """Names the request and the state of the files it reads, without reading them."""
    source = source_of(config)
    places = (config, *configs(config).values())
    state = sorted(_state(path) for each in places for path in source.files(each))
    libraries = [version(library) for library in source.libraries]
    # of an archive there is a folder in its place, and generated images are none of the files
    options = config.model_dump(mode="json", exclude={"url", "sha256", "synthetic"})
    own = identity_of("resnet_tl.sources", config.source)
    more = [*([] if is_cut else ["folds"]), *([like.fingerprint] if like else []), *([own] if own else [])]
    return digest([FORMAT, SEEN_FORMAT, options, state, libraries, *more])


def _state(path: Path) -> tuple[str, str, int, int]:
    # a folder counts by where it leads: its date changes with every file that is no sample
    if path.is_dir():
        return str(path), os.path.realpath(path), 0, 0
    try:
        stat = path.stat()
    except OSError:  # a link that leads nowhere
        return str(path), "missing", 0, 0
    # rights change no date, and what could not be read once must be tried again
    readable = "" if os.access(path, os.R_OK) else "unreadable"
    return str(path), readable, stat.st_size, stat.st_mtime_ns


def _make(
    config: DataConfig, source: Listing, folder: Path, *, is_cut: bool, like: Prepared | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Decodes, checks and stores; returns what belongs to the request alone, and the names and clusters of images.

    Args:
        is_cut: whether splits are cut here; else each seed cuts folds.
        like: see `prepare`.
    """
    own = [split for split in ("val", "test") if split in source.given]
    if config.shifted and not is_cut:
        raise DataError("`data.shifted` needs splits that are the same for all seeds, so leave `study.folds` out.")
    if own and not is_cut:
        raise DataError(
            f"The data brings its own {' and '.join(own)}, but folds cut all images: put them into class folders "
            "without splits, or leave `study.folds` out."
        )
    found = decode_all(source, folder / "raw")
    bits = settled_bits(config.bits, found.largest)
    if config.bits == "auto" and bits is not None and bits < 16:
        source = source_of(config).list(config.model_copy(update={"bits": bits}))
        found = decode_all(source, folder / "raw")
    kept, hashes, sizes, bad, largest = found.kept, found.hashes, found.sizes, found.bad, found.largest
    notes = [
        *source.said,
        *([f"{found.num_filled} JPEG files end too early and are used as far as they go."] if found.num_filled else []),
        *([f"Grey values are taken to use {bits} bits: the largest is {largest}."] if largest else []),
        *notes_on.idle_fractions(config, {source.given[index] for index in kept}),
    ]
    problems = [*source.problems, *source.unlearnable]
    beside = [] if problems else list_shifted(config, source, bits)
    decoded = [decode_all(extra.source, folder / "raw", append=True) for extra in beside]
    num_listed = len({*source.names, *bad})
    for extra, there in zip(beside, decoded, strict=True):
        sizes = sizes + there.sizes
        bad |= {f"{extra.name}: {name}": reason for name, reason in there.bad.items()}
        num_listed += len({*extra.source.names, *there.bad})
        if there.largest and bits is None:
            problems.append(
                f"`data.shifted`, {extra.name}: its images must store 8 bits, as those that are learnt from, but some "
                "store more."
            )
        if not there.kept:
            problems.append(f"`data.shifted`, {extra.name}: it must hold an image that can be used, but has none.")
        notes += extra.said
    if bad and not config.skip_bad and source.names:  # where nothing stands in its place, one sentence says so
        reasons = [f"{name} {reason}" for name, reason in sorted(bad.items())]
        problems.append(
            f"{len(bad)} of {num_listed} images cannot be used; repair or remove them, "
            f"or leave them out with data.skip_bad=true:\n{shown(reasons, most=1000)}"
        )
    if problems:
        raise DataError(*problems)
    if not kept:
        raise DataError("No usable image is left.")
    if len(sizes) > 1:
        few = ", ".join(f"{h}×{w} ({count})" for (_, h, w), count in sizes.most_common(4))
        raise DataError(
            f"Images of different sizes need `data.size`, the side of the square they are fitted to: found {few}."
        )
    shape = next(iter(sizes))
    if config.crop is not None and config.crop > min(shape[1:]):
        raise DataError(f"`data.crop` must be at most the image size, but got {config.crop} for {shape[1]}×{shape[2]}.")
    labels = [source.labels[index] for index in kept]
    given = [source.given[index] for index in kept]
    groups = [source.groups[index] for index in kept] if source.groups is not None and like is None else None
    near: list[list[int]] = []
    scarce: list[int] = []
    num_crowded = 0
    names = [source.names[index] for index in kept]
    if like is not None:
        splits, clusters, copies = _taken_over(like, [*names, *names_beside(beside, decoded)])
        splits, clusters = splits[: len(kept)], clusters[: len(kept)]
    else:
        near, num_crowded = without_crowds(near_sets(hashes, near_copies(found.thumbnails)), hashes, labels)
        free, lacking_splits = to_cut(given)
        near, scarce = without_whole_classes(near, hashes, labels, free=free, num_parts=1 + len(lacking_splits))
        clusters = clusters_of(hashes, near)
        copies = sets_of(clusters)
        splits = ["all"] * len(kept)
        if is_cut:
            splits = cut(
                labels,
                given,
                clusters,
                val_fraction=config.val_fraction,
                test_fraction=config.test_fraction,
                seed=config.split_seed,
                classes=source.classes,
                groups=groups,
            )
    together = list(map(str, clusters)) if groups is None else joined(groups, clusters)
    number = {cluster: index for index, cluster in enumerate(dict.fromkeys(together))}
    for split, lacking in (absent(splits, labels, source.classes) if is_cut else {}).items():
        notes.append(notes_on.of_absent(split, lacking, source.classes))
    num_stored = len(kept) + sum(len(there.kept) for there in decoded)
    pixels_sha256 = store(folder / "raw", folder / "images.npy", (num_stored, *shape), source.dtype)
    classes_of: dict[str, set[int]] = {}
    for h, label in zip(hashes, labels, strict=True):
        classes_of.setdefault(h, set()).add(label)
    learnt = {h for h, split in zip(hashes, splits, strict=True) if split == "train"}
    clusters_learnt = {cluster for cluster, split in zip(clusters, splits, strict=True) if split == "train"}
    is_leaked = [h in learnt and split != "train" for h, split in zip(hashes, splits, strict=True)]
    has_copy_learnt = [c in clusters_learnt and split != "train" for c, split in zip(clusters, splits, strict=True)]
    notes += notes_on.of_near_copies(
        near,
        splits,
        notes_on.known_as(names, config),
        num_torn=num_across_classes(near, hashes, labels),
        num_leaked=sum(c and not e for c, e in zip(has_copy_learnt, is_leaked, strict=True)),
        num_crowded=num_crowded,
        scarce=[source.classes[label] for label in scarce],
        is_cut=not {"val", "test"} <= {source.given[index] for index in kept},
    )
    clusters_told = [number[cluster] for cluster in together]
    num_contradicting = sum(len(classes_of[h]) > 1 for h in hashes)
    contents = list(zip(found.contents, labels, splits, strict=True))
    digests: dict[str, str] = {}
    # what stands beside test decides nothing above: neither how splits are cut nor what is told of their images
    itself = Learnt(hashes=hashes, labels=labels, thumbnails=found.thumbnails, splits=splits)
    for extra, there in zip(beside, decoded, strict=True):
        clusters_there, num_copies = clusters_beside(extra, there, itself)
        first = 1 + max(clusters_told)
        clusters_told += [first + cluster for cluster in clusters_there]
        labels_there = [extra.labels[index] for index in there.kept]
        notes += extra.notes(labels_there, source.classes, num_copies)
        hashes, labels = [*hashes, *there.hashes], [*labels, *labels_there]
        splits = [*splits, *[extra.name] * len(labels_there)]
        digests[extra.name] = digest([sorted(zip(there.contents, labels_there, strict=True)), source.classes])
    names += names_beside(beside, decoded)
    # options at their default are left out, so that a new one renames nothing; `resize` and bits are named even where
    # the pixels are equal, since a stored network reads new images by them
    shown_as = {"pixels": hashes, "shape": list(shape), "dtype": source.dtype} | config.model_dump(
        mode="json", include={"crop", "balanced", "resize"}, exclude_defaults=True
    )
    if bits is not None and bits < 16:
        shown_as["bits"] = bits
    sides: dict[str, Any] = {"labels": labels, "splits": splits, "classes": list(source.classes)}
    if not is_cut:
        sides |= {"splits": None, "clusters": clusters_told}
    name = digest({"format": FORMAT} | shown_as | sides)
    stored = {
        "fingerprint": name,
        "presentation_name": digest(shown_as),
        "classes": list(source.classes),
        "channels": source.channels,
        "size": [shape[1], shape[2]],
        "crop": config.crop,
        "balanced": config.balanced,
        "num_images": {split: splits.count(split if is_cut else "all") for split in (*SPLITS, *(config.shifted or ()))},
        "num_contradicting": num_contradicting,
        "num_leaked": sum(is_leaked),
    }
    table = {
        "prepared": stored,
        "pixels_sha256": pixels_sha256,
        "labels": labels,
        "splits": sides["splits"],
    }
    (folder / "data.json").write_text(json.dumps(table), encoding="utf-8")
    facts = {
        "fingerprint": name,
        "test_name": digest([sorted(image for image in contents if image[2] in ("test", "all")), source.classes]),
        "images_name": digest([sorted(contents), source.classes]),
        "shifted": digests,
        "skipped": bad,
        "notes": notes,
        "cut": notes_on.of_cut(config, {source.given[index] for index in kept}, grouped=source.groups is not None)
        if is_cut
        else "",
        "bits": bits,
    }
    came = {"names": names, "clusters": clusters_told, "copies": copies}
    return facts, came


def _taken_over(like: Prepared, names: Sequence[str]) -> tuple[list[str], list[int], list[list[int]]]:
    """Splits and clusters of images, and sets of copies, as they were for another presentation of the same images."""
    table = json.loads((Path(like.folder) / "data.json").read_text(encoding="utf-8"))
    came = json.loads(Path(like.names_file).read_text(encoding="utf-8"))
    if came["names"] != list(names):
        told = sorted(set(came["names"]) ^ set(names))
        raise DataError(
            f"All sizes must show the same images, but {len(told)} can be used at one size alone:\n{shown(told)}"
        )
    return table["splits"] or ["all"] * len(names), came["clusters"], came["copies"]
