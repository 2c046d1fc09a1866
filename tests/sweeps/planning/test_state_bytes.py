"""What a dry run says of training states is what they take on the disk."""

from pathlib import Path

import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.training.seed_run import fit
from sweeps.planning.feature_reuse import state_bytes
from tests.conftest import CPU, trial


@pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")
@pytest.mark.parametrize("changes", [{}, {"momentum": 0.0}, {"optimizer": "adam", "freeze": "layer3"}])
def test_a_state_takes_as_much_as_announced(prepared: Prepared, tmp_path: Path, changes: dict[str, object]) -> None:
    config = trial(epochs=2, **changes)
    result = fit(config, prepared, seed=0, environment=CPU, folder=tmp_path, until=1)
    assert result.state == "paused"
    assert (tmp_path / "state.pt").stat().st_size == pytest.approx(state_bytes(config, prepared), rel=0.02)
