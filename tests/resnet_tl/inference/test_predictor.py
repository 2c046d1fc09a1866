"""One network, and the mean of several."""

from pathlib import Path

import numpy as np
import pytest

from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.inference.predict import classify
from resnet_tl.inference.predictor import checkpoints_of, predictor_of
from tests.resnet_tl.trained import Trained, train


@pytest.fixture(scope="module")
def another(three: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("another"), three.config, lr=0.003)


def images_of(trained: Trained) -> list[Path]:
    return sorted(Path(str(trained.config.root)).rglob("*.png"))


def test_probabilities_of_several_networks_are_averaged(three: Trained, another: Trained) -> None:
    paths = images_of(three)[::7]
    alone = [classify(folder, paths).probabilities_NK for folder in (three.checkpoint, another.checkpoint)]
    together = classify([three.checkpoint, another.checkpoint], paths).probabilities_NK
    assert not np.allclose(*alone, atol=1e-3)
    assert np.allclose(together, np.mean(alone, axis=0), atol=1e-12)
    assert np.array_equal(classify([three.checkpoint], paths).probabilities_NK, alone[0])


def test_networks_of_other_classes_or_another_reading_are_not_averaged(three: Trained, two: Trained) -> None:
    with pytest.raises(CheckpointError) as error:
        predictor_of([three.checkpoint, two.checkpoint])
    assert "has bars, dots, rings and" in error.value.problems[0]
    assert "have channels 3 and 1, size (36, 36) and (32, 32), crop 32 and None." in error.value.problems[1]


def test_a_checkpoint_is_a_folder_a_file_in_it_or_a_list(tmp_path: Path) -> None:
    assert checkpoints_of("run/a") == [Path("run/a")]
    assert checkpoints_of("run/a/model.json") == [Path("run/a")]
    assert checkpoints_of("[run/a, run/b]") == [Path("run/a"), Path("run/b")]
    odd = tmp_path / "[a, b]"
    odd.mkdir()
    assert checkpoints_of(str(odd)) == [odd]
    for text in ("[]", "[run/a, run/a/model.json]"):
        with pytest.raises(ConfigError, match="must name a network, or several, each once"):
            checkpoints_of(text)
