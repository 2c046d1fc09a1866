"""What a model server is told of images."""

import numpy as np
import pytest

from resnet_tl.errors import DataError
from resnet_tl.inference.predict import classify
from resnet_tl.inference.serving import _load_pyfunc
from tests.resnet_tl.inference.test_predictor import images_of
from tests.resnet_tl.trained import Trained


def test_images_sent_as_bytes_get_the_answers_of_predict(three: Trained) -> None:
    paths = images_of(three)[::9]
    expected = classify(three.checkpoint, paths)
    told = _load_pyfunc(str(three.checkpoint)).predict({"image": [path.read_bytes() for path in paths]})
    assert [list(answer["probabilities"]) for answer in told] == [["bars", "dots", "rings"]] * len(paths)
    p_NK = np.array([list(answer["probabilities"].values()) for answer in told])
    assert np.allclose(p_NK, expected.probabilities_NK, atol=1e-12)
    for answer in told:
        assert (
            answer["probability"] == max(answer["probabilities"].values()) == answer["probabilities"][answer["class"]]
        )


def test_every_image_of_a_request_that_cannot_be_read_is_named(three: Trained) -> None:
    good = images_of(three)[0].read_bytes()
    with pytest.raises(DataError, match="Image 1 of the request is empty") as error:
        _load_pyfunc(str(three.checkpoint)).predict({"image": [good, b"", b"no image"]})
    assert [problem[:24] for problem in error.value.problems] == [
        "Image 1 of the request i",
        "Image 2 of the request i",
    ]
