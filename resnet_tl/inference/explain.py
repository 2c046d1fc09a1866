"""Where in an image a network saw what it says: Grad-CAM, drawn as heat over what the network was shown.

Source: Selvaraju et al. 2017, "Grad-CAM", section 3, equations 1 and 2, at the output of the last residual stage.

Axes: B images, C channels, F feature maps, H W pixels, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from resnet_tl.data.batches import centre, to_unit
from resnet_tl.files import replacing
from resnet_tl.inference.predictor import OneNetwork
from resnet_tl.model.runtime import computing

LEAST_SIDE = 224
"""Pixels of the short side of a picture that is written; smaller images are enlarged by a whole factor."""
STRENGTH = 0.65
"""How much of the image the greatest heat hides."""


def gradcam(network: OneNetwork, pixels_BCHW: NDArray[np.generic]) -> Tensor:
    """How much each place speaks for the predicted class, in [0, 1] with the greatest at 1, [B, H, W] on feature maps.

    All 0 where nothing speaks for it. For a network of one logit z the classes' scores are -z and z.
    """
    maps: list[Tensor] = []

    def leaf(module: nn.Module, inputs: Any, maps_BFHW: Tensor) -> Tensor:
        # gradients are wanted from here on alone, and there are some though all of the network may be frozen
        maps.append(maps_BFHW.detach().requires_grad_())
        return maps[0]

    last_block = network.network.backbone.get_submodule("layer4")[-1]  # type: ignore[index]
    hook = last_block.register_forward_hook(leaf)
    try:
        with computing(device=network.device), torch.enable_grad():
            outputs_BO = network.network(network.inputs_BCHW(pixels_BCHW))
            scores_BK = outputs_BO if outputs_BO.shape[1] > 1 else torch.cat([-outputs_BO, outputs_BO], 1)
            (gradient_BFHW,) = torch.autograd.grad(scores_BK.amax(1).sum(), maps)
    finally:
        hook.remove()
    weight_BF11 = gradient_BFHW.mean((2, 3), keepdim=True)
    heat_BHW = (weight_BF11 * maps[0].detach()).sum(1).relu()
    most_B11 = heat_BHW.amax((1, 2), keepdim=True)
    return torch.where(most_B11 > 0, heat_BHW / most_B11, 0.0).cpu()


def drawn(network: OneNetwork, pixels_CHW: NDArray[np.generic]) -> Image.Image:
    """The part of an image that the network saw, with the heat over it; RGB."""
    import matplotlib

    heat_HW = gradcam(network, pixels_CHW[None])[0]
    shown_CHW = centre(to_unit(pixels_CHW[None]), network.card.crop)[0]
    height, width = shown_CHW.shape[1:]
    factor = -(-LEAST_SIDE // min(height, width))
    size = (height * factor, width * factor)
    image_HWC = shown_CHW.expand(3, -1, -1).permute(1, 2, 0).numpy()
    image_HWC = image_HWC.repeat(factor, 0).repeat(factor, 1)
    heat_HW = nn.functional.interpolate(heat_HW[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    colour_HWC = matplotlib.colormaps["inferno"](heat_HW.numpy())[:, :, :3]
    hidden_HW1 = STRENGTH * heat_HW.numpy()[:, :, None]
    mixed_HWC = (1 - hidden_HW1) * image_HWC + hidden_HW1 * colour_HWC
    return Image.fromarray(np.round(mixed_HWC * 255).astype(np.uint8))


def write(path: Path, picture: Image.Image) -> None:
    """Stores a picture as PNG."""
    with replacing(path) as stream:
        picture.save(stream, format="PNG")
