"""The kernel of heads, against plain modules and torch's optimisers."""

import itertools
from typing import get_args

import numpy as np
import pytest
import torch

from resnet_tl.head_spec import HEADS, Activation, HeadSpec, Norm
from resnet_tl.model.head_module import Head, init_head
from resnet_tl.model.runtime import computing
from resnet_tl.training.head_kernel import Heads, Optimizer


def head_of(spec: HeadSpec, num_features: int, num_outputs: int) -> Head:
    made = Head(spec, num_features, num_outputs)
    init_head(made, 7)
    return made


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_product_has_the_same_bits_for_any_number_of_members(precision: str) -> None:
    heads = Heads([head_of(HEADS["linear"], 4, 2)], bf16=precision == "bf16", device=torch.device("cpu"))
    draws = torch.Generator().manual_seed(0)
    # about the sizes at which kernels change: small last batches of an epoch, rows that do not fill cache lines
    with computing(device="cpu", threads=1):
        for rows, inner, columns in itertools.product((1, 3, 10), (2, 4, 5, 11, 16, 64), (9, 10, 33, 64)):
            a = torch.randn(96, inner, rows, generator=draws).transpose(1, 2)
            b = torch.randn(96, inner, columns, generator=draws)
            whole = heads._product(a, b)
            for count in (2, 3, 7, 48):
                # all of them, since another kernel differs in few of the products
                parts = [
                    heads._product(*pair)
                    for pair in zip(a.split(count), b.split(count), strict=True)
                    if len(pair[0]) > 1
                ]
                assert torch.equal(torch.cat(parts), whole[: sum(map(len, parts))]), (rows, inner, columns, count)


NO_GRADIENT = ("hidden.bias", "norm.running_mean")
"""BatchNorm takes the mean away, so the bias before it has a gradient of zero but for rounding, which Adam scales up
to whole steps; the running mean follows that bias."""


SPECS = [HeadSpec(width=None)] + [
    HeadSpec(width=16, norm=norm, activation=activation, dropout=dropout)
    for norm, activation, dropout in itertools.product(get_args(Norm), get_args(Activation), (0.0, 0.5))
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_heads_follow_a_plain_module_and_torchs_optimiser(spec: HeadSpec, optimizer: str) -> None:
    idle = NO_GRADIENT if spec.norm == "batch" else ()

    def module(dtype: torch.dtype) -> Head:
        return head_of(spec, 24, 5).to(dtype)

    draws = torch.Generator().manual_seed(0)
    features = torch.randn(40, 8, 24, generator=draws, dtype=torch.float64)
    labels = torch.randint(0, 5, (40, 8), generator=draws)
    keeps = (torch.rand(40, 8, 16, generator=draws) > 0.5).double()
    keep_of = (lambda t: t) if spec.dropout else (lambda t: None)
    for dtype, steps, tolerance in ((torch.float32, 1, 1e-6), (torch.float64, 40, 1e-10)):
        plain = module(dtype)
        made = Heads([module(dtype), module(dtype)], bf16=False, device=torch.device("cpu"))
        options = {"lr": 0.02, "weight_decay": 0.1}
        if optimizer == "sgd":
            theirs: torch.optim.Optimizer = torch.optim.SGD(plain.parameters(), momentum=0.9, **options)
        else:
            cls = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
            theirs = cls(plain.parameters(), betas=(0.9, 0.999), **options)
        mine = Optimizer(optimizer, made.parameters, momentum_M=[0.9, 0.9], weight_decay_M=[0.1, 0.1])
        for step in range(steps):
            x, y, keep = features[step].to(dtype), labels[step], keep_of(keeps[step].to(dtype))
            theirs.zero_grad()
            loss = torch.nn.functional.cross_entropy(plain(x, keep), y, label_smoothing=0.1)
            loss.backward()
            one_hot = torch.nn.functional.one_hot(y, 5).to(dtype) * 0.9 + 0.1 / 5
            gradients, losses, _ = made.gradients(
                torch.stack([x, x]),
                torch.stack([one_hot, one_hot]),
                torch.full((1, 1, 1), 1 / 8, dtype=dtype),
                None if keep is None else torch.stack([keep, keep]) * 2,
            )
            if step == 0:
                total = float(torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None]).norm())
                assert float(losses[1].mean()) == pytest.approx(loss.item(), rel=1e-6)
                for name, parameter in plain.named_parameters():
                    assert parameter.grad is not None
                    error = (gradients[name][1].reshape(parameter.shape) - parameter.grad).norm()
                    scale = total if name in idle else float(parameter.grad.norm())
                    assert float(error) <= tolerance * scale, name
            theirs.step()
            mine.step(made.parameters, gradients, np.array([0.02, 0.02]))
        if steps > 1:
            for name, tensor in made.of_member(1, plain).items():
                if name in idle:
                    continue
                expected = plain.state_dict()[name]
                assert torch.allclose(tensor.to(dtype), expected.to(dtype), rtol=0, atol=tolerance), name
            if spec.norm == "none":
                plain.eval()
                assert torch.allclose(made.logits(torch.stack([x, x]))[0], plain(x), rtol=0, atol=1e-9)
