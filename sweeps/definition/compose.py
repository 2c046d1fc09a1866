"""From words on the command line and YAML files to a `Definition`.

Hydra composes (groups, overrides); study files are read by our own strict reader, whether they are ours or the
user's, since Hydra has no notion of a path there and accepts `off` as False.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_tl.config import LITERAL_OPTIONS, DataConfig, Options, TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import CONTROL, NOT_BUILT, brief, expand, load_yaml_file, nearest, require_modest
from sweeps.definition import wandb_sweep
from sweeps.definition.check import TOP_LEVEL, build
from sweeps.definition.config import Definition, RunConfig, StudyConfig
from sweeps.definition.names import ABSENT, hint, meant

CONF = Path(__file__).resolve().parent.parent / "conf"
DEFAULT_STUDY = "quickstart"
MOST_PROBLEMS = 50
"""That are told at once; a list of a thousand wrong values has a thousand."""

LITERAL = (*LITERAL_OPTIONS, "run.out", "run.cache", "run.tracking_uri", "run.storage")
"""Options taken letter by letter, whatever characters they hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A study that comes with the project."""

    name: str
    question: str
    path: Path


def shipped() -> list[Listed]:
    """The studies under `conf/study`."""
    return [
        Listed(
            name=path.stem,
            question=str((load_yaml_file(path).get("study") or {}).get("question", "")),
            path=path,
        )
        for path in sorted((CONF / "study").glob("*.yaml"))
    ]


def compose(words: Sequence[str]) -> Definition:
    """Builds the request that a command line makes.

    Args:
        words: `study=…`, `data=…` and overrides such as `trial.lr=1e-4`.

    Raises:
        ConfigError: every problem that can be seen at once.
    """
    problems: list[str] = []
    study_word, data_word, literal, overrides = _sort_words(words, problems)
    parsed = _parse_overrides(overrides, problems)
    keys = {key for key, _ in parsed} | set(literal)
    if study_word is None and (data_word or {"data.root", "data.source"} & keys):
        problems.append(f"`study=` must be given with data of your own; {DEFAULT_STUDY} is about its own images.")
    sweep: wandb_sweep.Translated | None = None
    lacks: dict[str, str] = {}
    try:
        path = _study_file(study_word if study_word is not None else DEFAULT_STUDY)
        raw = load_yaml_file(path)
        if wandb_sweep.is_wandb_sweep(raw):
            sweep = wandb_sweep.translate(raw, path)
            raw = sweep.raw
        _refuse_interpolation(raw, "")
    except ConfigError as error:
        raise ConfigError(*problems, *error.problems) from None
    try:
        _require_mappings(raw)
        if "study.space" in keys:
            raw["study"] = (raw.get("study") or {}) | {"space": {}}  # replaced, where Hydra would merge
        if "study.pruner" in keys:
            raw["study"] = {name: value for name, value in (raw.get("study") or {}).items() if name != "pruner"}
        raw = _merge(raw, data_word, [text for _, text in parsed])
        _refuse_interpolation(raw, "")
        _require_mappings(raw)
        space = raw["study"].get("space")
        if isinstance(space, dict) and set(space) == {"parameters"}:  # a block of W&B, pasted with its heading
            raw["study"]["space"] = space["parameters"]
        for key, value in literal.items():
            group, name = key.split(".")
            raw[group][name] = value
        _pin(raw, keys)
        if sweep is not None:
            lacks = wandb_sweep.lacking(sweep, raw)
            problems += [sweep.note(path.name), wandb_sweep.missing(lacks)] if lacks else []
        narrowed = any(key.startswith(("study.space", "study.method", "trial.")) for key in keys)
        definition = build(raw, narrowed=narrowed)
    except ConfigError as error:
        # what a sweep lacks is said once
        rest = [
            text for text in error.problems if not text.startswith(tuple(f"`{name}` must be given" for name in lacks))
        ]
        every = list(dict.fromkeys((*problems, *rest)))
        more = [f"… and {len(every) - MOST_PROBLEMS} more problems."] if len(every) > MOST_PROBLEMS else []
        raise ConfigError(*every[:MOST_PROBLEMS], *more) from None
    if problems:
        raise ConfigError(*problems)
    return replace(definition, notes=() if sweep is None else (sweep.note(path.name),))


def _require_mappings(raw: dict[str, Any]) -> None:
    """Makes a mapping of a group that is left empty, and refuses anything else that is none."""
    wrong = []
    for group in TOP_LEVEL:
        if raw.get(group) is None:
            raw[group] = {}
        elif not isinstance(raw[group], dict):
            wrong.append(f"`{group}` must be a mapping, but got {brief(raw[group])}.")
    if wrong:
        raise ConfigError(*wrong)


def _sort_words(words: Sequence[str], problems: list[str]) -> tuple[str | None, str | None, dict[str, str], list[str]]:
    study = data = None
    literal: dict[str, str] = {}
    overrides = []
    seen: set[str] = set()
    for word in words:
        key, equals, value = word.partition("=")
        bare = key.lstrip("+")
        if CONTROL.search(word):
            problems.append(f"`{ascii(word)[1:-1]}` must be printable text in UTF-8.")
            continue
        if bare in seen:
            problems.append(f"`{bare}` is given twice.")
        seen.add(bare)
        if not equals and not word.startswith("~"):
            problems.append(f"`{word}` must have the form key=value; `--help` explains.")
        elif bare == "study":
            study = value
        elif bare == "data":
            data = value
        elif bare in LITERAL:
            literal[bare] = value
        else:
            overrides.append(word)
    if data is not None:
        choices = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
        if data not in choices:
            problems.append(
                f"`data=` must name one of {', '.join(choices)}, but got {data!r}; {nearest(data, choices)}"
            )
            data = None
    return study, data, literal, overrides


def _study_file(name: str) -> Path:
    shipped_path = CONF / "study" / f"{name}.yaml"
    if re.fullmatch(r"[\w\-]+", name) and shipped_path.exists():
        return shipped_path
    path = expand(name, "study")
    if path.is_file():
        return path
    names = [study.name for study in shipped()]
    raise ConfigError(
        f"`study=` must name a study or a YAML file that exists, but got {name!r}; {nearest(name, names)} "
        "(`--list` shows all)"
    )


def _parse_overrides(overrides: Iterable[str], problems: list[str]) -> list[tuple[str, str]]:
    """(key, text for Hydra) of each override; what is wrong is added to `problems`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    found = []
    for word in overrides:
        try:
            override = parser.parse_override(word)
            value = override.value()
            require_modest(_bare(value), f"`{word[:40]}`")
        except HydraException:
            problems.append(
                f"`{word[:200]}` cannot be read: brackets and quotes must close, and a value with special characters "
                "stands in quotes, key='\"a,b\"'."
            )
            continue
        except ConfigError as error:
            problems += error.problems
            continue
        except (RecursionError, ValueError):  # nested too deep, or thousands of digits
            problems.append(f"`{word[:40]}…` cannot be read: it is nested too deep, or has too many digits.")
            continue
        key = str(override.key_or_group)
        problem = _unknown(key)
        if problem:
            problems.append(problem)
        elif override.is_sweep_override():
            problems.append(
                f"`{word}` gives several values; a list is written {key}=[a,b], and values to try belong into "
                f"study.space: 'study.space={{{key.rpartition('.')[2]}: {{values: [a, b]}}}}'."
            )
        elif isinstance(value, float) and value != value:
            problems.append(f"`{key}` must be a finite number, but got nan.")
        else:
            # add or replace: what may stand there is decided by our own models, not by what a file happened to hold
            found.append((key, word if override.is_delete() else "++" + word.lstrip("+")))
    return found


def _bare(value: Any) -> Any:
    """A value of Hydra's parser without the quotes that it remembers; other things, such as sweeps, as their text."""
    if isinstance(value, dict):
        return {str(key): _bare(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value if isinstance(value, int | float | None) else str(getattr(value, "text", value))


def _unknown(key: str) -> str | None:
    group, _, rest = key.partition(".")
    name = rest.split(".")[0]
    models: dict[str, type[Options]] = {
        "study": StudyConfig,
        "trial": TrialConfig,
        "data": DataConfig,
        "run": RunConfig,
    }
    if group in models and name in models[group].reserved:
        return f"`{key}` {NOT_BUILT}."
    if group not in TOP_LEVEL:
        everything = list(TOP_LEVEL) + [f"{g}.{n}" for g, model in models.items() for n in model.model_fields]
        close = [f"{g}.{group}" for g, model in models.items() if group in model.model_fields]
        option = close[0] if close else meant(key) if group not in ABSENT else None
        said = f"did you mean `{option}`?" if option else ABSENT.get(group) or nearest(key, everything)
        return f"`{key}` is not an option; {said}"
    if group in models and name and name not in models[group].model_fields:
        return f"`{key}` is not an option; {hint(name, models[group].model_fields, group=group)}"
    return None


def _merge(raw: dict[str, Any], data: str | None, overrides: list[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        node = OmegaConf.create(raw)
        ConfigStore.instance().store(group="study", name="chosen", node=node, package="_global_")
        with suppress(ValueError):
            GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            chosen = ["study=chosen"] + ([f"data={data}"] if data else [])
            config = hydra_compose("config", overrides=chosen + overrides)
        container = OmegaConf.to_container(config, resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"The options cannot be combined: {str(error).splitlines()[0]}") from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _refuse_interpolation(value: Any, where: str) -> None:
    """`${…}` would be stored in the ledger, secrets of the environment included."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_interpolation(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for item in value:
            _refuse_interpolation(item, where)
    elif isinstance(value, str) and "${" in value:
        raise ConfigError(f"`{where}` must be a plain value; `{value}` (an interpolation) is not supported.")


def _pin(raw: dict[str, Any], keys: set[str]) -> None:
    """A `trial.x` given on the command line wins over the file: over a searched `x`, and over values that set it."""
    space = (raw.get("study") or {}).get("space")
    if not isinstance(space, dict):
        return
    for key in keys:
        group, _, name = key.partition(".")
        if group != "trial" or "study.space" in keys or name not in raw["trial"]:  # `~trial.x` gives nothing
            continue
        for content in space.values():
            for alternative in content if isinstance(content, list) else [content]:
                if isinstance(alternative, dict) and isinstance(alternative.get("set"), dict):
                    for others in alternative["set"].values():
                        if isinstance(others, dict):
                            others.pop(name, None)
        if name in space:
            value = raw["trial"].pop(name)
            content = space[name]
            kept = [_pinned(a, value) for a in (content if isinstance(content, list) else [content])]
            space[name] = kept if isinstance(content, list) else kept[0]


def _pinned(alternative: Any, value: Any) -> Any:
    if not isinstance(alternative, dict):
        return alternative
    pinned: dict[str, Any] = {"value": value}
    if "when" in alternative:
        pinned["when"] = alternative["when"]
    given = alternative.get("set")
    if not isinstance(given, dict):  # which is refused where the space is read
        return pinned | ({} if given is None else {"set": given})
    sets = {k: v for k, v in given.items() if k == value}
    return pinned | ({"set": sets} if sets else {})
