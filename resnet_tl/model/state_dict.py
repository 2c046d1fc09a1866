"""The weights of a backbone out of whatever file holds them: by their names and shapes, not by the file's suffix.

Training scripts wrap state dicts (`{"model_state_dict": …}`) and prefix their names (`module.`, `backbone.`). Both are
looked through, and what was taken is said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_tl.architecture import is_norm, parameter_shapes
from resnet_tl.errors import WeightsError, shown

DEEPEST = 5
"""Levels of a file's dictionaries that are searched."""
_FIRST, _INNER = "conv1.weight", "layer1.0.conv1.weight"
"""Names by which a ResNet is known, whatever stands before them."""
_TOP = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A ResNet in a file."""

    keys: tuple[str, ...]
    """Of the dictionaries that lead to it."""
    prefix: str
    """Before each of its names."""
    tensors: State
    """All of that dictionary, under their full names."""

    @property
    def address(self) -> str:
        """For messages."""
        return " → ".join([*self.keys, *([f"{self.prefix}*"] if self.prefix else [])])

    @property
    def averaged(self) -> bool:
        """Whether it is a moving average of another, by its name."""
        return "ema" in self.address.lower().replace("_", ".").replace("*", "").split(".") or any(
            "ema" in key.lower().split("_") for key in self.keys
        )


def read_file(path: Path) -> Any:
    """The content of a file that `torch.save` or safetensors wrote, whichever its suffix.

    Raises:
        WeightsError: it is neither, or holds more than data.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(9)[8:] == b"{":  # behind the length of a header in JSON
                from safetensors.torch import load_file

                return load_file(path)
            stream.seek(0)
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # each format raises its own kinds, SafetensorError among them
        if "allowed global" in str(error) or "Unsupported global" in str(error):
            raise WeightsError(
                f"{path} must hold tensors alone, but holds Python objects, which could run any code when they are "
                "read. Where it was trained, store its state dict: torch.save(model.state_dict(), 'weights.pth')."
            ) from None
        raise WeightsError(
            f"{path} must be a state dict, written by torch.save or safetensors, but cannot be read: it is damaged, "
            f"cut short or of another kind ({type(error).__name__})."
        ) from None


def find_backbone(content: Any, backbone: str, path: Path) -> tuple[State, list[str]]:
    """The tensors of a backbone under torchvision's names, checked, and sentences about what was taken.

    Raises:
        WeightsError: there is none, or there are several, or it does not fit `backbone`.
    """
    found = list(_candidates(content, ()))
    plain = [candidate for candidate in found if not candidate.averaged]
    chosen = plain if len(plain) == 1 else found
    if len(chosen) > 1:
        raise WeightsError(
            f"{path} must hold the weights of one network, but holds {len(chosen)}; store the one that is meant, as "
            f"torch.save(its_state_dict, 'weights.pth'):\n{shown([candidate.address for candidate in chosen])}"
        )
    if not chosen:
        whole = {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}
        tensors = {name: value for name, value in whole.items() if isinstance(value, Tensor)}
        if not tensors:
            what = f"a dictionary of {', '.join(sorted(whole)[:5])}" if whole else type(content).__name__
            raise WeightsError(f"{path} must be a plain state dict of tensors, but holds {what}.")
        chosen = [_Candidate(keys=(), prefix="", tensors=tensors)]
    (one,) = chosen
    own = {n.removeprefix(one.prefix): t for n, t in one.tensors.items() if n.startswith(one.prefix)}
    state = {name: tensor for name, tensor in own.items() if name.split(".")[0] in _TOP}
    state = check_backbone(state, backbone, str(path))
    said = []
    if one.address:
        said.append(f"The weights in {path} are those of {one.address}.")
    if len(found) > 1:
        rest = ", ".join(candidate.address or "its own names" for candidate in found if candidate is not one)
        said.append(f"The moving average that {path} holds too ({rest}) is not used.")
    kept = {one.prefix + name for name in (*state, "fc.weight", "fc.bias")}
    others = [name for name in one.tensors if name not in kept]
    if others:
        examples = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
        said.append(f"{len(others)} tensors of {path} are no part of a {backbone}'s backbone and not used: {examples}.")
    return state, said


def _candidates(content: Any, keys: tuple[str, ...]) -> Iterator[_Candidate]:
    """All ResNets in nested dictionaries."""
    if not isinstance(content, Mapping) or len(keys) > DEEPEST:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for name in tensors:
        prefix = name.removesuffix(_FIRST)
        if name.endswith(_FIRST) and (not prefix or prefix.endswith(".")) and prefix + _INNER in tensors:
            yield _Candidate(keys=keys, prefix=prefix, tensors=tensors)
    for name, value in content.items():
        yield from _candidates(value, (*keys, str(name)))


def check_backbone(state: State, backbone: str, where: str) -> State:
    """The tensors of a backbone, in float32 and in one memory order, all of them and no other.

    Args:
        state: without the classifier.
        where: for messages.

    Raises:
        WeightsError: tensors are missing, unknown, of another shape or type, or not finite.
    """
    first = state.get(_FIRST)
    channels = first.shape[1] if first is not None and first.ndim == 4 and first.shape[1] else 3
    expected = dict(parameter_shapes(backbone, channels))
    norms = [name.removesuffix(".weight") for name in expected if is_norm(name) and name.endswith(".weight")]
    for norm in norms:
        expected |= {f"{norm}.{kind}": expected[f"{norm}.weight"] for kind in ("running_mean", "running_var")}
    counters = {f"{norm}.num_batches_tracked" for norm in norms}
    lacking = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected) - counters)
    wrong = [
        f"{name} is {list(state[name].shape)}, not {list(shape)}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if lacking or wrong or extra:
        raise WeightsError(
            f"{where} must hold the weights of a {backbone}, but {len(lacking)} tensors are missing, {len(wrong)} of "
            f"another shape and {len(extra)} unknown (the first: {(lacking or wrong or extra)[0]}). Does "
            "`trial.backbone` fit the file?"
        )
    odd = [f"{name}: {why}" for name in expected if (why := _unusable(name, state[name]))]
    if odd:
        raise WeightsError(
            f"{where} must hold finite floating-point numbers, but some of its tensors do not; take an earlier state "
            f"of that training:\n{shown(odd)}"
        )
    # in one memory order, whichever the file has, since that decides which kernel runs
    whole = {name: tensor.float().contiguous() for name, tensor in state.items() if name in expected}
    for name in counters:  # files from before this counter existed have none; it decides nothing here
        count = state.get(name)
        whole[name] = torch.zeros((), dtype=torch.int64)
        number = None if count is None or count.numel() != 1 or count.is_complex() else _as(torch.float64, count)
        if number is not None and bool(abs(number) < 2**53):  # neither infinite nor NaN
            whole[name] = number.reshape(()).to(torch.int64)
    return whole


def _as(dtype: torch.dtype, tensor: Tensor) -> Tensor | None:
    """A tensor's numbers in a type that has arithmetic, as those of eight bits have not; None where it holds none."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return None
    try:
        return tensor.to(dtype)
    except RuntimeError:  # types of less than eight bits can be stored, and not even converted
        return None


def _unusable(name: str, tensor: Tensor) -> str | None:
    """Why no network can be made of a tensor."""
    if not tensor.is_floating_point() and not tensor.is_quantized:
        return f"is {str(tensor.dtype).removeprefix('torch.')}"
    numbers = _as(torch.float32, tensor)
    if numbers is None:
        return "is stored without its values, sparse, or quantised"
    bad = int((~torch.isfinite(numbers)).sum())
    if bad:
        return f"{bad} of {tensor.numel()} numbers are NaN or infinite"
    if name.endswith("running_var") and bool((numbers < 0).any()):
        return "a variance is negative"
    return None
