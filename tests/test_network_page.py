"""The pictures of docs/network.md are what the commands above them print."""

import re
import shlex
from pathlib import Path

import pytest

import resnet_tl.describe
import sweeps.describe

PAGE = Path(__file__).resolve().parent.parent / "docs" / "network.md"
BLOCK = re.compile(r"<!-- python -m (?P<command>.*?) -->\n```(?P<form>\w+)\n(?P<shown>.*?)```", re.DOTALL)
MAIN = {"resnet_tl.describe": resnet_tl.describe.main, "sweeps.describe": sweeps.describe.main}


def _commands() -> list[tuple[str, str]]:
    return [(found["command"], found["shown"]) for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def test_the_page_has_its_pictures() -> None:
    commands = [command for command, _ in _commands()]
    assert sum(command.startswith("resnet_tl.") and "mermaid" in command for command in commands) == 1
    assert sum(command.startswith("sweeps.") and "mermaid" in command for command in commands) == 1
    assert len(commands) == PAGE.read_text(encoding="utf-8").count("\n```") / 2, "every block has its command"


@pytest.mark.parametrize(("command", "shown"), _commands(), ids=[command for command, _ in _commands()])
def test_each_block_is_what_its_command_prints(command: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command)
    assert MAIN[program](words) == 0
    assert capsys.readouterr().out == shown, f"docs/network.md is out of date: paste what `python -m {command}` prints"
