"""A temperature makes a network as sure as it is right."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from resnet_tl.errors import CheckpointError, DataError
from resnet_tl.inference.calibrate import calibrated, fit_temperature, nll_and_ece, read, with_temperature, write
from resnet_tl.inference.calibrate import calibration_of as fitted_to
from resnet_tl.inference.predictor import one_network
from resnet_tl.metrics import log_softmax
from tests.resnet_tl.trained import Trained


def overconfident(by: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities, and labels drawn from those of a network that is less sure by a factor."""
    draws = np.random.default_rng(0)
    logits_NK = draws.normal(0, 2, (count, 4))
    p_NK = np.exp(log_softmax(logits_NK))
    labels_N = np.array([draws.choice(4, p=p_K) for p_K in p_NK])
    return log_softmax(by * logits_NK), labels_N


@pytest.mark.parametrize("by", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_factor_that_the_network_is_too_sure_by(by: float) -> None:
    log_p_NK, labels_N = overconfident(by)
    temperature = fit_temperature(log_p_NK, labels_N)
    assert temperature == pytest.approx(by, rel=0.05)
    best = minimize_scalar(lambda t: nll_and_ece(with_temperature(log_p_NK, t), labels_N)[0], bounds=(0.1, 10))
    assert temperature == pytest.approx(best.x, rel=1e-4)
    after_NK = with_temperature(log_p_NK, temperature)
    assert np.array_equal(after_NK.argmax(1), log_p_NK.argmax(1))
    assert nll_and_ece(after_NK, labels_N)[1] < 0.03
    assert by != 3.0 or nll_and_ece(log_p_NK, labels_N)[1] > 0.1


def test_where_no_temperature_is_best_there_is_none() -> None:
    log_p_NK, _ = overconfident(1.0, count=50)
    with pytest.raises(DataError, match="it gets all 50 right"):
        fit_temperature(log_p_NK, log_p_NK.argmax(1))
    with pytest.raises(DataError, match="better than chance"):
        fit_temperature(log_p_NK, log_p_NK.argmin(1))
    labels_N = log_p_NK.argmax(1)
    labels_N[:5] = log_p_NK.argmin(1)[:5]
    with pytest.raises(DataError, match="has learnt next to nothing"):
        fit_temperature(log_softmax(1e-6 * np.sign(log_p_NK - log_p_NK.mean(1, keepdims=True))), labels_N)


def test_a_temperature_belongs_to_the_weights_that_it_was_fitted_to(three: Trained) -> None:
    network = one_network(three.checkpoint)
    with pytest.raises(CheckpointError, match="calibration.json must hold the network's temperature, but is not there"):
        calibrated(network)
    draws = np.random.default_rng(0)
    log_p_NK = log_softmax(draws.normal(0, 1, (30, 3)))
    labels_N = np.where(draws.random(30) < 0.7, log_p_NK.argmax(1), 0)
    path = Path(three.checkpoint) / "calibration.json"
    try:
        write(three.checkpoint, fitted_to(network.card, log_p_NK, labels_N, split="val"))
        stored = read(three.checkpoint, network.card)
        assert stored.num_images == 30
        pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 36, 36), dtype=np.uint8)
        assert np.allclose(
            calibrated(network).log_p_BK(pixels), log_softmax(network.log_p_BK(pixels) / stored.temperature)
        )
        content = json.loads(path.read_text())
        for wrong, match in (
            ({"weights_sha256": ["0" * 64]}, "fitted to the weights beside it, but was to others"),
            ({"temperature": 0}, "is damaged"),
        ):
            path.write_text(json.dumps(content | wrong))
            with pytest.raises(CheckpointError, match=match):
                calibrated(network)
    finally:
        path.unlink()
