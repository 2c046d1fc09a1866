"""What can go wrong through no fault of the code.

    UserError (ValueError)      the request or its material is wrong; shown without a traceback, exit status 2
    ├── ConfigError             an option: unknown name, value out of range, options that contradict
    ├── DataError               images or labels that cannot be used
    ├── WeightsError            starting weights that cannot be had or do not fit
    └── CheckpointError         a stored network that is damaged or incomplete

A seed run whose loss stops being finite is no error but a result: see `resnet_tl.result`.
"""

from collections.abc import Sequence
from typing import ClassVar

MOST_SHOWN = 20


class UserError(ValueError):
    """One or more problems in what the user gave, all reported at once.

    Args:
        problems: one complete sentence each: what must hold, what was got, where, what to do.
    """

    status: ClassVar[int] = 2
    """Exit status of a command that ends with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        # the default would rebuild the error from its joined text, after a trip between processes
        return type(self), tuple(self.problems)


class ConfigError(UserError):
    """An option is unknown, out of range, or contradicts another."""


class DataError(UserError):
    """Images or labels cannot be used as they are."""


class WeightsError(UserError):
    """Starting weights cannot be had, or do not fit the network."""


class CheckpointError(UserError):
    """A stored network is damaged, incomplete, or of another format."""


def shown(names: Sequence[str], most: int = MOST_SHOWN) -> str:
    """Joins names for a message, one a line, and says how many more there are."""
    lines = [f"  {name}" for name in names[:most]]
    if len(names) > most:
        lines.append(f"  … and {len(names) - most} more")
    return "\n".join(lines)
