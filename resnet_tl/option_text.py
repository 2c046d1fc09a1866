"""Text that people write into validated values: strict YAML, `key=value` words, and errors that help."""

import difflib
import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from resnet_tl.address import without_secrets
from resnet_tl.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

NOT_BUILT = "is not built yet; leave it out"

LARGEST = 2**53
"""Whole numbers up to here are exact in JSON, in databases and as floats."""
MOST_VALUES = 100_000
"""Values of a YAML text, an alias counted with all it stands for each time: nine lines of aliases can make 10^9."""
MOST_LEVELS = 50
"""Lists and mappings within each other."""
MOST_NAMES = 12
"""Names that an error message lists where none is like the one given."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""Characters that a terminal obeys, that no file name may hold, or that cannot be written as UTF-8."""


class _StrictLoader(yaml.SafeLoader):
    """YAML as people mean it: `off` is a word, `1e-3` a number, `2024-01-01` a text, a key stands once."""


_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
"""What is no text: pattern, and the characters it may begin with."""
_StrictLoader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _SCALARS.items():
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _whole(text: str) -> int:
    # Python refuses to read integers of thousands of digits
    value = int(text) if len(text) <= 20 else None
    if value is None or abs(value) > LARGEST:
        raise ValueError(f"a whole number must be at most {LARGEST}, but got one of {len(text.lstrip('+-'))} digits")
    return value


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        return _whole(str(loader.construct_scalar(node)))
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


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
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def load_yaml(text: str, where: str) -> Any:
    """Parses YAML.

    Raises:
        ConfigError: the text is no YAML, or a key stands twice; names the line. Or it holds more than anybody writes.
    """
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or error.context
        quotes = "; backslashes stand in 'single' quotes" if problem and "escape character" in problem else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}{quotes}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}.") from None
    except RecursionError:
        raise ConfigError(_too_deep(where)) from None
    except (ValueError, OverflowError, AttributeError) as error:  # what a tag says and its text is not: `!!float x`
        raise ConfigError(f"{where}: not valid YAML: {error}.") from None
    require_modest(content, where)
    return content


def _too_deep(where: str) -> str:
    return f"{where}: must hold at most {MOST_LEVELS} lists and mappings within each other, but holds more."


def require_modest(content: Any, where: str) -> None:
    """Refuses what would take all memory or the stack further on, or be no text everywhere.

    Raises:
        ConfigError: too many values or levels, control characters, or values that are no plain ones.
    """
    waiting = [(content, 1)]
    count = 0
    while waiting:
        value, level = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise ConfigError(
                f"{where}: must hold at most {MOST_VALUES:,} values, but holds more (an alias such as `*name` counts "
                "with all it stands for)."
            )
        if level > MOST_LEVELS:
            raise ConfigError(_too_deep(where))
        if isinstance(value, dict):
            waiting += [(part, level + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, level + 1) for part in value]
        elif isinstance(value, str):
            found = CONTROL.search(value)
            if found:
                raise ConfigError(
                    f"{where}: text must be printable characters in UTF-8, but {brief(value)} holds {found[0]!a}."
                )
        elif not isinstance(value, int | float | None):
            raise ConfigError(f"{where}: must hold plain values, but holds a {type(value).__name__}: {brief(value)}.")


def scalar(text: str) -> Any:
    """What a cell of a file holds: a number, true, false or nothing as YAML has them; any other text is itself.

    Raises:
        ValueError: a number that is not finite, or larger than can be stored.
    """
    for kind, (pattern, _) in _SCALARS.items():
        if re.fullmatch(pattern, text):
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() == "true"
            if kind == "int":
                return _whole(text)
            value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(value):
                raise ValueError("a number must be finite")
            return value
    return text


def few(values: Iterable[Any]) -> str:
    """Values in a row for an error message, which says how many more there are."""
    # secrets go first: an address that is cut short is no longer known for one
    names = [text if len(text) <= 80 else f"{text[:80]}…" for text in (without_secrets(str(value)) for value in values)]
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")


def brief(value: Any, most: int = 80) -> str:
    """A value as an error message shows it, cut where it is long."""
    text = without_secrets(repr(value))  # before it is cut: half an address is no longer known for one
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


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
    valid = sorted(map(str, valid))
    by_look = {one.lower().replace("-", "_"): one for one in reversed(valid)}
    look = name[:100].lower().replace("-", "_")
    close = difflib.get_close_matches(look, by_look, n=most, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"`{by_look[c]}`" for c in close) + "?"
    return f"valid: {few(valid)}."


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
            if len(parts) == 1 and parts[0] in getattr(model, "reserved", ()):
                found[name] = f"`{name}` {NOT_BUILT}."
            else:
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
                found.setdefault(message, message if message.endswith((".", "?", "!", ":")) else f"{message}.")
                continue
            if kind in ("tuple_type", "list_type"):
                message = "must be a list such as [0, 1, 2]"
            elif kind == "too_short":
                message = "must list at least one, such as [0, 1, 2]"
            elif kind == "string_type":
                message = "must be a word"
            elif kind in ("dict_type", "model_type", "model_attributes_type"):
                message = "must be a mapping, `{name: value}`"
            # what pydantic tried, behind the comma, is no news to the user
            message = message.split(", unable to parse")[0]
            # some rules say themselves what was got
            text = message if "must not be" in message or NOT_BUILT in message else f"{message}, but got {brief(value)}"
            if kind == "literal_error" and isinstance(value, str):
                text += _hint(value, str(detail.get("ctx", {}).get("expected", "")))
            text = text[0].lower() + text[1:]
            line = f"`{name}` {text}" if name else text
            found.setdefault(name, line)
    return list(found.values())


def _hint(value: str, expected: str) -> str:
    """The end of a message about a text that is none of the choices, which pydantic lists with quotes around words."""
    words = re.findall(r"'([^']+)'", expected)
    others = re.findall(r"\w+", re.sub(r"'[^']+'| or ", " ", expected))  # numbers, true and false
    if value in others:
        return "; write it without quotes"
    hint = nearest(value, words)
    return "" if others and not hint.startswith("did you mean") else f"; {hint}"  # the words are not all choices


def _is_nested(model: type[BaseModel], parts: list[str]) -> bool:
    """Whether an option consists of others, of which the second part is one."""
    field = model.model_fields.get(parts[0]) if len(parts) > 1 else None
    inside = get_args(field.annotation) if field else ()
    return any(isinstance(t, type) and issubclass(t, BaseModel) and parts[1] in t.model_fields for t in inside)


def in_quotes(text: str) -> str:
    """What to do about quotes that a shell did not take away, as a further sentence; empty where there are none."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`"
    return f" The quotes {text[0]} at both ends belong to the value as it is given: leave them out." if quoted else ""


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
