"""The options `study.*`, `run.*` and `pretrain.*`, checked. Past this module no raw dictionary travels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from resnet_tl.config import METRICS, DataConfig, TrialConfig, better, check_together
from resnet_tl.errors import ConfigError
from resnet_tl.options import nearest, validate
from sweeps.definition.space import Space
from sweeps.definition.tables import TableSpec, parse_table

NOT_BUILT = "is not built yet; leave it out"


class _Options(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,  # --help shows them
    )


class StudyConfig(_Options):
    """One question and how it is put."""

    name: str
    """Names the study in the ledger, in MLflow and in `reports/`."""
    question: str
    """What the study is to answer; stands at the head of its report."""
    hypotheses: tuple[str, ...] = ()
    """What is expected, in prose; stands above the report's tables."""
    method: Literal["grid", "random", "bayes"]
    """Every point of the space; random points; or Optuna's TPE sampler."""
    space: dict[str, Any] = Field(default_factory=dict)
    """Parameter name to values or a distribution, in the vocabulary of W&B sweeps."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Every trial is run once with each."""
    trials: int | None = Field(None, ge=1)
    """For random and bayes: how many different trials, in total."""
    metric: str = "val/accuracy"
    """What is optimised, as the mean over seeds at the selected epoch."""
    direction: Literal["maximize", "minimize"]
    """maximize, or minimize for val/loss."""
    tables: tuple[Any, ...] = Field(("summary",), validate_default=True)
    """Of flat, lists, pivot, summary, best, imagenet; with options: {pivot: {rows: lr, columns: batch_size}}."""
    pruner: None = None
    confirm: None = None

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}", value):
            raise ValueError("must be letters, digits, `_`, `-` and `.`, at most 100, the first a letter or digit")
        return value

    @field_validator("hypotheses", mode="before")
    @classmethod
    def _prose(cls, value: Any) -> Any:
        items = [value] if isinstance(value, str) else value or []
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ValueError("must be sentences; hypotheses that are tested (`compare: …`) are not built yet")
        return tuple(items)

    @field_validator("pruner", "confirm", mode="before")
    @classmethod
    def _later(cls, value: Any) -> Any:
        if value not in (None, "none", "off"):
            raise ValueError(NOT_BUILT)
        return None

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("must be different integers from 0 on")
        return value

    @field_validator("metric")
    @classmethod
    def _metric(cls, value: str) -> str:
        allowed = [f"val/{metric}" for metric in METRICS]
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)} (the test split never steers anything)")
        return value

    @field_validator("tables", mode="after")
    @classmethod
    def _tables(cls, value: tuple[Any, ...]) -> tuple[TableSpec, ...]:
        return tuple(item if isinstance(item, TableSpec) else parse_table(item) for item in value)

    @model_validator(mode="after")
    def _agree(self) -> "StudyConfig":
        expected = "minimize" if better(self.metric) == "min" else "maximize"
        if self.direction != expected:
            raise ValueError(f"`study.direction` must be {expected} for {self.metric}, but got {self.direction}")
        if self.method == "grid" and self.trials is not None:
            raise ValueError("`study.trials` belongs to random and bayes; a grid runs every point of its space")
        if self.method != "grid" and self.trials is None:
            raise ValueError(f"`study.trials` must be given for method={self.method}")
        return self


class RunConfig(_Options):
    """Where and how to run; nothing here changes a number."""

    out: str = "."
    """Holds `studies.db`, `mlruns/` and `reports/`."""
    workers: int | None = Field(None, ge=1)
    """Seed runs at a time. Default: one per GPU, or as many as the cores have room for `threads`."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of each fit; fixed when the study is created (1 unless given), since it decides the last bits."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda|cuda:\d+)$")
    """auto takes a GPU where there is one."""
    tracking_uri: str | None = None
    """An MLflow server or database; default: `mlruns/mlflow.db` under `out`."""
    dry_run: bool = False
    """Shows the trials and what is done; runs nothing."""
    cache: str | None = None
    """What studies share: decoded images, features and pretrained weights. Default: the user's cache folder."""
    executor: Literal["local"] = "local"
    storage: None = None
    reuse: Literal["auto", "off"] = "auto"
    """auto computes what cannot change once for all seed runs, where that pays; off never. The results are the same."""
    cache_gb: float = Field(50.0, gt=0)
    """Room for what studies share; the least recently used images and features go first."""
    max_hours: None = None

    @field_validator("storage", "max_hours", mode="before")
    @classmethod
    def _later(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError(NOT_BUILT)
        return value

    @field_validator("executor", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if value != "local":
            raise ValueError(f"{value} {NOT_BUILT}")
        return value


class PretrainConfig(_Options):
    """Starting weights that a study makes for itself, once; named by `trial.weights`."""

    trial: dict[str, Any]
    """As a trial; the backbone defaults to that of the trial which uses it."""
    data: DataConfig
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A whole, valid request."""

    study: StudyConfig
    space: Space
    base: dict[str, Any]
    """The `trial:` block: values shared by all trials, together with a point of the space a full TrialConfig."""
    data: DataConfig
    run: RunConfig
    pretrain: dict[str, PretrainConfig]

    def trial(self, params: Mapping[str, Any]) -> TrialConfig:
        """The full configuration at a point of the space.

        Raises:
            ConfigError: it is not valid.
        """
        values = self.space.apply(params, self.base)
        values.setdefault("monitor", self.study.metric)
        return validate(TrialConfig, values, "trial")

    def stage_trial(self, stage: str, backbone: str) -> TrialConfig:
        """The configuration of a pretrain stage for a network of this depth.

        Raises:
            ConfigError: it is not valid, or of another depth.
        """
        given = dict(self.pretrain[stage].trial)
        given.setdefault("weights", "none")
        if given.setdefault("backbone", backbone) != backbone:
            raise ConfigError(
                f"The pretrain stage {stage} makes a {given['backbone']}, but `trial.backbone` is {backbone}."
            )
        return validate(TrialConfig, given, f"pretrain.{stage}.trial")


TOP_LEVEL = ("study", "trial", "data", "run", "pretrain")


def build(raw: Mapping[str, Any]) -> Definition:
    """Checks a composed configuration.

    Raises:
        ConfigError: every problem at once.
    """
    problems = [f"`{key}` is not an option; {nearest(str(key), TOP_LEVEL)}" for key in raw if key not in TOP_LEVEL]
    parts: dict[str, Any] = {}
    wanted: list[tuple[str, Any, Any]] = [
        ("study", StudyConfig, raw.get("study") or {}),
        ("data", DataConfig, raw.get("data") or {}),
        ("run", RunConfig, raw.get("run") or {}),
    ]
    for stage, content in (raw.get("pretrain") or {}).items():
        wanted.append((f"pretrain.{stage}", PretrainConfig, content if isinstance(content, dict) else {}))
    for where, model, values in wanted:
        try:
            parts[where] = validate(model, values, where)
        except ConfigError as error:
            problems += error.problems
    base = raw.get("trial") or {}
    unknown = [key for key in base if key not in TrialConfig.model_fields]
    problems += [f"`trial.{key}` is not an option; {nearest(str(key), TrialConfig.model_fields)}" for key in unknown]
    base = {key: value for key, value in base.items() if key not in unknown}
    try:
        space = Space.parse((raw.get("study") or {}).get("space") or {}, base)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    try:
        if (raw.get("study") or {}).get("method") == "grid":
            space.require_finite()
        _check_points(space, base)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    definition = Definition(
        study=parts["study"],
        space=space,
        base=base,
        data=parts["data"],
        run=parts["run"],
        pretrain={stage: parts[f"pretrain.{stage}"] for stage in raw.get("pretrain") or {}},
    )
    _check_whole(definition)
    return definition


def _check_points(space: Space, base: dict[str, Any]) -> None:
    """Every point (for large spaces: points that show every value and both ends) must be a valid trial."""
    problems: dict[str, None] = {}
    for params in space.probes():
        try:
            validate(TrialConfig, space.apply(params, base), "trial")
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(*problems)


def _check_whole(definition: Definition) -> None:
    problems: list[str] = []
    for params in definition.space.probes():
        trial = definition.trial(params)
        try:
            check_together(trial, definition.data)
            if trial.weights in definition.pretrain:
                definition.stage_trial(trial.weights, trial.backbone)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
