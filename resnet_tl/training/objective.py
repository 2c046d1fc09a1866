"""Loss, optimiser and learning-rate schedule of a trial.

Axes: B images, H hidden units, K classes, O outputs of the network.
"""

import math
from typing import Any

import torch
from torch import Tensor

from resnet_tl.config import TrialConfig
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.network import Network


def loss_of(
    outputs_BO: Tensor, targets_BK: Tensor, *, label_smoothing: float, class_weights_K: Tensor | None
) -> Tensor:
    """Mean cross-entropy of a batch (for one output: binary cross-entropy, the same thing).

    Args:
        targets_BK: class shares, which sum to 1.
        label_smoothing: share spread evenly over all classes.
            Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
        class_weights_K: weight of each class; the mean is over weights, as in torch's own losses.
    """
    log_p_BK = class_logits(outputs_BO).float().log_softmax(1)
    smooth_BK = targets_BK * (1 - label_smoothing) + label_smoothing / targets_BK.shape[1]
    loss_B = -(smooth_BK * log_p_BK).sum(1)
    if class_weights_K is None:
        return loss_B.mean()
    weight_B = (targets_BK * class_weights_K).sum(1)
    return (loss_B * weight_B).sum() / weight_B.sum()


def optimizer_for(network: Network, trial: TrialConfig) -> torch.optim.Optimizer:
    """The optimiser over all parameters that train; the backbone's group has its own learning rate.

    It moves them through views that are contiguous, whatever their layout: fused kernels copy any other tensor there
    and back, which took a ResNet-18 in `channels_last` 14 ms a step. Gradients are the network's to clear.
    """
    trained = [
        ([p for p in network.backbone.parameters() if p.requires_grad], trial.backbone_lr_factor),
        (list(network.head.parameters()), 1.0),
    ]
    groups = [
        {"params": [_contiguous(p.detach()) for p in parameters], "scale": scale}
        for parameters, scale in trained
        if parameters
    ]
    options: dict[str, Any] = {"lr": trial.lr, "weight_decay": trial.weight_decay}
    options["fused"] = trial.fused_optimizer or None
    optimizer: torch.optim.Optimizer
    if trial.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=trial.momentum, **options)
    else:
        cls = torch.optim.Adam if trial.optimizer == "adam" else torch.optim.AdamW
        optimizer = cls(groups, betas=(0.9, 0.999), **options)
    views = [view for group in optimizer.param_groups for view in group["params"]]
    pairs = list(zip([p for parameters, _ in trained for p in parameters], views, strict=True))

    def lend(*_: Any) -> None:
        for parameter, view in pairs:
            assert view.data_ptr() == parameter.data_ptr(), "a parameter has moved since its optimiser was made"
            view.grad = None if parameter.grad is None else _contiguous(parameter.grad)

    def give_back(*_: Any) -> None:
        for view in views:
            view.grad = None

    optimizer.register_step_pre_hook(lend)
    optimizer.register_step_post_hook(give_back)
    return optimizer


def _contiguous(tensor: Tensor) -> Tensor:
    """A view in the order of memory; torch keeps a gradient in the order of its parameter."""
    if tensor.dim() == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    assert tensor.is_contiguous()
    return tensor


def lr_factor(trial: TrialConfig, *, epoch: int, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step as a fraction of `lr`.

    Args:
        epoch: of its phase, counts from 1.
        step: of the epoch, counts from 0.
    """
    now = (epoch - 1) * steps_per_epoch + step
    warmup = trial.warmup_epochs * steps_per_epoch
    if now < warmup:
        return (now + 1) / warmup
    if trial.schedule == "cosine":
        total = trial.epochs * steps_per_epoch
        return 0.5 * (1 + math.cos(math.pi * (now - warmup) / (total - warmup)))
    if trial.schedule == "step":
        return float(0.1 ** (3 * (epoch - 1) // trial.epochs))
    return 1.0


def set_lr(optimizer: torch.optim.Optimizer, trial: TrialConfig, factor: float) -> None:
    """Sets every group's learning rate for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = trial.lr * group["scale"] * factor
