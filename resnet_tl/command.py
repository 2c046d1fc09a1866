"""What every command line of both packages is: words in, exit status out, `--help` before anything else.

    @command(needs_words=True, sections=_sections)
    def main(words: Sequence[str]) -> int: …

    if __name__ == "__main__":
        entry(main)

`--help` prints the module's docstring, which begins with what the command is for and examples, and then the sections.
Imports nothing that takes time, so that a command which loads its own material within `main` explains itself at once.
"""

import ast
import gc
import os
import pkgutil
import re
import runpy
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

import resnet_tl
from resnet_tl.address import without_secrets
from resnet_tl.completion import SHELLS, script
from resnet_tl.device import REPEATABLE_CUBLAS
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.option_text import nearest
from resnet_tl.parts import require_sound

COMPLETION = "completion"
"""The command that every console script has beside those of its package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a command's help, behind its examples."""

    heading: str
    text: str
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The options that it explains, each with its values where they are certain ones, for the shell to complete."""


class Command:
    """A command line that explains itself; called with words, or with those that the process was started with."""

    def __init__(
        self, run: Callable[[Sequence[str]], int], sections: Callable[[], Iterable[Section]], *, needs_words: bool
    ) -> None:
        self._run = run
        self.sections = sections
        self._needs_words = needs_words
        self.doc = str(run.__globals__["__doc__"] or "").strip()
        self.__doc__ = run.__doc__

    def __call__(self, words: Sequence[str] | None = None) -> int:
        """Runs it; returns the exit status."""
        words = sys.argv[1:] if words is None else words
        is_asked = "--help" in words or "-h" in words
        if is_asked or (self._needs_words and not words):
            print(self.help())
            return 0 if is_asked else 2
        require_sound()
        return self._run(words)

    def help(self) -> str:
        """What it is for, examples, and every option."""
        parts = [self.doc, *(f"{each.heading}\n{each.text.rstrip()}" for each in self.sections())]
        return "\n\n".join(parts)


def command(
    *, sections: Callable[[], Iterable[Section]] = tuple, needs_words: bool = False
) -> Callable[[Callable[[Sequence[str]], int]], Command]:
    """Makes a command line of a `main`.

    Args:
        sections: what its help has behind the module's docstring; made only when asked for.
        needs_words: whether it can do nothing without any: then it explains itself, with exit status 2.
    """
    return lambda run: Command(run, sections, needs_words=needs_words)


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


def dispatch(program: str, package: ModuleType) -> None:
    """The console script of a package: `program run …` is `python -m PACKAGE.run …`."""
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name in commands_of(package):
        sys.argv[1:] = rest
        # as `python -m` does it, so that processes which import the main module anew find the same one
        runpy.run_module(f"{package.__name__}.{name}", run_name="__main__", alter_sys=True)
    else:
        entry(lambda: _answer(program, package, name, rest))


def _answer(program: str, package: ModuleType, name: str, words: Sequence[str]) -> int:
    known = commands_of(package)
    if name == "--version":
        print(f"resnet-sweeps {resnet_tl.__version__}")
        return 0
    if name in ("", "-h", "--help"):
        listed = known | {COMPLETION: "Prints what makes a shell complete commands and options under the Tab key."}
        width = max(map(len, listed))
        first = "run" if "run" in known else "fit"
        print(
            f"{_first_line(package.__doc__ or '', package.__name__)}\n\n"
            f"    {program} {first} --help\n"
            f"    python -m {package.__name__}.{first} --help    (the same)\n"
            f'    eval "$({program} {COMPLETION} bash)"    (or zsh; or: {program} {COMPLETION} fish | source)\n\n'
            "Commands:"
        )
        for each, means in listed.items():
            print(textwrap.fill(means, 118, initial_indent=f"  {each:{width}}  ", subsequent_indent=" " * (width + 4)))
        return 0 if name else 2
    if name == COMPLETION:
        if len(words) != 1 or words[0] not in SHELLS:
            given = " ".join(words) or "nothing"
            raise ConfigError(f"`{program} {COMPLETION}` needs one of {', '.join(SHELLS)}, but got {given}.")
        print(script(words[0], program, {each: _options_of(package, each) for each in known}))
        return 0
    raise ConfigError(f"`{name}` is not a command of {program}; {nearest(name, [*known, COMPLETION])}")


def commands_of(package: ModuleType) -> dict[str, str]:
    """The command lines of a package, each with its first line: modules of its root that can be run. Imports none."""
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg or module.name.startswith("_"):
            continue
        spec = module.module_finder.find_spec(module.name, None)  # not imported: some take seconds
        source = spec.loader.get_source(module.name) if spec and spec.loader else None  # type: ignore[attr-defined]
        if source and '\nif __name__ == "__main__":' in source:
            doc = ast.get_docstring(ast.parse(source)) or ""
            found[module.name] = _first_line(doc, f"{package.__name__}.{module.name}")
    return found


def _first_line(doc: str, module: str) -> str:
    line = doc.strip().split("\n")[0].removeprefix(f"python -m {module}: ")
    return line[:1].upper() + line[1:]


def _options_of(package: ModuleType, name: str) -> dict[str, tuple[str, ...]]:
    """The options of a command, for the shell to complete: those of its sections, and those its docstring lists."""
    module = import_module(f"{package.__name__}.{name}")
    options = described_in(str(module.__doc__ or ""), module.__name__)
    if isinstance(module.main, Command):
        for section in module.main.sections():
            options |= section.options
    return options


def described_in(doc: str, module: str) -> dict[str, tuple[str, ...]]:
    """Options that a docstring lists, as `name=VALUE` in its examples and at the beginning of its lines."""
    found: dict[str, tuple[str, ...]] = {}
    for line in doc.splitlines():
        is_example, is_list = f"python -m {module} " in line, not line.startswith(" ")
        pattern = r"(?:^|[\s\[])" if is_example else r"(?:^|\s\s)" if is_list else r"\["
        for name, value in re.findall(pattern + r"([a-z][a-z0-9_.]*)=([^\s\]]*)", line):
            choices = tuple(value.split("|")) if "|" in value else ()
            if not name.endswith(".x"):  # stands for any name
                found[name] = choices or found.get(name, ())
    return found


def options_of(model: type[BaseModel], group: str) -> Section:
    """Each option of a model with its default, what it means, and the values it takes."""
    lines, options = [], {}
    for name, each in model.model_fields.items():
        default = (
            "required"
            if each.is_required()
            else f"default {_shown_default(each.get_default(call_default_factory=True))}"
        )
        option = f"{group}.{name}" if group else name
        lines.append(f"  {option}  ({default})")
        meaning = " ".join((each.description or "").split())
        values = [value for part in (each.annotation, *get_args(each.annotation)) for value in _literals(part)]
        options[option] = tuple(dict.fromkeys(map(str, values)))
        if values:
            meaning += f" [{' | '.join(options[option])}]"
        elif each.annotation is bool:
            options[option] = ("true", "false")
        lines += textwrap.wrap(meaning.replace("`", ""), 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return Section(heading=f"{group}.*" if group else "others", text="\n".join(lines), options=options)


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
