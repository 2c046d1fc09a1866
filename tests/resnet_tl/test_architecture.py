import pytest
import torch
import torchvision.models
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.architecture import BACKBONES, backbone_parameters, num_trainable
from resnet_tl.errors import ConfigError
from resnet_tl.freezing import freeze_point
from resnet_tl.head_spec import HEADS

ALL = list(BACKBONES)


@pytest.mark.parametrize("backbone", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_tables_are_torchvisions(backbone: str, channels: int) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, backbone)(weights=None)
        network.conv1 = torch.nn.Conv2d(channels, 64, 7, bias=False)
    theirs = [(name, p.numel()) for name, p in network.named_parameters() if not name.startswith("fc.")]
    assert list(backbone_parameters(backbone, channels)) == theirs
    assert network.fc.in_features == BACKBONES[backbone].num_features
    assert torchvision.models.get_model_weights(backbone).DEFAULT.name == BACKBONES[backbone].imagenet_versions[-1]


@given(st.sampled_from(ALL), st.floats(0, 1))
def test_freezing_stops_where_the_share_is_first_reached(backbone: str, fraction: float) -> None:
    counts = [count for _, count in backbone_parameters(backbone)]
    point, total = freeze_point(backbone, fraction), sum(counts)
    assert sum(counts[:point]) >= fraction * total * (1 - 1e-9) - 1e-6
    if point:
        assert sum(counts[: point - 1]) < fraction * total + 1e-6


def test_named_freeze_points() -> None:
    names = [name for name, _ in backbone_parameters("resnet18")]
    assert freeze_point("resnet18", "none") == freeze_point("resnet18", 0.0) == 0
    assert freeze_point("resnet18", "all") == freeze_point("resnet18", 1.0) == len(names)
    assert names[freeze_point("resnet18", "conv1")] == "layer1.0.conv1.weight"
    assert names[freeze_point("resnet18", "layer3")] == "layer4.0.conv1.weight"
    assert names[freeze_point("resnet18", "none", trainable_blocks=1)] == "layer4.1.conv1.weight"
    assert freeze_point("resnet18", "none", trainable_blocks=0) == len(names)
    assert names[freeze_point("resnet18", "none", trainable_blocks=8)] == "layer1.0.conv1.weight"
    assert freeze_point("resnet18", 0.8) == freeze_point("resnet18", 0.9), "design.md: the same network on a ResNet-18"
    with pytest.raises(ConfigError, match="fraction"):
        freeze_point("resnet18", "layer7")


def test_trainable_counts_of_heads() -> None:
    def count(head: str, outputs: int) -> int:
        return num_trainable(
            "resnet18",
            freeze_point("resnet18", "all"),
            bn="frozen_eval",
            head=HEADS[head],
            num_outputs=outputs,
        )

    assert count("linear", 9) == 513 * 9
    assert count("mlp_relu", 9) == 513 * 256 + 257 * 9
    assert count("mlp_batchnorm", 1) == 513 * 256 + 257 + 512
