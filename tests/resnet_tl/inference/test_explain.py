"""Heat lies where the network saw the predicted class."""

from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch

from resnet_tl.inference.explain import LEAST_SIDE, drawn, gradcam
from resnet_tl.inference.predictor import one_network
from tests.resnet_tl.trained import Trained, train


def pixels_of(trained: Trained, count: int = 4) -> np.ndarray:
    card = one_network(trained.checkpoint).card
    shape = (count, card.channels, *card.size)
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


@pytest.mark.parametrize("which", ["three", "two"])
def test_heat_is_that_of_captum(which: str, request: pytest.FixtureRequest) -> None:
    network = one_network(request.getfixturevalue(which).checkpoint)
    network = replace(network, card=replace(network.card, crop=None))
    shape = (4, network.card.channels, 96, 96)  # so that there are 3 × 3 places
    pixels_BCHW = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    heat_BHW = gradcam(network, pixels_BCHW)
    images_BCHW = network.inputs_BCHW(pixels_BCHW).requires_grad_()
    outputs_BO = network.network(images_BCHW)
    cam = captum.attr.LayerGradCam(network.network, network.network.backbone.layer4[-1])
    if outputs_BO.shape[1] > 1:
        expected = cam.attribute(images_BCHW, outputs_BO.argmax(1), relu_attributions=True)
    else:  # the score of the first class is -z, which captum does not know
        signs = torch.where(outputs_BO[:, 0] > 0, 1.0, -1.0)
        expected = (cam.attribute(images_BCHW, 0) * signs[:, None, None, None]).relu()
    expected = expected[:, 0].detach()
    most = expected.amax((1, 2), keepdim=True)
    assert bool((most > 0).any())
    assert torch.allclose(heat_BHW, torch.where(most > 0, expected / most, 0.0), atol=1e-5)


def test_a_frozen_network_has_heat_too_and_stays_as_it_was(
    three: Trained, weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("frozen")
    network = one_network(train(base, three.config, weights=weights["resnet18"], freeze="all").checkpoint)
    pixels_BCHW = pixels_of(three)
    before = network.log_p_BK(pixels_BCHW)
    assert bool((gradcam(network, pixels_BCHW) > 0).any())
    assert np.array_equal(network.log_p_BK(pixels_BCHW), before)


def test_the_picture_is_what_the_network_saw_enlarged(two: Trained, three: Trained) -> None:
    assert drawn(one_network(two.checkpoint), pixels_of(two)[0]).size == (LEAST_SIDE, LEAST_SIDE)
    assert drawn(one_network(three.checkpoint), pixels_of(three)[0]).size == (224, 224), "32 of 36 pixels, 7 times"
