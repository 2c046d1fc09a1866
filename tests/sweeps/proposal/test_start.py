"""Starting weights: what was asked for, or a word of why not."""

from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError, WeightsError
from resnet_tl.model import weights
from sweeps.proposal.start import STAGE, choose


def unreachable(spec: str, backbone: str) -> tuple[str, ...]:
    raise WeightsError(
        "The weights must be downloaded once, but that failed: no route. On a machine with a connection, …"
    )


def test_imagenet_is_taken_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "check", lambda spec, backbone: ())
    assert choose(None, "resnet18", can_turn=True).weights == "imagenet"


def test_without_a_connection_a_stage_takes_its_place_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "check", unreachable)
    start = choose(None, "resnet18", can_turn=True)
    assert start.weights == STAGE
    assert "no route" in start.why
    assert "weights=imagenet" in start.why


def test_imagenet_that_was_asked_for_and_cannot_be_had_is_an_error_with_the_edit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "check", unreachable)
    with pytest.raises(WeightsError, match=r"no route.*\n.*weights=rotations"):
        choose("imagenet", "resnet18", can_turn=True)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        choose(str(tmp_path / "none.pth"), "resnet18", can_turn=True)


def test_arrays_cannot_be_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "check", unreachable)
    start = choose(None, "resnet18", can_turn=False)
    assert start.is_nothing
    assert "no route" in start.why
    with pytest.raises(ConfigError, match="arrays"):
        choose("rotations", "resnet18", can_turn=False)


def test_none_and_rotations_are_what_they_say() -> None:
    assert choose("none", "resnet18", can_turn=True).is_nothing
    assert choose("rotations", "resnet18", can_turn=True).is_stage
