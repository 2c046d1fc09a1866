"""Which executors there are; a new one is a module with its class, and a line here."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.errors import ConfigError
from resnet_tl.option_text import nearest
from sweeps.execution.executor import Executor, Slot

EXECUTORS = {"local": "sweeps.execution.local:LocalExecutor"}
"""By `run.executor`: the module, imported only when it is chosen, and the class in it."""


def require_executor(name: str) -> None:
    """Checks a name.

    Raises:
        ConfigError: there is no executor of that name.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"`run.executor` must name an executor, but got {name!r}; {nearest(name, EXECUTORS)}")


def make_executor(name: str, slots: Sequence[Slot], scratch: Path) -> Executor:
    """Starts an executor.

    Args:
        scratch: a folder for what it keeps while tasks run.
    """
    module, _, kind = EXECUTORS[name].partition(":")
    executor: Executor = getattr(importlib.import_module(module), kind)(slots, scratch)
    return executor
