"""Many heads trained side by side on features that do not change: batched products in place of a loop over networks.

Every fit that trains a head alone goes through here, by itself or with others, since a batched product of two members
or more gives each the bits that it gets in any other company, where a product of one, or a stacked one, does not
(measured with torch 2.14 on a CPU with one thread, in fp32, bf16 and fp64, where small matrices and those that do not
fill cache lines take care: `SMALL_PRODUCT`, `_bmm`). So members never number one: see `padded`. On a GPU, where nobody
has measured it and cuBLAS chooses its kernel by all sizes, every product has the same number of them: see `_batched`.
All else is elementwise, or a sum over one member's own last axis.

Axes: B images of a batch, F features, H hidden units, K classes, M members, N images, O outputs (1 with binary
cross-entropy, else K).
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from resnet_tl.device import company
from resnet_tl.model.head_module import LEAKY_SLOPE, Head, activation_of, class_logits

NORM_EPS = 1e-5
NORM_MOMENTUM = 0.1
"""Source: defaults of torch.nn.BatchNorm1d."""
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
"""Source: Kingma and Ba 2015, "Adam", algorithm 1."""

SMALL_PRODUCT = 4096
"""Multiplications of a whole batched bf16 product up to which torch takes another kernel, with other bits. It counts
all members, so what two members would not exceed goes another way for any number of them: in fp32, which has no such
limit. Source: `checksize` in torch's ATen/native/mkldnn/Matmul.cpp, 16 x 16 x 16."""


def _leaky(slope: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda before, back: torch.where(before > 0, back, back * slope)


DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"relu": _leaky(0.0), "leaky_relu": _leaky(LEAKY_SLOPE)}
"""For each of `model.heads.ACTIVATIONS` the gradient of its inputs, from these and the gradient of its outputs."""


def _derivative(activation: str) -> Callable[[Tensor, Tensor], Tensor]:
    """That of an activation; of those that other distributions bring by torch's own differentiation."""
    if activation in DERIVATIVES:
        return DERIVATIVES[activation]

    def differentiated(before: Tensor, back: Tensor) -> Tensor:
        with torch.enable_grad():
            inputs = before.detach().requires_grad_()
            (found,) = torch.autograd.grad(activation_of(activation)(inputs), inputs, back)
        return found

    return differentiated


def padded(members: Sequence[int]) -> list[int]:
    """The members to compute: a single one twice."""
    return [*members, *members] if len(members) == 1 else list(members)


class Heads:
    """The heads of M members: parameters and running statistics, stacked.

    Args:
        heads: alike in their specs but for dropout, whose draws come with each step.
        bf16: products in bfloat16, all else in the parameters' own type.
    """

    def __init__(self, heads: Sequence[Head], *, bf16: bool, device: torch.device) -> None:
        self._spec = heads[0].spec
        self.bf16 = bf16
        self.parameters = self._stack([dict(head.named_parameters()) for head in heads], device)
        self.buffers = self._stack([dict(head.named_buffers()) for head in heads], device)

    @staticmethod
    def _stack(tensors: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
        # vectors as [M, 1, length], to be broadcast over a batch
        return {
            name: torch.stack([t[name].detach().reshape(_by_rows(t[name])) for t in tensors]).to(device)
            for name in tensors[0]
        }

    def tensors(self) -> dict[str, Tensor]:
        """All that training changes, by name, with M in front."""
        return self.parameters | self.buffers

    def of_member(self, number: int, like: Head) -> dict[str, Tensor]:
        """One member's tensors in the shapes of a `Head`."""
        shapes = {name: t.shape for name, t in (*like.named_parameters(), *like.named_buffers())}
        return {name: t[number].reshape(shapes[name]) for name, t in self.tensors().items()}

    def set_member(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Puts one member's tensors in place."""
        for name, t in self.tensors().items():
            t[number] = tensors[name].reshape(t[number].shape)

    def part(self, members: range) -> "Heads":
        """Some of the members, without copies; for evaluation."""
        part = copy.copy(self)
        part.parameters = {name: t[members.start : members.stop] for name, t in self.parameters.items()}
        part.buffers = {name: t[members.start : members.stop] for name, t in self.buffers.items()}
        return part

    def keep(self, members: Tensor) -> None:
        """Leaves only some members, in this order."""
        self.parameters = {name: t[members] for name, t in self.parameters.items()}
        self.buffers = {name: t[members] for name, t in self.buffers.items()}

    # -- one step -----------------------------------------------------------------------------------------------------

    def logits(self, features_MBF: Tensor) -> Tensor:
        """Outputs [M, B, O] while evaluating."""
        if self._spec.width is None:
            return self._linear("out", features_MBF)
        hidden_MBH = self._linear("hidden", features_MBF)
        if self._spec.norm == "batch":
            scale_M1H = (self.buffers["norm.running_var"] + NORM_EPS).rsqrt() * self.parameters["norm.weight"]
            hidden_MBH = (hidden_MBH - self.buffers["norm.running_mean"]) * scale_M1H + self.parameters["norm.bias"]
        return self._linear("out", activation_of(self._spec.activation)(hidden_MBH))

    def gradients(
        self, features_MBF: Tensor, smooth_MBK: Tensor, share_MB1: Tensor, keep_MBH: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Gradients of each member's own loss, by hand.

        Args:
            smooth_MBK: targets, which sum to 1 over K.
            share_MB1: what each image weighs in the loss.
            keep_MBH: factors of the hidden units under dropout.

        Returns:
            Gradients by parameter; losses [M, B], unweighted; class logits [M, B, K].
        """
        hidden: dict[str, Tensor] = {}
        inputs = features_MBF
        if self._spec.width is not None:
            inputs = self._hidden(features_MBF, keep_MBH, hidden)
        outputs_MBO = self._linear("out", inputs)
        logits_MBK = class_logits(outputs_MBO)
        log_p_MBK = logits_MBK.log_softmax(-1)
        losses_MB = -(smooth_MBK * log_p_MBK).sum(-1)
        back = (log_p_MBK.exp() - smooth_MBK) * share_MB1
        if outputs_MBO.shape[-1] == 1:
            back = back[..., 1:].contiguous()
        found = self._back_linear("out", back, inputs)
        if self._spec.width is not None:
            back = self._product(back, self.parameters["out.weight"])
            found |= self._back_hidden(back, features_MBF, keep_MBH, hidden)
        return found, losses_MB, logits_MBK

    def _hidden(self, features_MBF: Tensor, keep_MBH: Tensor | None, hidden: dict[str, Tensor]) -> Tensor:
        values_MBH = self._linear("hidden", features_MBF)
        if self._spec.norm == "batch":
            count = values_MBH.shape[1]
            mean_M1H = _sum_over_batch(values_MBH) / count
            centred_MBH = values_MBH - mean_M1H
            variance_M1H = _sum_over_batch(centred_MBH * centred_MBH) / count
            hidden["rstd"] = (variance_M1H + NORM_EPS).rsqrt()
            hidden["normal"] = centred_MBH * hidden["rstd"]
            values_MBH = hidden["normal"] * self.parameters["norm.weight"] + self.parameters["norm.bias"]
            for name, new in (("mean", mean_M1H), ("var", variance_M1H * (count / (count - 1)))):
                self.buffers[f"norm.running_{name}"].lerp_(new, NORM_MOMENTUM)
            self.buffers["norm.num_batches_tracked"] += 1
        hidden["before"] = values_MBH
        values_MBH = activation_of(self._spec.activation)(values_MBH)
        return values_MBH if keep_MBH is None else values_MBH * keep_MBH

    def _back_hidden(
        self, back: Tensor, features_MBF: Tensor, keep_MBH: Tensor | None, hidden: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        if keep_MBH is not None:
            back = back * keep_MBH
        back = _derivative(self._spec.activation)(hidden["before"], back)
        found = {}
        if self._spec.norm == "batch":
            normal_MBH, count = hidden["normal"], back.shape[1]
            found["norm.weight"] = _sum_over_batch(back * normal_MBH)
            found["norm.bias"] = _sum_over_batch(back)
            # Source: Ioffe and Szegedy 2015, "Batch Normalization", section 3
            inner = back - found["norm.bias"] / count - normal_MBH * (found["norm.weight"] / count)
            back = inner * hidden["rstd"] * self.parameters["norm.weight"]
        return found | self._back_linear("hidden", back, features_MBF)

    def _linear(self, layer: str, inputs_MBF: Tensor) -> Tensor:
        weight_MOF = self.parameters[f"{layer}.weight"]
        return self._product(inputs_MBF, weight_MOF.transpose(1, 2)) + self.parameters[f"{layer}.bias"]

    def _back_linear(self, layer: str, back_MBO: Tensor, inputs_MBF: Tensor) -> dict[str, Tensor]:
        return {
            f"{layer}.weight": self._product(back_MBO.transpose(1, 2), inputs_MBF),
            f"{layer}.bias": _sum_over_batch(back_MBO),
        }

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        if not self.bf16:
            return _bmm(a, b)
        a, b = a.bfloat16(), b.bfloat16()
        if 2 * a.shape[1] * a.shape[2] * b.shape[2] <= SMALL_PRODUCT:
            return _bmm(a.float(), b.float()).bfloat16().to(self.parameters["out.bias"].dtype)
        return _batched(a, b).to(self.parameters["out.bias"].dtype)


def _by_rows(tensor: Tensor) -> tuple[int, ...]:
    return (1, -1) if tensor.dim() == 1 else (1, 1) if tensor.dim() == 0 else tuple(tensor.shape)


def _sum_over_batch(values_MBH: Tensor) -> Tensor:
    """[M, 1, H]; as a product, since a sum over this axis may add in another order for other M."""
    ones_M1B = values_MBH.new_ones((values_MBH.shape[0], 1, values_MBH.shape[1]))
    return _bmm(ones_M1B, values_MBH)


def _bmm(a_MIJ: Tensor, b_MJK: Tensor) -> Tensor:
    """A batched product in full precision, in which a member's bits do not depend on its place among the others.

    Where the second matrix does not fill whole cache lines, the place at which it starts differs from member to member,
    and MKL then adds in another order: so its lines are filled up with zeros. Below 400 multiplications a member torch
    has a plain loop, which does not care. Source: `bmm_out_or_baddbmm_` in ATen/native/LinearAlgebra.cpp.
    """
    _, inner, length = b_MJK.shape
    if a_MIJ.shape[1] * inner * length < 400:
        return _batched(a_MIJ, b_MJK)
    if b_MJK.stride(2) != 1:  # transposed: its lines run along the inner axis
        return _batched(_filled_up(a_MIJ), _filled_up(b_MJK.transpose(1, 2)).transpose(1, 2))
    return _batched(a_MIJ, _filled_up(b_MJK))[..., :length].contiguous()


def _batched(a_MIJ: Tensor, b_MJK: Tensor) -> Tensor:
    """A batched product. Where the number of members would decide its kernel, they are multiplied in groups of equal
    number and layout, the last filled up with zeros, as a prefix always sees equally many images."""
    size = company(a_MIJ.device)
    if size is None:
        return torch.bmm(a_MIJ, b_MJK)
    groups = zip(torch.split(a_MIJ, size), torch.split(b_MJK, size), strict=True)
    return torch.cat([torch.bmm(_group(a, size), _group(b, size))[: len(a)] for a, b in groups])


def _group(part_MIJ: Tensor, size: int) -> Tensor:
    short = size - len(part_MIJ)
    return pad(part_MIJ.contiguous(), (0, 0, 0, 0, 0, short)) if short else part_MIJ.contiguous()


def _filled_up(matrices_MIJ: Tensor) -> Tensor:
    """Lines with zeros behind them, up to a multiple of 16 numbers: 64 bytes in fp32."""
    short = -matrices_MIJ.shape[2] % 16
    return pad(matrices_MIJ, (0, short)) if short else matrices_MIJ


Scalars = Sequence[float] | NDArray[np.float64]
"""One number for each member."""


class Optimizer:
    """One optimiser for all members, with each member's own scalars; the same rules as torch.optim's.

    Args:
        kind: `sgd`, `adam` or `adamw`.
        momentum_M, weight_decay_M: of each member.
    """

    def __init__(
        self,
        kind: str,
        parameters: Mapping[str, Tensor],
        *,
        momentum_M: Sequence[float],
        weight_decay_M: Sequence[float],
    ) -> None:
        self._kind = kind
        like = next(iter(parameters.values()))
        self._momentum_M11 = _per_member(momentum_M, like)
        self._decay_M11 = _per_member(weight_decay_M, like)
        names = ("momentum",) if kind == "sgd" else ("mean", "square")
        self.state = {f"{n}.{name}": torch.zeros_like(p) for name, p in parameters.items() for n in names}
        self.steps_M = torch.zeros(len(momentum_M), dtype=torch.float64)

    def step(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        lr_M: Sequence[float] | NDArray[np.float64],
    ) -> None:
        """Moves every member by its own learning rate."""
        like = next(iter(parameters.values()))
        lr_M11 = _per_member(lr_M, like)
        self.steps_M += 1
        if self._kind != "sgd":
            step_size_M11 = _per_member(np.asarray(lr_M) / (1 - ADAM_BETAS[0] ** self.steps_M.numpy()), like)
            root_M11 = _per_member((1 - ADAM_BETAS[1] ** self.steps_M.numpy()) ** 0.5, like)
        for name, parameter in parameters.items():
            gradient = gradients[name]
            if self._kind == "adamw":
                parameter.mul_(1 - lr_M11 * self._decay_M11)
            else:  # for members without decay too: what is done must not depend on the company
                gradient = gradient + self._decay_M11 * parameter
            if self._kind == "sgd":
                momentum = self.state[f"momentum.{name}"].mul_(self._momentum_M11).add_(gradient)
                parameter.addcmul_(lr_M11, momentum, value=-1)
            else:
                mean, square = self.state[f"mean.{name}"], self.state[f"square.{name}"]
                mean.lerp_(gradient, 1 - ADAM_BETAS[0])
                square.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
                parameter.sub_(step_size_M11 * mean / (square.sqrt() / root_M11 + ADAM_EPS))

    def keep(self, members: Tensor) -> None:
        """Leaves only some members, in this order."""
        self._momentum_M11, self._decay_M11 = self._momentum_M11[members], self._decay_M11[members]
        self.state = {name: t[members] for name, t in self.state.items()}
        self.steps_M = self.steps_M[members.cpu()]


def _per_member(values_M: Scalars, like: Tensor) -> Tensor:
    return torch.as_tensor(values_M, dtype=torch.float64).to(like.dtype).to(like.device).view(-1, 1, 1)
