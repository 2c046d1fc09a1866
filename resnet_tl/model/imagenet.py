"""Whether torchvision's weights are here already, said without loading torch or torchvision."""

import os
from pathlib import Path

FILES = {
    "resnet18/IMAGENET1K_V1": ("resnet18-f37072fd.pth", 45),
    "resnet34/IMAGENET1K_V1": ("resnet34-b627a593.pth", 83),
    "resnet50/IMAGENET1K_V1": ("resnet50-0676ba61.pth", 98),
    "resnet50/IMAGENET1K_V2": ("resnet50-11ad3fa6.pth", 98),
    "resnet101/IMAGENET1K_V1": ("resnet101-63fe2227.pth", 171),
    "resnet101/IMAGENET1K_V2": ("resnet101-cd907fc2.pth", 171),
    "resnet152/IMAGENET1K_V1": ("resnet152-394f9c45.pth", 230),
    "resnet152/IMAGENET1K_V2": ("resnet152-f82ba261.pth", 230),
}
"""Name and size in MB of each file that torchvision downloads.

Source: torchvision.models.resnet, the `url` and `_file_size` of each weights enum; a test compares them.
"""


def torch_cache() -> Path:
    """Where torch keeps what it has downloaded.

    Source: torch.hub.get_dir, whose rules these are.
    """
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def describe(identity: str) -> str | None:
    """Where weights are, or that they will be downloaded; None for weights that are not torchvision's.

    Args:
        identity: as `weights.identity` names them, `torchvision/resnet18/IMAGENET1K_V1` say.
    """
    source, _, name = identity.partition("/")
    if source != "torchvision" or name not in FILES:
        return None
    file, megabytes = FILES[name]
    place = torch_cache() / file
    if place.exists():
        return f"{name} is in torch's cache ({place})"
    return f"{name} will be downloaded, {megabytes} MB, to {place}"
