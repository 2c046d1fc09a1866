"""Text that people write into validated values: strict YAML, `key=value` words, and errors that help."""

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from resnet_tl.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """YAML as people mean it: `off` is a word, `1e-3` a number, `2024-01-01` a text, a key stands once."""


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    mapping: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a single value", key_node.start_mark)
        if key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key `{key}` stands twice in the same block", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def load_yaml(text: str, where: str) -> Any:
    """Parses YAML.

    Raises:
        ConfigError: the text is no YAML, or a key stands twice; names the line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}.") from None


def load_yaml_file(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds one mapping.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from None
    content = load_yaml(text, str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold a mapping (`key: value` lines), but holds {_kind(content)}.")
    return content


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"


def nearest(name: str, valid: Iterable[str], most: int = 3) -> str:
    """The valid names closest to a mistyped one, as the end of an error message."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=most, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"`{c}`" for c in close) + "?"
    return "valid: " + ", ".join(valid) + "."


def validate(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Builds a pydantic model.

    Args:
        where: the prefix under which the user knows these options, `trial` for `trial.lr`.

    Raises:
        ConfigError: every problem at once, each with its option, the rule and the value.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(*problems_of(error, where, model)) from None


def problems_of(error: ValidationError, where: str, model: type[BaseModel]) -> list[str]:
    """One sentence for each thing that pydantic found wrong."""
    found: dict[str, str] = {}
    for detail in error.errors():
        parts = [str(part) for part in detail["loc"] if not str(part).startswith(("function-", "literal", "tagged"))]
        kind, value = detail["type"], detail["input"]
        if kind == "extra_forbidden":
            name = ".".join([where, *parts]) if where else ".".join(parts)
            hint = nearest(parts[-1], model.model_fields) if len(parts) == 1 else ""
            found[name] = f"`{name}` is not an option; {hint}".rstrip("; ")
        elif kind == "missing":
            name = ".".join([where, *parts]) if where else ".".join(parts)
            found[name] = f"`{name}` must be given; it has no default."
        else:
            # for a union pydantic reports one problem per alternative under the option's own name
            own = parts[: 2 if _is_nested(model, parts) else 1]
            name = ".".join([where, *own]) if where else ".".join(own)
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
            if message.startswith("`"):  # a sentence of ours, complete
                found.setdefault(message, f"{message}.".replace("..", "."))
                continue
            if kind in ("tuple_type", "list_type"):
                message = "must be a list such as [0, 1, 2]"
            text = f"{message}, but got {value!r}" if not isinstance(value, dict) else message
            if kind == "literal_error" and isinstance(value, str):
                allowed = re.findall(r"'([^']+)'", str(detail.get("ctx", {}).get("expected", "")))
                text += f"; {nearest(value, allowed)}"
            text = text[0].lower() + text[1:]
            line = f"`{name}` {text}" if name else text
            found.setdefault(name, line)
    return list(found.values())


def _is_nested(model: type[BaseModel], parts: list[str]) -> bool:
    """Whether an option consists of others, of which the second part is one."""
    field = model.model_fields.get(parts[0]) if len(parts) > 1 else None
    inside = get_args(field.annotation) if field else ()
    return any(isinstance(t, type) and issubclass(t, BaseModel) and parts[1] in t.model_fields for t in inside)


def expand(text: str, option: str) -> Path:
    """A path as the user wrote it, `~` resolved.

    Raises:
        ConfigError: `~name` of a user that does not exist.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"`{option}` is no path here: {text}: {error}") from None


def parse_words(words: Sequence[str], literal: Iterable[str] = ()) -> dict[str, Any]:
    """Reads `key=value` words of a command line; values are YAML, so `freeze=0.8` is a number.

    Args:
        literal: keys whose value is text as it stands (paths, which may hold any character).

    Raises:
        ConfigError: a word is not of that form, or a key stands twice.
    """
    literal = set(literal)
    values: dict[str, Any] = {}
    problems = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            problems.append(f"`{word}` must have the form key=value.")
        elif key in values:
            problems.append(f"`{key}` is given twice.")
        else:
            values[key] = value if key in literal else load_yaml(value, f"`{key}`")
    if problems:
        raise ConfigError(*problems)
    return values
