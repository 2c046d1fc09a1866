from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from resnet_tl.model.head_module import class_logits
from resnet_tl.model.network import assemble
from resnet_tl.model.starting_point import balanced_weights_K
from resnet_tl.training.objective import loss_of, lr_factor, optimizer_for, set_lr
from tests.conftest import trial


def test_one_logit_is_binary_cross_entropy() -> None:
    z = torch.tensor([[-3.0], [0.2], [40.0], [-90.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1])
    got = loss_of(z, F.one_hot(labels, 2).double(), label_smoothing=0, class_weights_K=None)
    assert got.item() == pytest.approx(F.binary_cross_entropy_with_logits(z[:, 0], labels.double()).item(), rel=1e-6)
    assert torch.allclose(class_logits(z).softmax(1)[:, 1], z[:, 0].sigmoid())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_logits_are_torchs_cross_entropy(smoothing: float) -> None:
    logits, labels = torch.randn(20, 4), torch.arange(20) % 4
    got = loss_of(logits, F.one_hot(labels, 4).float(), label_smoothing=smoothing, class_weights_K=None)
    assert torch.allclose(got, F.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_class_weights_weigh_as_in_torch() -> None:
    logits, labels = torch.randn(20, 3), torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    weights = balanced_weights_K(labels, 3)
    assert torch.allclose(weights, torch.tensor([20 / 36, 20 / 18, 20 / 6]))
    got = loss_of(logits, F.one_hot(labels, 3).float(), label_smoothing=0, class_weights_K=weights)
    assert torch.allclose(got, F.cross_entropy(logits, labels, weight=weights))


def test_schedules() -> None:
    def factors(**changes: object) -> list[float]:
        config = trial(epochs=6, **changes)
        return [lr_factor(config, epoch=e, step=s, steps_per_epoch=2) for e in range(1, 7) for s in range(2)]

    assert factors() == [1.0] * 12
    assert factors(schedule="step") == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 4)
    cosine = factors(schedule="cosine", warmup_epochs=1)
    assert cosine[:3] == [0.5, 1.0, 1.0]
    assert cosine[7] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(cosine[2:]))
    assert 0 < cosine[-1] < 0.05


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_optimiser_takes_torchs_steps_whatever_the_layout(optimizer: str, fused: bool) -> None:
    config = trial(
        optimizer=optimizer, weight_decay=0.1, backbone_lr_factor=0.5, freeze="layer2", fused_optimizer=fused
    )
    ours, theirs = (
        assemble(config, num_outputs=3, channels=3, seed=0, state=None, input_size=(32, 32)) for _ in range(2)
    )
    assert any(p.requires_grad and p.dim() == 4 and not p.is_contiguous() for p in ours.parameters())
    mine = optimizer_for(ours, config)
    cls = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    momentum = {"momentum": config.momentum} if optimizer == "sgd" else {}
    plain = cls(
        [
            {"params": [p for p in theirs.backbone.parameters() if p.requires_grad], "lr": config.lr * 0.5},
            {"params": list(theirs.head.parameters()), "lr": config.lr},
        ],
        weight_decay=0.1,
        fused=fused or None,
        **momentum,
    )
    draws = torch.Generator().manual_seed(0)
    for _ in range(3):
        images = torch.randn(4, 3, 32, 32, generator=draws)
        set_lr(mine, config, 1.0)
        for network, stepped in ((ours, mine), (theirs, plain)):
            network.zero_grad()
            network(images).pow(2).sum().backward()
            stepped.step()
    for (name, got), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(got, expected, rtol=1e-5, atol=1e-6), name
