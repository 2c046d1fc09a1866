import pytest
import torch
import torchvision.models
from torch.utils.flop_counter import FlopCounterMode

from resnet_tl.architecture import pieces
from resnet_tl.config import TrialConfig
from resnet_tl.freezing import num_parameters, num_trained
from resnet_tl.head_spec import HEADS, num_outputs_of, spec_of
from resnet_tl.model.head_module import Head
from resnet_tl.network_summary import NetworkSummary, summarise
from tests.conftest import trial

STAGES = ("conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


def summary(config: TrialConfig, channels: int = 3, side: int = 64, num_classes: int = 2) -> NetworkSummary:
    return summarise(config, channels=channels, input_size=(side, side), num_classes=num_classes)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnext101_64x4d", "wide_resnet50_2"])
@pytest.mark.parametrize(("channels", "side"), [(3, 64), (1, 45)])
def test_shapes_parameters_and_flops_are_those_of_the_real_network(backbone: str, channels: int, side: int) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, backbone)(num_classes=5).eval()
        network.conv1 = torch.nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, module in network.named_children():
            module.register_forward_hook(lambda _m, _i, out, n=name: shapes.update({n: tuple(out.shape[1:])}))
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, channels, side, side))
    flops = counter.get_flop_counts()
    found = summary(trial(backbone=backbone), channels, side, num_classes=5)
    assert 2 * found.macs == counter.get_total_flops()
    assert [stage.name for stage in found.stages] == [*STAGES, "head.out"]
    for stage in found.stages:
        name = "fc" if stage.name == "head.out" else stage.name
        module = network.get_submodule(name)
        expected = shapes[name][:1] if name == "avgpool" else shapes[name]  # pooled maps are one pixel
        assert stage.shape == expected, name
        assert stage.num_parameters == sum(p.numel() for p in module.parameters()), name
        assert 2 * stage.macs == sum(flops.get(f"{type(network).__name__}.{name}", {}).values()), name


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_shown_with_its_layers(head: str) -> None:
    config = trial(head=head)
    layers = [stage for stage in summary(config, num_classes=4).stages if stage.name not in STAGES]
    module = Head(spec_of(config), 512, num_outputs_of(config, 4))
    named = {f"head.{name}": sum(p.numel() for p in part.parameters()) for name, part in module.named_children()}
    assert {stage.name: stage.num_parameters for stage in layers if stage.name} == named
    told = " ".join(stage.what for stage in layers)
    assert ("dropout 0.5" in told) == (head == "mlp_leaky_dropout")
    assert ("leaky ReLU" in told) == (head == "mlp_leaky_dropout")
    assert layers[-1].shape == (4,)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"freeze": 0.8},
        {"freeze": 0.8, "bn": "train_affine"},
        {"freeze": "layer2", "bn": "batch_stats"},
        {"freeze": "all", "head": "mlp"},
        {"freeze": 1e-4},
        {"trainable_blocks": 2},
        {"freeze": 0.7, "augment": ["mixup"]},
    ],
)
def test_what_trains_is_what_planning_counts(options: dict[str, object]) -> None:
    config = trial(**options)
    assert summary(config).num_trained == num_trained(config, channels=3, num_classes=2)
    assert summary(config).num_parameters == num_parameters(config, channels=3, num_classes=2)


def test_the_cut_divides_the_stage_that_it_goes_through() -> None:
    found = summary(trial(freeze=0.8))
    names = [stage.name for stage in found.stages]
    assert found.cut_behind == "layer4.1.conv2"
    assert names[6:8] == ["layer4, to layer4.1.conv2", "layer4, the rest"]
    assert [stage.in_prefix for stage in found.stages] == [True] * 7 + [False] * 3
    assert found.cut_shape == found.stages[6].shape == (1024, 2, 2), "with the block's input"
    whole = summary(trial())
    for count in ("num_parameters", "macs"):
        parts = sum(getattr(stage, count) for stage in found.stages[6:8])
        assert parts == getattr(whole.stages[6], count)


def test_a_cut_between_stages_divides_none() -> None:
    found = summary(trial(freeze="layer3"))
    assert [stage.name for stage in found.stages] == [*STAGES, "head.out"]
    assert [stage.in_prefix for stage in found.stages] == [True] * 6 + [False] * 3
    whole = summary(trial(freeze="all"))
    assert whole.cut_behind == pieces("resnet18")[-1] == "pool"
    assert [stage.in_prefix for stage in whole.stages] == [True] * 8 + [False]
    assert summary(trial(freeze="layer3", bn="batch_stats")).cut_behind is None
