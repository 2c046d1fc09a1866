"""Whether two requests read the same images."""

import os
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.remote import local
from resnet_tl.data.sources import source_of


def share_images(one: DataConfig, other: DataConfig, cache: Path) -> bool:
    """Whether they have a file in common, or an image that a library brings.

    Args:
        cache: where archives are unpacked.
    """
    with local(one, cache) as (first, _), local(other, cache) as (second, _):
        return bool(_images(first) & _images(second))


def _images(config: DataConfig) -> set[str]:
    source = source_of(config)
    files = {os.path.realpath(path) for path in source.files(config) if not path.is_dir()}
    return files or {f"{name} of the library" for name in source.list(config).names}
