"""The console script `sweeps`, and `python -m sweeps`: the first word names a command line of this package."""

import sweeps
from resnet_tl.command import dispatch


def main() -> None:
    """Runs the command that the first word names."""
    dispatch("sweeps", sweeps)


if __name__ == "__main__":
    main()
