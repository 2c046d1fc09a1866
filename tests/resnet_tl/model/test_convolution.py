import copy

import pytest
import torch
from torch import nn

from resnet_tl.architecture import channels_last_pieces, pieces
from resnet_tl.model import convolution
from resnet_tl.model.convolution import Convolution
from resnet_tl.model.network import build_backbone


def both(
    conv: Convolution, maps: torch.Tensor, *, bf16: bool = False
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Outputs, and gradients of the maps and of the weights: in float64 as the library has them, and of ours."""
    found = []
    for own in (False, True):
        dtype = torch.float32 if own else torch.float64
        weight = nn.Parameter(conv.weight.detach().to(dtype))
        given = maps.detach().to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=own and bf16):
            if own:
                used = Convolution.like(conv)
                used.weight, used.as_product = weight, True
                outputs = used(given.bfloat16() if bf16 else given)
            else:
                outputs = nn.functional.conv2d(given, weight, None, conv.stride, conv.padding)
        draws = torch.Generator().manual_seed(1)
        outputs.backward(torch.randn(outputs.shape, generator=draws, dtype=torch.float64).to(outputs.dtype))
        assert given.grad is not None
        assert weight.grad is not None
        found.append((outputs.detach(), given.grad, weight.grad))
    return found


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (1, 4), (7, 2)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_a_product_gives_the_convolution_and_its_gradients(
    monkeypatch: pytest.MonkeyPatch, kernel: int, stride: int, size: tuple[int, int], bf16: bool
) -> None:
    monkeypatch.setattr(convolution, "MAX_PRODUCT_PX", {"bf16": 9, "fp32": 9})
    ran = []
    product = Convolution._product
    monkeypatch.setattr(Convolution, "_product", lambda *args: (ran.append(1), product(*args))[1])
    torch.manual_seed(0)
    conv = Convolution.like(nn.Conv2d(6, 5, kernel, stride, kernel // 2, bias=False))
    theirs, ours = both(conv, torch.randn(4, 6, *size), bf16=bf16)
    assert ran
    for expected, got in zip(theirs, ours, strict=True):
        assert got.shape == expected.shape
        error = (got.double() - expected).norm() / expected.norm()
        assert float(error) < (0.005 if bf16 else 1e-6)


@pytest.mark.parametrize(
    ("precision", "size", "products"), [("bf16", 3, True), ("bf16", 4, False), ("fp32", 1, True), ("fp32", 2, False)]
)
def test_only_small_outputs_are_products(
    monkeypatch: pytest.MonkeyPatch, precision: str, size: int, products: bool
) -> None:
    ran = []
    product = Convolution._product
    monkeypatch.setattr(Convolution, "_product", lambda *args: (ran.append(1), product(*args))[1])
    conv = Convolution.like(nn.Conv2d(4, 4, 3, 1, 1, bias=False))
    for allowed in (True, False):
        conv.as_product = allowed
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            conv(torch.randn(2, 4, size, size))
        assert bool(ran) == products, "and never in the layout that was not asked for"
        ran.clear()
        products = False


@pytest.mark.parametrize(
    ("px", "precision", "otherwise"),
    [
        (64, "bf16", ()),
        (64, "fp32", ("layer4",)),  # 2 x 2
        (32, "bf16", ()),
        (32, "fp32", ("layer3",)),  # 2 x 2; layer4 is 1 x 1
        (224, "fp32", ()),
    ],
)
def test_maps_lie_channels_last_where_that_is_quicker(px: int, precision: str, otherwise: tuple[str, ...]) -> None:
    laid = channels_last_pieces("resnet18", (px, px), "channels_last", precision)
    expected = [not piece.startswith((*otherwise, "pool")) for piece in pieces("resnet18")]
    assert list(laid) == expected
    assert not any(channels_last_pieces("resnet18", (px, px), "contiguous", precision))


def test_our_backbone_is_torchvisions_with_the_same_weights() -> None:
    import torchvision.models

    theirs = torchvision.models.resnet50()
    theirs.fc = nn.Identity()  # type: ignore[assignment]
    ours = build_backbone("resnet50", 3, state=copy.deepcopy(theirs.state_dict()))
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert all(isinstance(m, Convolution) for m in ours.modules() if isinstance(m, nn.Conv2d))
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
