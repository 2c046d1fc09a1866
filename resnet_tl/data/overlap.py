"""Whether two requests read the same images."""

import os

from resnet_tl.config import DataConfig
from resnet_tl.data.sources import source_of


def share_images(one: DataConfig, other: DataConfig) -> bool:
    """Whether they have a file in common, or an image that a library brings."""
    return bool(_images(one) & _images(other))


def _images(config: DataConfig) -> set[str]:
    source = source_of(config)
    files = {os.path.realpath(path) for path in source.files(config) if not path.is_dir()}
    return files or {f"{name} of the library" for name in source.list(config).names}
