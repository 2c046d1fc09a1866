"""One temperature for a network's probabilities, so that it is right as often as it is sure.

    CHECKPOINT/calibration.json   the temperature, how it was fitted, and for which weights

Logits are divided by it, which changes no predicted class. Source: Guo et al. 2017, "On Calibration of Modern Neural
Networks", section 4.2.

Axes: B images of a batch, C channels, H W pixels, K classes, N images, R bins of probability.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from resnet_tl import predictions
from resnet_tl.errors import CheckpointError, DataError
from resnet_tl.files import write_text
from resnet_tl.inference.predictor import OneNetwork, Predictor, Reading
from resnet_tl.metrics import Floats, Ints, log_softmax
from resnet_tl.model.checkpoint import Card

FILE = "calibration.json"
_LEAST, _MOST = 1e-3, 1e3
"""Temperatures outside of these are none: the network is always right, or never better than chance."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fitted temperature; `read` holds the file to these types."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: Annotated[float, Field(ge=_LEAST, le=_MOST)]
    fitted_on: str
    """The split."""
    num_images: Annotated[int, Field(ge=1)]
    nll: tuple[float, float]
    """Mean negative log-likelihood in nats on these images, before and after."""
    ece: tuple[float, float]
    """Expected calibration error on them, a fraction."""
    weights_sha256: tuple[str, ...]
    """Of the tensors of the checkpoint, and of the starting weights of one that is not complete."""


def fit_temperature(log_p_NK: Floats, labels_N: Ints) -> float:
    """The temperature with the least mean negative log-likelihood.

    That is convex in the inverse temperature b, with the derivative mean(sum_k p_k z_k - z_true) at p = softmax(b z),
    so the derivative's zero is found by bisection.

    Raises:
        DataError: there is none, since the network is right on all images, or no better than chance.
    """
    rows_N = np.arange(len(labels_N))

    def slope(inverse: float) -> float:
        p_NK = np.exp(log_softmax(inverse * log_p_NK))
        return float(((p_NK * log_p_NK).sum(-1) - log_p_NK[rows_N, labels_N]).mean())

    low, high = np.log(1 / _MOST), np.log(1 / _LEAST)
    if (log_p_NK[rows_N, labels_N] == log_p_NK.max(-1)).all():
        raise DataError(
            f"A temperature needs images that the network gets wrong, but it gets all {len(labels_N)} right, and would "
            "be the better the surer it were; bring more images, or use its probabilities as they are."
        )
    if slope(float(np.exp(low))) > 0:
        raise DataError(
            "A temperature needs a network that is better than chance on the images it is fitted to, but this one is "
            "not; were they given the right labels?"
        )
    if slope(float(np.exp(high))) < 0:
        raise DataError(
            f"A temperature must be at least {_LEAST:g}, but this network's outputs hardly differ between classes, and "
            "would have to be sharpened beyond that: it has learnt next to nothing."
        )
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(float(np.exp(middle))) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def with_temperature(log_p_NK: Floats, temperature: float) -> Floats:
    """Log probabilities, calibrated."""
    return log_softmax(log_p_NK / temperature)


def nll_and_ece(log_p_NK: Floats, labels_N: Ints) -> tuple[float, float]:
    """Mean negative log-likelihood in nats, and expected calibration error as a fraction.

    Source: Guo et al. 2017, section 2, equation 3.
    """
    nll = -log_p_NK[np.arange(len(labels_N)), labels_N].mean()
    sure_R, right_R = predictions.reliability_R3(log_p_NK, labels_N)[:, 1:].T
    return float(nll), float(np.abs(sure_R - right_R).sum() / len(labels_N))


def calibration_of(card: Card, log_p_NK: Floats, labels_N: Ints, *, split: str) -> Calibration:
    """Fits a temperature to what a network says of the images of a split.

    Raises:
        DataError: there is none; see `fit_temperature`.
    """
    temperature = fit_temperature(log_p_NK, labels_N)
    before = nll_and_ece(log_p_NK, labels_N)
    after = nll_and_ece(with_temperature(log_p_NK, temperature), labels_N)
    return Calibration(
        temperature=temperature,
        fitted_on=split,
        num_images=len(labels_N),
        nll=(before[0], after[0]),
        ece=(before[1], after[1]),
        weights_sha256=_weights_of(card),
    )


def _weights_of(card: Card) -> tuple[str, ...]:
    return (card.tensors_sha256, *([card.base["sha256"]] if card.base else []))


def write(folder: Path, calibration: Calibration) -> None:
    """Stores it beside the network."""
    write_text(folder / FILE, json.dumps(asdict(calibration), indent=1) + "\n")


def read(folder: Path, card: Card) -> Calibration:
    """What was fitted to a stored network.

    Raises:
        CheckpointError: nothing was, or to other weights, or the file is damaged.
    """
    path = folder / FILE
    how = "fit one with python -m resnet_tl.evaluate … calibrate=true"
    try:
        found = TypeAdapter(Calibration).validate_json(path.read_text(encoding="utf-8"), strict=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} must hold the network's temperature, but is not there; {how}.") from None
    except (ValidationError, ValueError, OSError) as error:
        lines = str(error).splitlines()
        raise CheckpointError(
            f"{path} must hold the network's temperature, but is damaged: {lines[0]}; {how}."
        ) from None
    if found.weights_sha256 != _weights_of(card):
        raise CheckpointError(
            f"{path} must be fitted to the weights beside it, but was to others ({found.weights_sha256[0][:12]}…); "
            f"{how}."
        )
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """See `Predictor`: a network whose probabilities have a temperature."""

    network: Predictor
    temperature: float

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.network.classes

    @property
    def reading(self) -> Reading:
        """See `Predictor`."""
        return self.network.reading

    @property
    def cards(self) -> tuple[Card, ...]:
        """See `Predictor`."""
        return self.network.cards

    def log_p_BK(self, pixels_BCHW: NDArray[np.generic]) -> Floats:
        """See `Predictor`."""
        return with_temperature(self.network.log_p_BK(pixels_BCHW), self.temperature)


def calibrated(predictor: Predictor) -> Calibrated:
    """A stored network with its stored temperature.

    Raises:
        CheckpointError: it has none, or there are several networks, whose mean no stored temperature was fitted to.
    """
    one = single(predictor, "a temperature is fitted to one")
    return Calibrated(network=one, temperature=read(one.folder, one.card).temperature)


def single(predictor: Predictor, why: str) -> OneNetwork:
    """The network, where there is one alone.

    Raises:
        CheckpointError: there are several.
    """
    if not isinstance(predictor, OneNetwork):
        raise CheckpointError(f"`checkpoint` must name one network here, since {why}, but names several.")
    return predictor
