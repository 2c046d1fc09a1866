from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from resnet_tl.training import balanced_weights_K, class_logits, loss_of, lr_factor
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
