"""The console script `resnet-tl`, and `python -m resnet_tl`: the first word names a command line of this package."""

import resnet_tl
from resnet_tl.command import dispatch


def main() -> None:
    """Runs the command that the first word names."""
    dispatch("resnet-tl", resnet_tl)


if __name__ == "__main__":
    main()
