"""The options `study.*`, `run.*` and `pretrain.*`, checked. Past this module no raw dictionary travels."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from resnet_tl.address import Address, parse, without_secrets
from resnet_tl.config import MOST_THREADS, DataConfig, Options, TrialConfig
from resnet_tl.data.folds import FEWEST
from resnet_tl.errors import ConfigError
from resnet_tl.metrics import MACRO, METRICS, metric_of
from resnet_tl.option_text import brief, validate
from sweeps.definition.aims import OTHERS, SCORES, direction_of, parse_aims
from sweeps.definition.hypotheses import Hypothesis, parse_hypothesis
from sweeps.definition.outputs.registry import FIGURES, TABLES, Spec, parse_figures, parse_tables
from sweeps.definition.space import MOST_LISTED, Params, Space
from sweeps.study_trial import StudyTrial, data_of, shown

FIRST_FRESH_SEED = 1000
"""Of a confirmation that gives a number of seeds."""
MOST_SEEDS = 10_000
"""Of one trial; a slip of the keyboard in their number would fill the memory."""
MOST_FOLDS = 1000
"""Each of them is a fit."""
NUM_DRAWS = 1000
"""Random points by which it is judged how often a space breaks a rule between parameters."""
FEWEST_RACED = 3
"""Seeds of a study with a race: two show a spread, and then there must be one to save."""


class ConfirmConfig(Options):
    """Which trials are run again, and on which seeds."""

    top: int = Field(ge=1)
    """How many of the best trials, by the study's metric over its seeds."""
    seeds: tuple[int, ...]
    """Fresh ones: a list, or how many (1000, 1001, …)."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _fresh(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 2:
                raise ValueError("must be two or more, since one shows no spread")
            if value > MOST_SEEDS:
                raise ValueError(f"must be at most {MOST_SEEDS:,}")
            return tuple(range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + value))
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _different(value)


class RungsConfig(Options):
    """When a trial trains no further: successive halving on learning curves."""

    kind: Literal["rungs"]
    """`rungs`: all trials train their first epochs; the best go on to the next rung, and those left to the end."""
    min_epochs: int | None = Field(None, ge=1)
    """The first rung, in epochs; without it, at a third of the longest training."""
    eta: float = Field(1.5, gt=1, le=100)
    """Of the trials at a rung the best 1/eta go on, rounded up, to one that is `eta` times as far."""
    epochs: tuple[int, ...] | None = None
    """The rungs themselves, in place of what `min_epochs` and `eta` give: [1] is one epoch each, then the best."""
    keep: int | None = Field(None, ge=1)
    """How many trials go on after the last rung, and at least after each; without it, the best 1/eta."""
    seeds: int = Field(1, ge=1)
    """How many of the study's seeds take part, of which trials are compared by their mean; those that are left train
    the others whole."""

    @field_validator("epochs", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("epochs")
    @classmethod
    def _ascending(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or value[0] < 1 or any(a >= b for a, b in itertools.pairwise(value))):
            raise ValueError(f"must be epochs from 1 on, each later than the one before, but got {list(value)}")
        return value


class StopConfig(Options):
    """When a search ends before all of its trials."""

    regret: float = Field(0.005, ge=0)
    """By how much its best trial may be behind that of the whole search, in the unit of the study's metric."""
    risk: float = Field(0.05, gt=0, lt=0.5)
    """Of its being behind by more."""


class RaceConfig(Options):
    """When a trial gets no more seeds."""

    kind: Literal["race"]
    """`race`: all trials run their first seed, a third of them a second; then, seed by seed, those are stopped that
    can hardly win any more."""
    risk: float = Field(0.05, gt=0, lt=0.5)
    """Of stopping a trial that would have been ahead by more than `regret` over all seeds."""
    regret: float = Field(0.003, ge=0)
    """How far ahead a trial would have to be to be worth more seeds, in the unit of the study's metric."""
    simultaneous: bool = False
    """Whether `risk` is that of any such trial of the study, in place of each: safer, and stops fewer."""


PRUNERS: dict[str, type[RungsConfig | RaceConfig]] = {"rungs": RungsConfig, "race": RaceConfig}
"""In the order in which they decide."""


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError("must be different integers from 0 on")
    if len(seeds) > MOST_SEEDS:
        raise ValueError(f"must be at most {MOST_SEEDS:,}")
    return seeds


class StudyConfig(Options):
    """One question and how it is put."""

    name: str
    """Names the study in the ledger, in MLflow and in `reports/`."""
    question: str
    """What the study is to answer; stands at the head of its report."""
    about: str = ""
    """Prose for the head of the report, in markdown: what is varied and why, what was done before."""
    hypotheses: tuple[Any, ...] = Field((), validate_default=True)
    """What is expected: sentences, or comparisons that the report answers, such as
    {compare: {head: [linear, mlp_relu]}, expect: no_difference, margin: 0.01}."""
    method: Literal["grid", "ablation", "random", "bayes"]
    """Every point of the space; the first value of each parameter, and each other value alone; random points; or
    Optuna's TPE sampler."""
    space: dict[str, Any] = Field(default_factory=dict)
    """Parameter name to values or a distribution, in the vocabulary of W&B sweeps."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Every trial is run once with each."""
    folds: int | None = Field(None, le=MOST_FOLDS)
    """Cross-validation: each seed cuts all images into so many folds, and its run is a fit for each of them, so that
    every image is tested once. No network is kept."""
    trials: int | None = Field(None, ge=1, le=MOST_LISTED)
    """For random and bayes: how many different trials, in total."""
    metric: str = Field(
        "val/accuracy",
        description="What is optimised, as the mean over seeds at the selected epoch: "
        + "; ".join(f"val/{metric.name}, {metric.means}" for metric in METRICS.values())
        + f". {MACRO} A list, [val/accuracy, seconds], has further aims behind it.",
    )
    aims: tuple[str, ...] = Field(
        (),
        description="The further aims of a `metric` that is a list, which is how they are written: other scores on "
        "val, or "
        + "; ".join(f"{name}, {means}" for name, means in OTHERS.items())
        + ". All else goes by the first: ranking, selection, confirmation. A grid only shows them (table and picture "
        "`pareto`); bayes proposes by all of them.",
    )
    direction: Literal["maximize", "minimize"] = "maximize"
    """Follows from the metric; one that is given must agree with it."""
    tables: tuple[Any, ...] = Field(
        ("summary",),
        validate_default=True,
        description=f"Of {', '.join(TABLES.kinds)}; with options: {{pivot: {{rows: lr, columns: batch_size}}}}.",
    )
    figures: tuple[Any, ...] = Field((), description=f"Pictures of the report: {', '.join(FIGURES.kinds)}; or all.")
    confirm: ConfirmConfig | None = None
    """{top: 3, seeds: 10} runs the best trials again on fresh seeds, since the winner of a search is biased upward."""
    pruner: tuple[RungsConfig | RaceConfig, ...] = ()
    """What stops trials that can hardly win: {kind: rungs} after their first epochs, {kind: race} after their first
    seeds; [{kind: rungs}, {kind: race}] does both. Their results stay, marked, and are not ranked."""

    stop: StopConfig | None = None
    """For random and bayes: {regret: 0.005} ends the search when more trials would hardly find a better one."""

    @model_validator(mode="before")
    @classmethod
    def _follows(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if isinstance(written := values.get("metric"), list | tuple) and written:
            if values.get("aims"):
                raise ValueError(
                    "`study.aims` must be left out where `study.metric` lists all aims, but got "
                    f"{brief(values['aims'])} beside {brief(written)}"
                )
            values = values | {"metric": written[0], "aims": tuple(written[1:])}
        if values.get("direction") is None:
            metric = str(values.get("metric", cls.model_fields["metric"].default))
            if metric.rpartition("/")[2] in METRICS:  # else the metric is refused
                return values | {"direction": direction_of(metric)}
            return {name: value for name, value in values.items() if name != "direction"}
        return values

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}", value):
            raise ValueError("must be letters, digits, `_`, `-` and `.`, at most 100, the first a letter or digit")
        return value

    @field_validator("hypotheses", mode="before")
    @classmethod
    def _hypotheses(cls, value: Any) -> tuple[Hypothesis, ...]:
        items = [value] if isinstance(value, str | dict) else value or []
        if not isinstance(items, list | tuple):
            raise ValueError("must be a list")
        return tuple(item if isinstance(item, Hypothesis) else parse_hypothesis(item) for item in items)

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm(cls, value: Any) -> Any:
        if value in ("none", "off", None):
            return None
        if not isinstance(value, dict | ConfirmConfig):
            raise ValueError("must be a mapping such as {top: 3, seeds: 10}")
        return value

    @field_validator("tables", mode="before")
    @classmethod
    def _tables(cls, value: Any) -> tuple[Spec, ...]:
        return parse_tables(value)

    @field_validator("figures", mode="before")
    @classmethod
    def _figures(cls, value: Any) -> tuple[Spec, ...]:
        return parse_figures(value)

    @field_validator("pruner", mode="before")
    @classmethod
    def _pruner(cls, value: Any) -> Any:
        if value in (None, "none", "off"):
            return ()
        rules = value if isinstance(value, list | tuple) else [value]
        kinds = []
        for rule in rules:
            kind = rule.get("kind") if isinstance(rule, dict) else getattr(rule, "kind", None)
            if not isinstance(kind, str) or kind not in PRUNERS:
                raise ValueError(
                    "must be a mapping such as {kind: race, risk: 0.05, regret: 0.003} or {kind: rungs, eta: 3}, or a "
                    "list of both"
                )
            kinds.append(kind)
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"must have each kind once, but got {', '.join(kinds)}")
        # each is read as what it says it is, so that an error speaks of its options alone
        read = [
            validate(PRUNERS[rule["kind"]], rule, "study.pruner") if isinstance(rule, dict) else rule for rule in rules
        ]
        return tuple(sorted(read, key=lambda rule: list(PRUNERS).index(rule.kind)))

    @field_validator("stop", mode="before")
    @classmethod
    def _stop(cls, value: Any) -> Any:
        if value not in (None, "none", "off") and not isinstance(value, dict | StopConfig):
            raise ValueError("must be a mapping such as {regret: 0.005}")
        return validate(StopConfig, value, "study.stop") if isinstance(value, dict) else value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _different(value)

    @field_validator("folds")
    @classmethod
    def _folds(cls, value: int | None) -> int | None:
        if value is not None and value < FEWEST:
            raise ValueError(f"must be at least {FEWEST}: one fold is test, one val, and the others train")
        return value

    @field_validator("metric")
    @classmethod
    def _metric(cls, value: str) -> str:
        if value not in SCORES:
            first = " as the first of its aims, by which trials are ranked" if value in OTHERS else ""
            raise ValueError(f"must be one of {', '.join(SCORES)}{first} (the test split never steers anything)")
        return value

    @field_validator("aims", mode="before")
    @classmethod
    def _aims(cls, value: Any) -> tuple[str, ...]:
        try:
            return parse_aims(value)
        except ValueError as error:  # they are written behind the metric
            raise ValueError(f"`study.metric` {error}") from None

    @model_validator(mode="after")
    def _agree(self) -> "StudyConfig":
        if self.metric in self.aims:
            raise ValueError(f"`study.metric` must list each aim once, but has {self.metric} twice")
        expected = direction_of(self.metric)
        if self.direction != expected:
            raise ValueError(f"`study.direction` must be {expected} for {self.metric}, but got {self.direction}")
        if self.is_listed and self.trials is not None:
            raise ValueError(f"`study.trials` belongs to random and bayes; {self.method} runs what its space lists")
        if not self.is_listed and self.trials is None:
            raise ValueError(f"`study.trials` must be given for method={self.method}: how many are to be tried")
        for where, specs in (("tables", self.tables), ("figures", self.figures)):
            for spec in specs:
                lacking = spec.options.lacks(self)
                if lacking:
                    raise ValueError(f"`study.{where}`: {spec.kind} needs {lacking}")
        for item in self.hypotheses:
            unit = metric_of(item.metric or self.metric).unit
            if item.margin is not None and item.margin >= 1 and unit == "fraction":
                raise ValueError(f"`margin` is a fraction, 0.01 for one percentage point, but got {item.margin}")
        regrets = [("study.stop.regret", self.stop.regret)] if self.stop else []
        regrets += [("study.pruner.regret", rule.regret) for rule in self.pruner if isinstance(rule, RaceConfig)]
        for name, regret in regrets:
            if regret >= 1 and metric_of(self.metric).unit == "fraction":
                raise ValueError(f"`{name}` is a fraction, 0.01 for one percentage point, but got {regret:g}")
        if self.stop and (self.is_listed or self.pruner):
            why = (
                f"{self.method} runs what its space lists" if self.is_listed else "a pruner compares all trials at once"
            )
            raise ValueError(f"`study.stop` ends a random or bayes search that has no `study.pruner`, but {why}")
        if self.aims and (self.pruner or self.stop):
            option = "pruner" if self.pruner else "stop"
            why = "stop trials that lead in another" if self.pruner else "end a search that gains in another"
            raise ValueError(
                f"`study.{option}` must be left out with several aims, but got {', '.join((self.metric, *self.aims))}: "
                f"it goes by {self.metric} alone and would {why}"
            )
        kinds = [rule.kind for rule in self.pruner]
        if "race" in kinds and self.method == "bayes":
            raise ValueError(
                "`study.pruner` of kind race compares trials that are all known from the start; it goes with grid, "
                "ablation and random, not with bayes"
            )
        for rule in self.pruner:
            if isinstance(rule, RungsConfig) and self.folds:
                raise ValueError(
                    "`study.pruner` of kind rungs does not go with study.folds, whose fits save nothing between"
                )
            if isinstance(rule, RungsConfig) and self.method == "bayes" and rule.keep is not None:
                raise ValueError(
                    "`study.pruner.keep` counts trials that are all at a rung, but bayes proposes them one by one"
                )
            if isinstance(rule, RungsConfig) and rule.seeds > len(self.seeds):
                raise ValueError(
                    f"`study.pruner.seeds` must be at most the number of `study.seeds`, {len(self.seeds)}, but got "
                    f"{rule.seeds}"
                )
        if "race" in kinds and len(self.seeds) < FEWEST_RACED:
            raise ValueError(
                f"`study.pruner` of kind race needs {FEWEST_RACED} seeds or more, since two are what it takes to "
                f"see a spread, but got {len(self.seeds)}"
            )
        shared = sorted(set(self.seeds) & set(self.confirm.seeds)) if self.confirm else []
        if shared:
            raise ValueError(
                f"`study.confirm.seeds` must be fresh, but {shared} are among `study.seeds`: what chose the best "
                "trials cannot confirm them"
            )
        return self

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Of the metric and then of each further aim."""
        return (self.direction, *map(direction_of, self.aims))

    @property
    def scores(self) -> tuple[str, ...]:
        """The metric and those of the further aims that are scores on val."""
        return (self.metric, *(aim for aim in self.aims if aim in SCORES))

    @property
    def is_listed(self) -> bool:
        """Whether the space itself lists all trials, and no sampler proposes any."""
        return self.method in ("grid", "ablation")


def parse_storage(value: Any) -> Address | None:
    """`run.storage`: None for `studies.db` in `run.out`.

    Raises:
        ConfigError: it is no address of a PostgreSQL database.
    """
    if value is None or value == "sqlite" or isinstance(value, Address):
        return value if isinstance(value, Address) else None
    address = parse(value, "run.storage") if isinstance(value, str) else None
    if address is None or address.scheme != "postgresql":
        shown = without_secrets(str(value)) if address is None else address.shown
        raise ConfigError(
            "`run.storage` must be a PostgreSQL database such as postgresql://HOST:5432/DATABASE, or sqlite for "
            f"studies.db in run.out, but got {shown}."
        )
    if isinstance(value, str) and re.search(r"[?&](user|password)=", value):
        raise ConfigError(
            "`run.storage` must have its login before the @, postgresql://USER:PASSWORD@HOST/DATABASE, or in PGUSER "
            "and PGPASSWORD, where it is neither printed nor stored, but got it behind the question mark."
        )
    return address


class RunConfig(Options):
    """Where and how to run; nothing here changes a number."""

    reserved: ClassVar[tuple[str, ...]] = ("accept",)

    out: str = "."
    """Holds `studies.db`, `mlruns/` and `reports/`."""
    workers: int | None = Field(None, ge=1, le=MOST_THREADS)
    """Seed runs at a time. Default: one per GPU, or as many as the cores have room for `threads`. Of a cluster, workers
    that have no room wait until it has grown."""
    threads: int | None = Field(None, ge=1, le=MOST_THREADS)
    """CPU threads of each fit; fixed when the study is created (1 unless given), since it decides the last bits."""
    device: str = "auto"
    """auto takes a GPU where there is one; else cpu, cuda or cuda:1."""
    tracking_uri: Address | None = None
    """An MLflow server or database; default: `mlruns/mlflow.db` under `out`."""
    dry_run: bool = False
    """Shows the trials and what is done; runs nothing."""
    cache: str | None = None
    """What studies share: decoded images, features and pretrained weights. Default: the user's cache folder."""
    executor: str = "local"
    """Where seed runs are done: `local` is this machine; so is `ray`, or with `address` a cluster."""
    address: str | None = None
    """Of the Ray cluster that this machine is one of: auto, or HOST:PORT."""
    storage: Address | None = None
    """A PostgreSQL database in place of `studies.db`: postgresql://USER@HOST:5432/DATABASE, which holds nothing else. A
    password may be in it, or in PGPASSWORD or ~/.pgpass, and is never stored or printed. Default: sqlite."""
    reuse: Literal["auto", "off"] = "auto"
    """auto computes what cannot change once for all seed runs, where that pays; off never. The results are the same."""
    cache_gb: float = Field(50.0, gt=0)
    """Room for what studies share; the least recently used images and features go first."""
    keep: Literal["all", "best", "none"] = "all"
    """Which networks outlive the study: one for each seed run, that of the best trial in `mlruns/best`, or none.
    Predictions on val and test are always kept."""
    max_hours: float | None = Field(None, gt=0)
    """Stops after so many hours, with status 3; the same command goes on from there, as after Ctrl-C."""
    max_trials: int | None = Field(None, ge=1)
    """Works on so many trials, those first that come first, and stops with status 3 if the study has more to do."""
    max_disk_gb: float | None = Field(None, gt=0)
    """Stops with status 3 once the ledger, networks and predictions of the study take so much."""

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda|cuda:[0-9]{1,4}", value):
            raise ValueError("must be auto, cpu, cuda or cuda:1 (any number)")
        return value

    @field_validator("address")
    @classmethod
    def _cluster(cls, value: str | None) -> str | None:
        if value is not None and value != "auto":
            host, _, port = value.rpartition(":")
            if not re.fullmatch(r"[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
                raise ValueError("must be auto or HOST:PORT, such as 10.0.0.5:6379")
        return value

    @field_validator("tracking_uri", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("`run.tracking_uri` must be an address such as http://127.0.0.1:5000")
        return None if value is None else parse(value, "run.tracking_uri")

    @field_validator("storage", mode="before")
    @classmethod
    def _storage(cls, value: Any) -> Any:
        return parse_storage(value)

    @model_validator(mode="after")
    def _where(self) -> "RunConfig":
        if self.address is not None and self.executor != "ray":
            raise ValueError(
                f"`run.address` belongs to `run.executor=ray`, but the executor is {self.executor}; give both or none"
            )
        if self.executor == "ray" and ":" in self.device:
            raise ValueError(
                f"`run.device` must be auto, cpu or cuda with `run.executor=ray`, which gives out GPUs itself, but got "
                f"{self.device}"
            )
        return self


class PretrainConfig(Options):
    """Starting weights that a study makes for itself, once; named by `trial.weights`."""

    trial: dict[str, Any]
    """As a trial; the backbone defaults to that of the trial which uses it."""
    data: DataConfig
    seed: int = Field(0, ge=0)

    @field_validator("data")
    @classmethod
    def _alone(cls, value: DataConfig) -> DataConfig:
        if value.shifted:
            raise ValueError("`shifted` belongs to the study's own data: a stage is scored on nothing else")
        if value.synthetic:
            raise ValueError("`synthetic` belongs to the study's own data: a stage learns from real images alone")
        return value


@dataclass(frozen=True, kw_only=True)
class MembersConfig:
    """That the seeds of a study are members of an ensemble, each with training images drawn for it."""

    method: str
    draws: Mapping[int, Path]
    """The file of each seed's draws; see `resnet_tl.data.draws`."""


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
    members: MembersConfig | None = None
    """None for what a person asks for: every seed trains on all training images."""
    notes: tuple[str, ...] = ()
    """How the request was read where that is not plain: a file of another program."""

    @property
    def keep(self) -> Literal["all", "best", "none"]:
        """Which networks outlive the study: those that `run.keep` says, or none where a seed run has one a fold."""
        return "none" if self.study.folds else self.run.keep

    def points(self) -> Iterator[Params]:
        """The trials of a study that lists them."""
        return self.space.grid() if self.study.method == "grid" else self.space.one_at_a_time()

    def trial(self, params: Mapping[str, Any]) -> TrialConfig:
        """The full configuration at a point of the space.

        Raises:
            ConfigError: it is not valid.
        """
        values = self.space.apply(params, self.base)
        values.setdefault("monitor", self.study.metric)
        if not self.space.varies_images:
            return validate(TrialConfig, values, "trial")
        trial = validate(StudyTrial, shown(self.data) | values, "trial")
        data_of(trial, self.data)
        return trial

    def probes(self) -> list[TrialConfig]:
        """Configurations that show every value of the space and both ends of every range, where they are valid.

        Only points of a space that is sampled may break a rule between parameters; what is proposed then is skipped.
        """
        found = [trial for params in self.space.probes() if (trial := self.valid(params))]
        return found or [trial for params in self.space.draws(NUM_DRAWS) if (trial := self.valid(params))][:1]

    def valid(self, params: Mapping[str, Any]) -> TrialConfig | None:
        """The full configuration at a point of the space; None where the point breaks a rule between parameters."""
        try:
            return self.trial(params)
        except ConfigError:
            return None

    def broken(self) -> tuple[float, str]:
        """Share of the space's points that break a rule between parameters, and the rule that the first one breaks."""
        problems = []
        for params in self.space.draws(NUM_DRAWS):
            try:
                self.trial(params)
            except ConfigError as error:
                problems.append(error.problems[0])
        return len(problems) / NUM_DRAWS, problems[0] if problems else ""

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
