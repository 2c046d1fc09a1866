"""The check of stored features on the machine at hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import PLAIN, View
from resnet_tl.features.store import Stored, num_rows
from resnet_tl.model.starting_point import StartingPoint, starting_point
from resnet_tl.training.check import compare
from resnet_tl.training.member import Member
from tests.conftest import CPU, trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


def test_the_check_on_the_machine_at_hand_finds_a_wrong_row_of_any_split_and_view(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    for freeze in ("all", "layer3"):
        config = trial(weights=weights["resnet18"], freeze=freeze, augment="hflip")
        place = materialised(config, images, tmp_path)
        start = starting_point(config, images)
        members = [Member(trial=config, seed=seed) for seed in ((0, 1) if freeze == "all" else (0,))]

        def found(
            members: Sequence[Member] = members, start: StartingPoint = start, place: Stored = place
        ) -> str | None:
            return compare(members, start, environment=CPU, device="cpu", features=place)

        assert found() is None
        for view, split in ((PLAIN, "train"), (PLAIN, "val"), (PLAIN, "test"), (View(hflip=True), "train")):
            path = Path(place.folders[view]) / "outputs.bin"
            rows = np.memmap(path, dtype="<f4", mode="r+").reshape(num_rows(view, images), -1)
            row = images.load().splits[split][0] if view == PLAIN else 0
            before = rows[row, 5]
            rows[row, 5] += 1
            assert f"{split} images ({view.name};" in str(found())
            rows[row, 5] = before
        assert found() is None
