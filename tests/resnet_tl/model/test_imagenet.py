"""What is said of torchvision's weights without loading it is what it says itself."""

from pathlib import Path

import pytest

from resnet_tl.architecture import BACKBONES
from resnet_tl.model import imagenet


def test_files_are_those_of_torchvision() -> None:
    from torchvision.models import get_model_weights

    every = {
        f"{backbone}/{weights.name}": (weights.url.rsplit("/", 1)[1], round(weights.meta["_file_size"]))
        for backbone in BACKBONES
        for weights in get_model_weights(backbone)
    }
    assert every == imagenet.FILES


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME"])
def test_weights_are_looked_for_where_torch_keeps_them(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert imagenet.torch_cache() == Path(torch.hub.get_dir()) / "checkpoints"
    name = "torchvision/resnet18/IMAGENET1K_V1"
    assert "will be downloaded, 45 MB" in (imagenet.describe(name) or "")
    imagenet.torch_cache().mkdir(parents=True)
    (imagenet.torch_cache() / "resnet18-f37072fd.pth").write_bytes(b"")
    assert "is in torch's cache" in (imagenet.describe(name) or "")
    assert imagenet.describe("sha256:abc") is None
