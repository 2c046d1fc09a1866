import pytest
import torch
import torchvision.models
from torch.utils.flop_counter import FlopCounterMode

from resnet_tl.architecture import num_trainable, piece_costs, pieces
from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.freezing import freeze_point
from resnet_tl.head_spec import HEADS
from resnet_tl.model.network import Network, assemble, build_backbone
from resnet_tl.seeding import derive
from resnet_tl.training.objective import optimizer_for
from tests.conftest import trial


def network(seed: int = 0, **changes: object) -> Network:
    return assemble(trial(**changes), num_outputs=3, channels=3, seed=seed, state=None, input_size=(32, 32))


def step(net: Network, **changes: object) -> None:
    net.train()
    optimizer = optimizer_for(net, trial(**changes))
    net(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))).pow(2).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("backbone", ["resnet18", "resnext50_32x4d", "wide_resnet50_2"])
def test_drawing_weights_seeds_no_gpu_and_draws_what_torchvision_does(
    monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    torch.manual_seed(derive(3, "backbone_init"))
    expected = getattr(torchvision.models, backbone)(weights=None).state_dict()
    before = torch.get_rng_state()
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    drawn = build_backbone(backbone, 3, seed=3).state_dict()
    assert seeded == []
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in drawn.items())


@pytest.mark.parametrize("freeze", ["none", 0.3, 0.7, 0.8, "layer2", "all"])
@pytest.mark.parametrize("bn", ["frozen_eval", "batch_stats", "train_affine"])
def test_exactly_the_trainable_part_moves(freeze: float | str, bn: str) -> None:
    changes = {"freeze": freeze, "bn": bn, "weight_decay": 0.1}
    net = network(**changes)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    step(net, **changes)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    moving = {name for name, _ in net.moving()}
    assert not any(name.startswith("head.") for name in frozen), "a head parameter is never frozen"
    for name, p in net.named_parameters():
        if name in frozen:
            assert p.grad is None
            assert torch.equal(p, before[name])
        else:
            assert not torch.equal(p, before[name]), name
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]) or name in moving
    point = freeze_point("resnet18", freeze)
    assert net.num_trainable() == num_trainable("resnet18", point, bn=bn, head=HEADS["linear"], num_outputs=3)
    statistics = [name for name in before if name.endswith("running_mean")]
    moved = [name for name in statistics if not torch.equal(net.state_dict()[name], before[name])]
    if bn == "batch_stats" or freeze == "none":
        assert moved == statistics
    elif freeze == "all":
        assert moved == []
    else:
        assert 0 < len(moved) < len(statistics)


@pytest.mark.parametrize("head", ["linear", "mlp_relu", "mlp_leaky_dropout", "mlp_batchnorm"])
def test_heads_return_logits_and_depend_on_the_seed_alone(head: str) -> None:
    images = torch.randn(4, 3, 32, 32)
    first, again, other = (network(seed, head=head, head_width=7).eval() for seed in (0, 0, 1))
    assert first(images).shape == (4, 3)
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first.head.out.weight, other.head.out.weight)
    frozen = network(0, head=head, head_width=7, freeze=0.7)
    assert torch.equal(first.head.out.weight, frozen.head.out.weight), "the head's draws do not depend on the rest"


def test_dropout_drops_hidden_units_and_keeps_their_mean() -> None:
    head = network(head="mlp_leaky_dropout", dropout=0.25, head_width=8).head
    features = torch.randn(2, 512)
    assert head.hidden is not None
    hidden = torch.nn.functional.leaky_relu(head.hidden(features), 0.01)
    keep = (torch.arange(8) % 4 != 0).float().expand(2, 8)
    assert torch.allclose(head(features, keep), head.out(hidden * keep / 0.75))
    assert torch.allclose(head(features), head.out(hidden))


CUT = ["resnet18", "resnet50", pytest.param("resnext50_32x4d", marks=pytest.mark.slow)]
CUT += [pytest.param("wide_resnet50_2", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backbone", CUT)
def test_a_network_can_be_cut_behind_every_piece(backbone: str) -> None:
    net = network(backbone=backbone, freeze="all").eval()
    images = torch.randn(PREFIX_BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    cuts = range(1, len(pieces(backbone)) + 1)
    outputs = net.prefix_outputs(images, list(cuts))
    with torch.no_grad():
        whole = net.head(net.backbone(images))
        for cut, cost in zip(cuts, piece_costs(backbone, 3, (32, 32)), strict=True):
            net.cut = cut
            assert outputs[cut].shape[1:] == cost.shape, pieces(backbone)[cut - 1]
            torch.testing.assert_close(net.tail(outputs[cut]), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backbone", CUT)
def test_multiplications_are_those_that_torch_counts(backbone: str) -> None:
    net = network(backbone=backbone, freeze="all").eval()
    for cut, name in enumerate(pieces(backbone), start=1):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net._through(torch.zeros(1, 3, 33, 64), 0, cut)
        told = sum(cost.macs for cost in piece_costs(backbone, 3, (33, 64))[:cut])
        assert 2 * told == counter.get_total_flops(), name
