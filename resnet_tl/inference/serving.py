"""What MLflow's model server calls: image files as bytes in, classes with their probabilities out.

It knows nothing of MLflow, which finds `_load_pyfunc` by its name.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.errors import DataError
from resnet_tl.inference.answers import answers
from resnet_tl.inference.pictures import of_files
from resnet_tl.inference.predictor import Predictor, predictor_of

IMAGE = "image"
"""The column of the input: the content of an image file each, of any format that the predictor reads."""


class Service:
    """Answers requests with one stored network."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: Mapping[str, Sequence[bytes]], params: Any = None) -> list[dict[str, Any]]:
        """One answer for each image, in their order: `class`, its `probability`, and the `probabilities` of all.

        Args:
            model_input: a data frame with the column `image`.
            params: MLflow hands some over; there are none.

        Raises:
            DataError: an image cannot be read; all of the request at once.
        """
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / str(number) for number in range(len(model_input[IMAGE]))]
            for path, content in zip(paths, model_input[IMAGE], strict=True):
                path.write_bytes(content)
            found = list(answers(self._predictor, of_files(paths)))
        bad = [f"Image {number} of the request {answer.bad}." for number, answer in enumerate(found) if answer.bad]
        if bad:
            raise DataError(*bad)
        return [self._told(np.exp(answer.log_p_K)) for answer in found if answer.log_p_K is not None]

    def _told(self, p_K: Any) -> dict[str, Any]:
        best = int(p_K.argmax())
        return {
            "class": self._predictor.classes[best],
            "probability": float(p_K[best]),
            "probabilities": {name: float(p) for name, p in zip(self._predictor.classes, p_K, strict=True)},
        }


def _load_pyfunc(path: str) -> Service:
    """Loads the network of a checkpoint folder; the name is MLflow's."""
    return Service(predictor_of(Path(path)))
