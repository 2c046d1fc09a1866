"""Tasks compute as a fit by itself does."""

import pytest
import torch

from resnet_tl.data.batches import Normalisation, measured
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.identity import Environment
from resnet_tl.training.member import Member
from sweeps.execution.tasks import Train
from tests.conftest import trial


def test_pixels_are_measured_with_the_threads_of_the_environment(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counted(images: Images) -> Normalisation:
        seen.append(torch.get_num_threads())
        return measured(images)

    monkeypatch.setattr("resnet_tl.model.starting_point.measured", counted)
    monkeypatch.setattr("resnet_tl.model.runtime.own_process", lambda: None)
    monkeypatch.setattr("sweeps.execution.tasks._loaded", [])
    threads = torch.get_num_threads()
    for wanted in (threads + 1, threads + 2):
        environment = Environment(device="cpu", threads=wanted)
        member = Member(trial=trial(epochs=1), seed=0)
        Train(runs=(member,), data=prepared, environment=environment, features=None)("cpu", lambda *_: None)
    assert seen == [threads + 1, threads + 2]
    assert torch.get_num_threads() == threads
