"""Whether a composed configuration is a valid request: every problem at once."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from resnet_tl.config import DataConfig, TrialConfig, check_together
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import OPTIONS as HEAD_OPTIONS
from resnet_tl.head_spec import idle_head_options, options_of
from resnet_tl.option_text import brief, few, nearest, problems_of, validate
from sweeps.definition.config import NUM_DRAWS, Definition, PretrainConfig, RunConfig, StudyConfig
from sweeps.definition.hypotheses import canonical, same
from sweeps.definition.names import hint
from sweeps.definition.space import Space
from sweeps.study_trial import StudyTrial, data_of, in_space, shown

TOP_LEVEL = ("study", "trial", "data", "run", "pretrain")


def build(raw: Mapping[str, Any], *, narrowed: bool = False) -> Definition:
    """Checks a composed configuration.

    Args:
        narrowed: the command line has another space than the file, so that some hypotheses may find nothing to compare.

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
        if isinstance(content, dict):
            wanted.append((f"pretrain.{stage}", PretrainConfig, content))
        else:
            problems.append(f"`pretrain.{stage}` must be a mapping with `trial` and `data`, but got {brief(content)}.")
    for where, model, values in wanted:
        try:
            parts[where] = validate(model, values, where)
        except ConfigError as error:
            problems += error.problems
    base = raw.get("trial") or {}
    unknown = [key for key in base if key not in TrialConfig.model_fields]
    problems += [f"`trial.{key}` is not an option; {hint(key, TrialConfig.model_fields)}" for key in unknown]
    base = {key: value for key, value in base.items() if key not in unknown}
    try:
        space = Space.parse((raw.get("study") or {}).get("space") or {}, base)
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    method = (raw.get("study") or {}).get("method")
    try:
        if method == "grid":
            space.require_grid()
        if method == "ablation":
            space.require_unconditional()
            space.require_finite()
        data = parts.get("data")
        if data is not None and "size" in space.names and data.size is None:
            # the images are cut into splits once, at their first size
            sizes = [
                size for params in space.probes() if isinstance(size := space.apply(params, base).get("size"), int)
            ]
            data = parts["data"] = data.model_copy(update={"size": next(iter(sizes), None)})
        if data is not None or not space.varies_images:
            _check_points(space, base, data, sampled=method in ("random", "bayes"))
    except ConfigError as error:
        problems += error.problems
    study = parts.get("study")
    for rule in study.pruner if study is not None and study.method == "bayes" else ():
        searched = [name for name in ("epochs", "head_epochs") if name in space.names]
        if rule.kind == "rungs" and searched and rule.min_epochs is None and rule.epochs is None:
            problems.append(
                f"`study.pruner.min_epochs` must be given where bayes searches `{searched[0]}`, since it is not known "
                "from the start which training is the longest."
            )
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
    _check_whole(definition, narrowed)
    return definition


def _check_points(space: Space, base: dict[str, Any], data: DataConfig | None, *, sampled: bool) -> None:
    """Every point (for large spaces: points that show every value and both ends) must be a valid trial.

    Args:
        sampled: points are proposed, and those that break a rule between parameters skipped; so only values that are
            wrong by themselves are problems, or a space without any valid point.
    """
    wrong: dict[str, None] = {}
    broken: dict[str, None] = {}
    any_valid = False
    for params in space.probes():
        try:
            _trial(space, params, base, data)
            any_valid = True
        except ValidationError as error:
            between = all(not detail["loc"] for detail in error.errors())
            (broken if between else wrong).update(dict.fromkeys(in_space(problems_of(error, "trial", StudyTrial))))
        except ConfigError as error:
            broken.update(dict.fromkeys(error.problems))
    if wrong or (broken and not sampled):
        raise ConfigError(*wrong, *broken)
    if broken and not any_valid and not any(_is_valid(space, params, base, data) for params in space.draws(NUM_DRAWS)):
        raise ConfigError("`study.space` must hold points that are valid trials, but none was found.", *broken)


def _is_valid(space: Space, params: Mapping[str, Any], base: dict[str, Any], data: DataConfig | None) -> bool:
    try:
        _trial(space, params, base, data)
    except (ValidationError, ConfigError):
        return False
    return True


def _trial(space: Space, params: Mapping[str, Any], base: dict[str, Any], data: DataConfig | None) -> None:
    values = space.apply(params, base)
    if not space.varies_images:
        TrialConfig.model_validate(values)
    elif data is not None:
        data_of(StudyTrial.model_validate(shown(data) | values), data)


def _check_whole(definition: Definition, narrowed: bool) -> None:
    problems: list[str] = []
    trials = definition.probes()
    for trial in trials:
        try:
            check_together(trial, data_of(trial, definition.data))
            if trial.weights in definition.pretrain:
                definition.stage_trial(trial.weights, trial.backbone)
        except ConfigError as error:
            problems += error.problems
    if not definition.pretrain and any(spec.kind == "pretrain" for spec in definition.study.tables):
        problems.append("`study.tables`: pretrain needs stages under `pretrain:` that trials start from.")
    problems += _idle_options(definition, trials)
    problems += _idle_fractions(definition)
    if not narrowed:
        problems += _unknown_values(definition)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def _idle_options(definition: Definition, trials: list[TrialConfig]) -> list[str]:
    """An option of heads that is given must have an effect on some head of the study."""
    space = definition.space
    written = {name for name, value in definition.base.items() if value not in (None, "none", "off")}
    given = {*written, *(dimension.name for dimension in space.dimensions)}
    given |= {other for dimension in space.dimensions for _, others in dimension.sets for other in others}
    idle = [option for option in HEAD_OPTIONS if option in given]
    idle = [option for option in idle if not any(option in options_of(trial.head) for trial in trials)]
    return idle_head_options(trials[0], idle)


def _idle_fractions(definition: Definition) -> list[str]:
    """Folds leave no share of the images to be given."""
    folds, fields = definition.study.folds, DataConfig.model_fields
    given = {name: getattr(definition.data, name) for name in ("val_fraction", "test_fraction")}
    return [
        f"`data.{name}` must not be given with `study.folds`, which make val and test of a fold each, but got {share}; "
        f"leave it out, or give its default: data.{name}={fields[name].default}."
        for name, share in given.items()
        if folds and share != fields[name].default
    ]


def _unknown_values(definition: Definition) -> list[str]:
    """A hypothesis must speak of values that the study runs."""
    if not definition.study.is_listed:
        return []
    trials = [definition.trial(params) for params in definition.points()]
    problems = []
    for item in definition.study.hypotheses:
        named = [(item.parameter, value) for value in item.values] + list(item.where.items())
        for parameter, value in named:
            there = dict.fromkeys(str(canonical(getattr(trial, parameter))) for trial in trials)
            if not any(same(getattr(trial, parameter), value) for trial in trials):
                problems.append(
                    f"`study.hypotheses`: {parameter} is never {canonical(value)} in this study; it takes {few(there)}."
                )
    return problems
