"""What the user decides about one network and its images: `trial.*` and `data.*`.

The option names are flat and short and are relied upon by scripts and study files.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from resnet_tl.address import parse
from resnet_tl.architecture import BACKBONES
from resnet_tl.errors import ConfigError
from resnet_tl.freezing import freeze_point
from resnet_tl.head_spec import HEADS, OPTIONS, Activation, Norm, options_of, spec_of
from resnet_tl.metrics import METRICS, metric_of
from resnet_tl.option_text import LARGEST
from resnet_tl.parts import require_sound

MAX_PIXELS = 89_478_485
"""Where Pillow begins to take an image for a decompression bomb: 256 MB as RGB."""
MOST_SIDE = 16_384
"""Pixels of a square; one image of them takes 3 GB as float32."""
MOST_THREADS = 1024
FirstLayer = Literal["sum", "luma"]
if TYPE_CHECKING:
    Backbone = str
    HeadName = str
else:
    Backbone, HeadName = Literal[tuple(BACKBONES)], Literal[tuple(HEADS)]
AUGMENTATIONS = ("hflip", "vflip", "rotation", "random_crop", "five_crop", "mixup", "cutmix")
LITERAL_OPTIONS = ("data.root", "data.labels", "data.url", "data.sha256", "data.group_key", "trial.weights")
"""Options that every command takes letter by letter, whatever characters they hold: paths, addresses and patterns."""
FINITE_AUGMENTATIONS = ("five_crop", "hflip", "vflip")
"""Those under which an image has few views, all of which can be computed beforehand."""


class Options(BaseModel):
    """Options that people write: unknown ones are refused, and values mean what they look like."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,  # --help shows them
    )
    reserved: ClassVar[tuple[str, ...]] = ()
    """Names that will mean something: refused as not built, where any other unknown name is taken for a slip."""

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, values: Any) -> Any:
        """Where an installed part cannot be used, its name would be taken for a slip."""
        require_sound()
        return values

    @classmethod
    @cache  # asked for every option of every stored trial
    def _kinds_of(cls, name: str) -> tuple[set[Any], tuple[Any, ...]]:
        return _kinds(cls.model_fields[name].annotation)

    @field_validator("*", mode="before")
    @classmethod
    def _as_it_looks(cls, value: Any, info: ValidationInfo) -> Any:
        """`none` leaves an option open; true is no number, though pydantic reads it as 1."""
        types, choices = cls._kinds_of(str(info.field_name))
        if Any in types:
            return value
        if value in ("none", "off") and NoneType in types and str not in types and value not in choices:
            return None
        if isinstance(value, bool) and bool not in types and not any(choice is value for choice in choices):
            what = f"one of {', '.join(_word(choice) for choice in choices)}" if choices else "a number"
            raise ValueError(
                f"must not be `{_word(value)}`, but {what if choices or {int, float} & types else 'words'}"
            )
        if {int, tuple} & types:
            for number in value if isinstance(value, list | tuple) else [value]:
                if isinstance(number, int | float) and abs(number) > LARGEST:
                    raise ValueError(f"must be at most {LARGEST}")
        return value


def _kinds(annotation: Any) -> tuple[set[Any], tuple[Any, ...]]:
    """The types that an option takes, and the values where it takes certain ones only."""
    if get_origin(annotation) is Literal:
        return set(), get_args(annotation)
    if get_origin(annotation) not in (Union, UnionType):
        return {get_origin(annotation) or annotation}, ()
    parts = [_kinds(part) for part in get_args(annotation)]
    return set[Any]().union(*(types for types, _ in parts)), tuple(value for _, values in parts for value in values)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def integer_options() -> tuple[str, ...]:
    """Options of a trial that are whole numbers."""
    return tuple(name for name, field in TrialConfig.model_fields.items() if int in _kinds(field.annotation)[0])


def float_options() -> tuple[str, ...]:
    """Options of a trial that are any numbers."""
    return tuple(name for name, field in TrialConfig.model_fields.items() if float in _kinds(field.annotation)[0])


class TrialConfig(Options):
    """One point of a search space: everything about a fine-tuning run but its seed and its images."""

    backbone: Backbone
    """The ResNet, by its depth (He et al. 2016), or a ResNeXt or Wide ResNet of torchvision."""
    weights: str = "imagenet"
    """Starting weights: `imagenet`, a version of it (`IMAGENET1K_V2`), `none`, a file, a checkpoint folder, or,
    inside a study, `runs:/ID` of MLflow or the name of a `pretrain` stage."""
    head: HeadName = "linear"
    """The classifier on the pooled features: one layer, or a hidden one: named ones, or `mlp` with parts to choose."""
    head_width: int = Field(256, ge=1)
    """Hidden units of all heads but `linear`."""
    head_norm: Norm = "none"
    """Of the hidden layer of `mlp`: none, or BatchNorm."""
    head_activation: Activation = "relu"
    """Of the hidden layer of `mlp`; a leaky one has slope 0.01."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of hidden units dropped while training by `mlp` (default 0) and `mlp_leaky_dropout` (default 0.5)."""
    first_layer: FirstLayer = "sum"
    """How RGB weights fit grey images: the sum of the three kernels, which sees a grey image as the weights would see
    it in all three channels, or the sum weighted by luma, whose responses are a third of that."""
    freeze: float | str = "none"
    """Fraction of backbone parameters that stays fixed, in [0, 1], by whole tensors until it is first reached; or a
    stage (`layer3`), `none`, `all`."""
    trainable_blocks: int | None = Field(None, ge=0)
    """Instead of `freeze`: how many residual blocks, counted from the end, are trained."""
    bn: Literal["frozen_eval", "batch_stats", "train_affine"] = "frozen_eval"
    """BatchNorm of the frozen part: its stored statistics (`frozen_eval`), those of the batch (`batch_stats`), or
    the stored ones with trained scale and shift (`train_affine`)."""
    optimizer: Literal["sgd", "adam", "adamw"]
    """Stochastic gradient descent with momentum, Adam, or AdamW."""
    lr: float = Field(gt=0)
    """Peak learning rate of the head."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of SGD; Adam and AdamW use betas (0.9, 0.999)."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty; decoupled for AdamW."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """`cosine` falls to zero at the last step; `step` divides by ten after each third of the epochs."""
    warmup_epochs: int = Field(0, ge=0)
    """Epochs of linear growth from zero to `lr`, by steps."""
    backbone_lr_factor: float = Field(1.0, gt=0)
    """Learning rate of the backbone, as a multiple of `lr`."""
    criterion: Literal["bce", "cross_entropy"] | None = None
    """Default: `bce` on one logit for two classes, else `cross_entropy`."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""
    epochs: int = Field(ge=1)
    """The most epochs to train; `patience` may stop earlier."""
    head_epochs: int = Field(0, ge=0)
    """Epochs before these in which the head alone is trained, on the backbone as it was loaded (linear probing, then
    fine-tuning). Each phase has its own optimiser, warm-up and schedule, both `lr`; epochs are counted on, any may be
    selected, and `patience` begins with the second phase."""
    batch_size: int = Field(ge=1)
    """Images per step; a single left-over image joins the batch before it."""
    patience: int | None = Field(None, ge=1)
    """Epochs without improvement of `monitor` after which training stops; `off` never stops it."""
    monitor: str = "val/accuracy"
    """The metric that selects the epoch; in a study, the study's own metric unless it is set."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the network: full, or bfloat16 autocast."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """How feature maps lie in memory: `channels_last` wherever that is quicker, or nowhere."""
    fused_optimizer: bool = True
    """One kernel for all of an optimiser's step, or one for each tensor."""
    augment: tuple[str, ...] = ()
    """`none`, or any of hflip, vflip, rotation (within 15 degrees), random_crop, five_crop (the centre or a corner),
    mixup, cutmix."""

    @field_validator("freeze")
    @classmethod
    def _freeze(cls, value: float | str) -> float | str:
        try:
            freeze_point("resnet18", value)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("`freeze` ").split(", but got")[0]) from None
        return value

    @field_validator("augment", mode="before")
    @classmethod
    def _augment(cls, value: Any) -> Any:
        names = list(value) if isinstance(value, list | tuple) else [value] if value is not None else []
        names = [name for name in names if name != "none"]
        unknown = [str(name) for name in names if name not in AUGMENTATIONS]
        if unknown:
            raise ValueError(f"must be `none` or any of {', '.join(AUGMENTATIONS)}")
        if len(set(names)) < len(names):
            raise ValueError("must name each augmentation once")
        if {"random_crop", "five_crop"} <= set(names):
            raise ValueError("must not crop twice: give random_crop or five_crop")
        # the order of application is fixed, so the order of writing is no difference
        return tuple(name for name in AUGMENTATIONS if name in names)

    @field_validator("monitor")
    @classmethod
    def _monitor(cls, value: str) -> str:
        allowed = [f"val/{metric}" for metric in METRICS]
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)} (the test split never steers anything)")
        return value

    @model_validator(mode="after")
    def _agree(self) -> "TrialConfig":
        if self.trainable_blocks is not None:
            if self.freeze != "none":
                raise ValueError(
                    f"give either `freeze` or `trainable_blocks`, but got freeze={self.freeze}, "
                    f"trainable_blocks={self.trainable_blocks}"
                )
            num_blocks = sum(BACKBONES[self.backbone].num_blocks)
            if self.trainable_blocks > num_blocks:
                raise ValueError(
                    f"`trainable_blocks` must be at most {num_blocks} for {self.backbone}, "
                    f"but got {self.trainable_blocks}"
                )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"`warmup_epochs < epochs` must hold, but got warmup_epochs={self.warmup_epochs}, epochs={self.epochs}"
            )
        if self.head_epochs:
            self._check_first_phase()
        if self.batch_size == 1:
            needs = [f"augment: {name}" for name in ("mixup", "cutmix") if name in self.augment]
            needs += ["a head with BatchNorm"] if spec_of(self).norm == "batch" else []
            point = freeze_point(self.backbone, self.freeze, trainable_blocks=self.trainable_blocks)
            if point < freeze_point(self.backbone, "all") or self.bn == "batch_stats":
                needs.append("BatchNorm layers that train")
            if needs:
                raise ValueError(f"`batch_size` must be at least 2 for {' and '.join(needs)}, but got 1")
        return self

    def _check_first_phase(self) -> None:
        if self.warmup_epochs >= self.head_epochs:
            raise ValueError(
                "`warmup_epochs < head_epochs` must hold, since the learning rate grows anew in each phase, but got "
                f"warmup_epochs={self.warmup_epochs}, head_epochs={self.head_epochs}"
            )
        everything = freeze_point(self.backbone, "all")
        points = [  # of grey images and of others; which of them there are is not known here
            freeze_point(self.backbone, self.freeze, trainable_blocks=self.trainable_blocks, channels=channels)
            for channels in (1, 3)
        ]
        if self.bn == "frozen_eval" and everything in points:
            how = f"freeze={self.freeze}" if self.trainable_blocks is None else "trainable_blocks=0"
            raise ValueError(
                f"`head_epochs` must be 0 where all of the backbone is frozen, and the head alone is trained in any "
                f"case, but got head_epochs={self.head_epochs}, {how}; in a search give it a condition (`when`)"
            )

    @property
    def num_epochs(self) -> int:
        """The most epochs of both phases."""
        return self.head_epochs + self.epochs

    @property
    def endless_views(self) -> bool:
        """Whether the augmentations give new views of an image forever."""
        return bool(set(self.augment) - set(FINITE_AUGMENTATIONS))

    @property
    def monitor_mode(self) -> Literal["min", "max"]:
        """Whether a lower or a higher value of `monitor` is better."""
        return metric_of(self.monitor).better


def has_effect(option: str, values: Mapping[str, Any]) -> bool:
    """Whether an option says anything beside the others: `momentum` says nothing to Adam, a width nothing to one layer.

    Args:
        values: of the trial; options that are not among them rule nothing out.
    """
    head = values.get("head")
    if option == "momentum":
        return values.get("optimizer") in (None, "sgd")
    return option not in OPTIONS or head not in HEADS or option in options_of(head)


class SyntheticConfig(Options):
    """Training images made by a generator that learns from `train` alone, as a share of each epoch."""

    share: float = Field(gt=0, lt=1)
    """Of the samples of an epoch; the others are real images, and the epoch is as long as without."""
    steps: int = Field(1500, ge=1)
    """Batches that the generator learns from: it takes as long for many images as for few."""
    seed: int = Field(0, ge=0)
    """Decides the weights of the generator, its batches and its images."""


NO_SHIFT = ("train", "val", "test", "all", "best", "clusters", "classes", "data", "synthetic")
"""Names that sets of `data.shifted` must not have: they mean something else where scores are kept."""


class DataConfig(Options):
    """Which images, cut into which splits, at which size."""

    source: str
    """The kind of place they come from, a module of `resnet_tl.data.sources`: `image_folder`, `arrays`, `digits` or
    `torchvision.CIFAR10`, say."""
    root: str | None = None
    """Folder of the images or arrays; relative to the current folder."""
    url: str | None = Field(None, repr=False)  # it may hold a password
    """Address (http, https) of a zip or tar archive, which is downloaded into the cache once, unpacked and read as
    `root`; `root` is then a folder within it. Of Google Drive with the extra `gdown`."""
    sha256: str | None = None
    """Hash of the archive, 64 hexadecimal digits; it must be given with `url`. Without it an error tells the hash."""
    labels: str | None = None
    """For images that do not stand in class folders: a CSV, in `root` or elsewhere, with the columns `file` (a path
    below `root`) and `label`, and `split` where the data states its splits."""
    size: int | None = Field(None, ge=8, le=MOST_SIDE)
    """Pixels of the short side, then of the centre square cut from it. Without it all images must be of one size."""
    resize: Literal["crop", "pad", "squash"] = "crop"
    """How an image becomes a square of `size`: the centre of it (`crop`), the whole of it with black borders (`pad`),
    or the whole of it with its sides changed unequally (`squash`)."""
    crop: int | None = Field(None, ge=8, le=MOST_SIDE)
    """Pixels of the square fed to the network: the centre, or anywhere with `trial.augment: random_crop`, the
    centre or a corner with `five_crop`."""
    channels: Literal[1, 3] | None = None
    """Default: RGB for folders, what the images have elsewhere."""
    bits: Literal[8, 10, 12, 14, 16, "auto"] | None = None
    """Bits that the grey values use in images that store more than 8: cameras write 12 into files of 16. `auto` takes
    the fewest that hold the largest value of the whole set. Without it 16, unless fewer would do, which is refused."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Images of more pixels, width times height, are taken for decompression bombs."""
    balanced: Literal[False, "oversample", "class_weights"] = False
    """Rare classes drawn more often, or weighing more in the loss."""
    split_seed: int = Field(0, ge=0)
    """Decides the splits that are cut; belongs to the data, so that all runs share them."""
    val_fraction: float = Field(0.15, gt=0, lt=1)
    """Share of the images cut from train where the data brings no `val`."""
    test_fraction: float = Field(0.15, gt=0, lt=1)
    """The same for `test`."""
    group_key: str | None = None
    """For folders: a regular expression searched in each image's path below its class folder, or below `root` with
    `labels`; the first of its groups that captures something names the patient or object, none of whom stands in two
    splits."""
    group_missing: Literal["refuse", "own"] = "refuse"
    """What becomes of images in whose path `group_key` is not found: an error, or a group of its own for each."""
    skip_bad: bool = False
    """Leave broken images out, and record which, instead of refusing the whole set."""
    truncated: Literal["refuse", "fill"] = "refuse"
    """What becomes of JPEG files that end too early: broken images, or as far as they go, with grey for the rest."""
    skip_flagged: bool = False
    """Leave out the patches of a patch set in whose images no region was found."""
    shifted: dict[str, str] | None = None
    """Labelled images taken under other conditions, {night: FOLDER}, each laid out as `root`: every network that is
    scored on `test` is scored once on all images of each, too. They steer nothing."""
    synthetic: SyntheticConfig | None = None
    """Generated training images, {share: 0.5}: a small class-conditional GAN is trained once on `train` alone (with
    `steps`, default 1500, and `seed`, default 0), and so large a share of each epoch is drawn from its images."""

    @field_validator("balanced", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return False if value in ("off", "none") else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not parse(value, "data.url").is_http:
            raise ValueError("`data.url` must begin with http:// or https://")  # and is not shown
        return value

    @field_validator("sha256", mode="before")
    @classmethod
    def _sha256(cls, value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value)):
            raise ValueError("must be 64 hexadecimal digits")
        return value if value is None else value.lower()

    @field_validator("shifted")
    @classmethod
    def _shifted(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        wrong = [name for name in value or () if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in NO_SHIFT]
        if wrong:
            raise ValueError(
                "must name each set by lower-case letters, digits and `_`, the first a letter, and none "
                f"{', '.join(NO_SHIFT)}, but got {wrong[0]}"
            )
        return value or None

    @model_validator(mode="after")
    def _agree(self) -> "DataConfig":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "`val_fraction + test_fraction < 1` must hold, or nothing is left to train on, but got "
                f"{self.val_fraction} + {self.test_fraction}"
            )
        if self.sha256 is not None and self.url is None:
            raise ValueError("`sha256` needs `url`, the address of the archive that it is the hash of")
        if self.group_missing != "refuse" and self.group_key is None:
            raise ValueError("`group_missing` needs `group_key`, without which there are no groups")
        if self.resize != "crop" and self.size is None:
            raise ValueError(f"`resize` needs `size`, the side of the square, but got resize={self.resize} alone")
        if self.crop is not None and self.size is not None and self.crop > self.size:
            raise ValueError(f"`crop <= size` must hold, but got crop={self.crop}, size={self.size}")
        if self.synthetic is not None and self.balanced == "oversample":
            raise ValueError(
                "`synthetic` says which share of an epoch is generated and `balanced: oversample` how often a real "
                "image comes, so give one of them; `balanced: class_weights` goes with generated images"
            )
        return self


def real_images(data: DataConfig) -> DataConfig:
    """The request without its generated images, which are made from what it says."""
    return data.model_copy(update={"synthetic": None}) if data.synthetic else data


def check_together(trial: TrialConfig, data: DataConfig, num_classes: int | None = None) -> None:
    """Checks what trial and data must agree on.

    Args:
        num_classes: where it is known already.

    Raises:
        ConfigError: they contradict.
    """
    if trial.criterion == "bce" and num_classes is not None and num_classes != 2:
        raise ConfigError(f"`trial.criterion: bce` needs two classes, but the data has {num_classes}.")
    for name in ("random_crop", "five_crop"):
        if name in trial.augment and data.crop is None:
            raise ConfigError(f"`trial.augment: {name}` needs `data.crop`, the size to cut out of `data.size`.")


def check_scored(metric: str, num_val_classes: int) -> None:
    """Checks that there will be the score by which epochs or trials are selected.

    Args:
        num_val_classes: classes with images in val.

    Raises:
        ConfigError: there will not.
    """
    if metric == "val/auroc" and num_val_classes < 2:
        raise ConfigError(
            "`val/auroc` needs images of two classes in val, but all images there are of one class; select by another "
            "metric, or bring images of a second class."
        )
