"""A W&B sweep file read as a study: what has a meaning here is translated, and the rest is said.

method: bayes
metric: {name: val_acc, goal: maximize}
parameters:
  learning-rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  arch: {values: [resnet18, resnet50]}
run_cap: 20
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import HEADS, options_of
from resnet_tl.head_spec import OPTIONS as HEAD_OPTIONS
from resnet_tl.option_text import brief, few, nearest
from sweeps.definition.dimension import parse_dimension
from sweeps.definition.names import ABSENT, last_part, meant, plain
from sweeps.definition.wandb_metric import meant_metric
from sweeps.definition.wandb_values import WORDS, counted_layers, is_number
from sweeps.study_trial import INTEGERS

GROUPS = ("study", "trial", "data", "run", "pretrain")
"""Ours, which may stand in the same file and win."""
READ = ("method", "metric", "parameters", "run_cap", "name", "description", "early_terminate")
LEFT_OUT = (
    "program", "command", "entity", "project", "controller", "settings", "job", "image_uri", "queue", "scheduler",
    "launch", "resource", "parallelism", "version", "apiVersion", "api_version", "kind", "prior_runs", "template",
)  # fmt: skip
"""What says where and by which program W&B runs things."""


REQUIRED = tuple(
    f"{group}.{name}"
    for group, model in (("trial", TrialConfig), ("data", DataConfig))
    for name, option in model.model_fields.items()
    if option.is_required()
)
"""What a study cannot do without."""
EXAMPLES = {
    "study.method": "grid", "study.seeds": "[0,1,2]", "study.trials": "20", "study.metric": "val/accuracy",
    "trial.backbone": "resnet18",
    "trial.optimizer": "sgd", "trial.lr": "1e-3", "trial.epochs": "10", "trial.batch_size": "32",
    "data.source": "image_folder data.root=FOLDER", "data.size": "224", "trial.head": "mlp",
}  # fmt: skip


def is_wandb_sweep(raw: Mapping[str, Any]) -> bool:
    """Whether a file is one of W&B: `parameters` at the top, which no file of ours has."""
    return "parameters" in raw or ("method" in raw and "study" not in raw)


@dataclass(kw_only=True, slots=True)
class Translated:
    """A W&B sweep file in our words."""

    raw: dict[str, Any]
    """As a file of ours would hold it."""
    renamed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    needs: dict[str, str] = field(default_factory=dict)
    """Options that only the user can decide, with why the file does not decide them."""
    run_cap: Any = None

    def note(self, name: str) -> str:
        """How the file was read, in one paragraph."""
        parts = [f"{name} is read as a W&B sweep."]
        if self.renamed:
            parts.append(f"It means: {'; '.join(self.renamed)}.")
        if self.dropped:
            parts.append(f"Left out: {'; '.join(self.dropped)}.")
        return " ".join(parts)


def translate(raw: Mapping[str, Any], path: Path) -> Translated:
    """Reads a W&B sweep file.

    Args:
        path: of the file, whose name the study takes if the sweep has none.

    Raises:
        ConfigError: what stands in it is no sweep; every problem at once.
    """
    known = (*READ, *LEFT_OUT, *GROUPS)
    problems = [
        f"{path.name}: `{key}` is no option of a W&B sweep; {nearest(str(key), known)}"
        for key in raw
        if key not in known
    ]
    problems += [
        f"{path.name}: `{key}` must be a mapping, but got {brief(raw[key])}."
        for key in (*GROUPS, "parameters")
        if raw.get(key) is not None and not isinstance(raw[key], dict)
    ]
    space = raw["study"].get("space") if isinstance(raw.get("study"), dict) else None
    if space is not None and not isinstance(space, dict):
        problems.append(f"{path.name}: `study.space` must map parameters to values, but got {brief(space)}.")
    if problems:
        raise ConfigError(*problems)
    groups = {key: dict(raw.get(key) or {}) for key in GROUPS if key in raw or key in GROUPS[:3]}
    found = Translated(raw=groups, run_cap=raw.get("run_cap"))
    own = {f"{group}.{name}" for group in GROUPS for name in found.raw.get(group, {})}
    study: dict[str, Any] = {"space": {}}
    if isinstance(raw.get("method"), str):
        study["method"] = raw["method"]
    else:
        found.needs["study.method"] = f"`method` must be grid, random or bayes, but got {brief(raw.get('method'))}"
    _parameters(raw.get("parameters") or {}, found, study, own, problems)
    _metric(raw.get("metric"), found, study, own)
    study["name"] = re.sub(r"[^A-Za-z0-9_.\-]+", "_", str(raw.get("name") or path.stem)).strip("_.-")[:100] or "sweep"
    described = raw.get("description")
    searched = ", ".join(study["space"]) or "settings"
    study["question"] = described if isinstance(described, str) else f"Which {searched} does the sweep find best?"
    for key in (key for key in LEFT_OUT if key in raw):
        found.dropped.append(f"`{key}`{_arguments(raw[key]) if key == 'command' else ''}")
    if raw.get("early_terminate") is not None:
        _early(raw["early_terminate"], study, found, problems)
    found.raw["study"] = study | found.raw["study"] | {"space": study["space"] | (space or {})}
    if problems:
        raise ConfigError(*problems)
    return found


def _early(given: Any, study: dict[str, Any], found: Translated, problems: list[str]) -> None:
    """Hyperband's brackets are rungs: a run that is not among the best 1/eta at one goes no further."""
    given = given if isinstance(given, dict) else {}
    numbers = {name: given.get(name) for name in ("min_iter", "max_iter", "s", "eta")}
    known = {name: value for name, value in numbers.items() if isinstance(value, int) and value >= 1}
    eta = known.get("eta", 3)
    why = ""
    if given.get("type") != "hyperband" or set(given) - {*numbers, "type", "strict"}:
        why = "it knows `type: hyperband` with min_iter, or max_iter and s, and eta"
    elif eta < 2 or any(value is not None and name not in known for name, value in numbers.items()):
        why = "its numbers must be whole and 1 or more, eta 2 or more"
    elif "min_iter" in known:
        study["pruner"] = {"kind": "rungs", "min_epochs": known["min_iter"], "eta": eta}
    elif "max_iter" in known and "s" in known:
        epochs = sorted({known["max_iter"] // eta**power for power in range(1, known["s"] + 1)} - {0})
        study["pruner"] = {"kind": "rungs", "epochs": epochs, "eta": eta}
    else:
        why = "it needs min_iter, or max_iter and s"
    if why:
        problems.append(
            f"`early_terminate` cannot be read, since {why}, but got {brief(given)}; mend it or take it out."
        )
    else:
        found.renamed.append("early_terminate is study.pruner, in epochs")


def _arguments(command: Any) -> str:
    """The arguments that a sweep's command gives to all runs, which are options that somebody chose."""
    words = [str(word) for word in command if not str(word).startswith("${")] if isinstance(command, list) else []
    given = [word for word in words if word not in ("python", "python3", "-m", "/usr/bin/env")]
    return f" (with {brief(' '.join(given))}, which is not read)" if given else ""


# -- what is optimised, and how much is tried ------------------------------------------------------------------------


def _metric(written: Any, found: Translated, study: dict[str, Any], own: set[str]) -> None:
    """`metric: {name: val_acc, goal: maximize}`; a metric that the study states itself wins."""
    if "study.metric" in own or written is None:
        return
    metric = written if isinstance(written, dict) else {"name": written}
    try:
        study["metric"], said = meant_metric(str(metric.get("name", "")), metric.get("goal"))
    except ValueError as error:
        found.needs["study.metric"] = str(error)
        return
    found.renamed.append(said)
    if "target" in metric:
        found.dropped.append(f"`metric.target: {brief(metric['target'])}`, since every trial is run")


def _length(found: Translated, study: dict[str, Any]) -> None:
    """`run_cap` is the number of trials of what is sampled; a grid is run whole."""
    if study.get("method") in ("random", "bayes"):
        if "trials" not in study and found.run_cap is not None:
            study["trials"] = found.run_cap
            found.renamed.append(f"run_cap is study.trials {brief(found.run_cap)}")
        elif "trials" not in study:
            found.needs["study.trials"] = "the sweep has no `run_cap`"
    elif "method" in study and found.run_cap is not None:
        found.dropped.append(f"`run_cap: {brief(found.run_cap)}`, since a grid is run whole")


# -- parameters ------------------------------------------------------------------------------------------------------


def _flat(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by dotted name, nested ones too."""
    for name, content in parameters.items():
        full = f"{above}.{name}" if above else str(name)
        if isinstance(content, dict) and isinstance(content.get("parameters"), dict):
            yield from _flat(content["parameters"], full)
        else:
            yield full, content


def _parameters(
    written: Mapping[str, Any], found: Translated, study: dict[str, Any], own: set[str], problems: list[str]
) -> None:
    by_option: dict[str, str] = {}
    exact = {
        option for name, _ in _flat(written) if (option := meant(name)) and plain(name) == option.partition(".")[2]
    }
    for name, content in _flat(written):
        where = f"`parameters.{name}`"
        option = meant(name)
        if option is None or last_part(name) in ABSENT:
            why = ABSENT.get(last_part(name), "").split(":")[0].split(";")[0]
            found.dropped.append(f"`{name}`{_held(content)}" + (f" ({why})" if why else ""))
            continue
        if not isinstance(content, dict) and not isinstance(content, list):
            content = {"value": content}  # a value that stands bare
        if option in exact and plain(name) != option.partition(".")[2]:
            found.dropped.append(f"`{name}`{_held(content)}, since `{option.partition('.')[2]}` is there")
            continue
        if option in by_option:
            problems.append(f"{where} and `parameters.{by_option[option]}` both mean `{option}`; keep one of them.")
            continue
        by_option[option] = name
        if option in own or option.removeprefix("trial.") in (found.raw["study"].get("space") or {}):
            found.dropped.append(f"`{name}`, since `{option}` is given")
            continue
        if not isinstance(content, dict):
            problems.append(f"{where} must be a mapping such as {{values: [1, 2]}}, but got {brief(content)}.")
            continue
        said = _place(option, name, content, found, study, problems)
        if said and plain(name) != option.rpartition(".")[2]:
            found.renamed.append(f"{name} is {option}")


def _held(content: Any) -> str:
    """What a parameter without a meaning holds, where that is one value or a few."""
    if not isinstance(content, dict):
        return ""
    values = content.get("values", [content["value"]] if "value" in content else None)
    return f" ({', '.join(map(str, values))[:60]})" if isinstance(values, list) and len(values) <= 5 else ""


def _place(
    option: str, name: str, content: dict[str, Any], found: Translated, study: dict[str, Any], problems: list[str]
) -> bool:
    """Puts a parameter where its option belongs; False where it had to be left out."""
    group, _, short = option.partition(".")
    values = _values(content)
    if short in ("freeze", "trainable_blocks") and (layers := counted_layers(short, name, content, values)):
        found.dropped.append(f"{few(layers)} of `{name}`, which count layers")
        values = [value for value in values or [] if not is_number(value)]
        if not values:
            return False
    if values is not None:
        values = _translated(short, name, values, found)
        if not values:
            if option in REQUIRED:
                found.needs[option] = f"no value of `{name}` is one here"
            return False
        if short in INTEGERS:  # 1e2 epochs are 100
            values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    if group == "trial":
        if values is None:
            try:
                parse_dimension(short, short, content, f"`parameters.{name}`")
            except ConfigError as error:
                problems += error.problems
                return False
            study["space"][short] = content
        elif len(values) == 1:
            found.raw["trial"].setdefault(short, values[0])
        else:
            study["space"][short] = {"values": values}
    elif option == "study.seeds" and values is not None and all(_is_seed(value) for value in values):
        study["seeds"] = values
    elif group == "data" and values is not None and len(values) == 1:
        found.raw["data"].setdefault(short, values[0])
    elif option in ("data.size", "data.crop") and values is not None:
        study["space"][short] = {"values": values}
    elif option == "data.source" or group == "run":
        found.dropped.append(f"`{name}`{_held(content)}")
        return False
    else:
        found.needs[option] = f"`{name}` cannot be searched: it is one for all trials"
        return False
    return True


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _values(content: Mapping[str, Any]) -> list[Any] | None:
    """The values of a parameter that lists them; None for a range."""
    if "value" in content:
        return [content["value"]]
    if "values" not in content or set(content) - {"values", "distribution", "probabilities"}:
        return None
    values = content["values"] if isinstance(content["values"], list) else [content["values"]]
    return list({repr(value): value for value in values}.values())


def _translated(option: str, name: str, values: list[Any], found: Translated) -> list[Any]:
    """Values in our words, without those that nothing here is like."""
    read = WORDS.get(option)
    if read is None:
        return values
    ours = [read(value) for value in values]
    lost = [str(value) for value, new in zip(values, ours, strict=True) if new is None]
    if lost:
        found.dropped.append(f"the values {few(lost)} of `{name}`, which are not here")
    return list({repr(value): value for value in ours if value is not None}.values())


def lacking(found: Translated, raw: Mapping[str, Any]) -> dict[str, str]:
    """What a sweep and the command line leave open together; takes `run_cap` over where the method has a use for it.

    Args:
        raw: the request, with the command line's options in it.

    Returns:
        Option and why it must be given.
    """
    _length(found, raw["study"])
    wanted = dict(found.needs)
    wanted["study.seeds"] = "every trial is run once with each seed of a list"
    for option in REQUIRED:
        wanted.setdefault(option, "the sweep does not say")
    space = raw["study"].get("space")
    held = {f"{group}.{name}" for group in ("study", "trial", "data") for name in raw[group]}
    held |= {f"trial.{name}" for name in space} if isinstance(space, dict) else set()
    hidden = [name for name in HEAD_OPTIONS if f"trial.{name}" in held]
    if hidden:
        heads = [head for head in HEADS if all(name in options_of(head) for name in hidden)]
        wanted["trial.head"] = f"`{'` and `'.join(hidden)}` go with {' or '.join(heads)}"
    return {option: why for option, why in wanted.items() if option not in held}


def missing(lacks: Mapping[str, str]) -> str:
    """What must be added, and how."""
    named = "; ".join(f"`{option}` ({why})" for option, why in lacks.items())
    words = " ".join(f"{option}={EXAMPLES.get(option, '…')}" for option in lacks)
    return f"It must be told: {named}. Give them on the command line, such as  {words}"
