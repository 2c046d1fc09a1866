"""What a library function sets for the whole process is put back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resnet_tl.data.batches import Normalisation, measured
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.identity import Environment
from resnet_tl.inference.predict import predict
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import starting_point
from resnet_tl.result import Epoch
from resnet_tl.training.check import compare
from resnet_tl.training.member import Member
from resnet_tl.training.seed_run import fit, fit_heads
from tests.conftest import numbers, trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")

TWO = Environment(device="cpu", threads=2)


def settings() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_rng_state().sum().item(),
    )


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """Unusual settings, none of which a fit asks for, must be there afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("medium")
    torch.set_default_dtype(torch.float64)
    before = settings()
    yield
    after = settings()
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.set_default_dtype(torch.float32)
    assert after == before


def test_inside_it_is_as_asked() -> None:
    with computing(device="cuda", threads=2):
        assert settings()[:-1] == (2, False, True, True, False, "highest", torch.float32, True, True)
        with computing(device="cpu", threads=1):
            assert settings()[0] == 1
            assert settings()[5:7] == ("highest", torch.float32)
        assert settings()[0] == 2


def test_an_error_inside_puts_it_back() -> None:
    with pytest.raises(KeyError), computing(device="cuda", threads=2):
        raise KeyError


@pytest.mark.parametrize("changes", [{}, {"freeze": "all", "augment": "rotation"}, {"lr": 1e30}])
def test_after_a_fit(prepared: Prepared, tmp_path: Path, changes: dict[str, object]) -> None:
    seen: list[int] = []
    config = trial(**changes)
    result = fit(
        config,
        prepared,
        seed=0,
        environment=TWO,
        folder=tmp_path,
        on_epoch=lambda _: seen.append(torch.get_num_threads()),
    )
    assert result.state == ("diverged" if "lr" in changes else "complete")
    assert set(seen) == (set() if "lr" in changes else {1} if "freeze" in changes else {2})
    if result.state == "complete":
        predict(tmp_path / "checkpoint", [Path(prepared.load().names[0])])


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_numbers_do_not_depend_on_what_the_process_is_set_to(prepared: Prepared, tmp_path: Path, freeze: str) -> None:
    config, files = trial(freeze=freeze, head="mlp_relu", epochs=1), [Path(prepared.load().names[0])]

    def made(folder: Path) -> tuple[object, object]:
        result = fit(config, prepared, seed=0, environment=TWO, folder=folder)
        return numbers(result), predict(folder / "checkpoint", files)[1].tolist()

    here = made(tmp_path / "here")
    torch.set_float32_matmul_precision("highest")
    torch.set_default_dtype(torch.float32)
    usual = made(tmp_path / "usual")
    torch.set_float32_matmul_precision("medium")
    torch.set_default_dtype(torch.float64)
    assert here == usual


@pytest.mark.parametrize("alone", [True, False])
def test_pixels_are_measured_with_the_threads_of_the_environment(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    seen: list[int] = []

    def counted(images: Images) -> Normalisation:
        seen.append(torch.get_num_threads())
        return measured(images)

    monkeypatch.setattr("resnet_tl.model.starting_point.measured", counted)
    member = Member(trial=trial(freeze="all", epochs=1), seed=0)
    if alone:
        fit(member.trial, prepared, seed=0, environment=TWO)
    else:
        fit_heads([member, member], prepared, environment=TWO)
    assert seen == [2]


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_after_an_error_in_a_fit(prepared: Prepared, freeze: str) -> None:
    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trial(freeze=freeze), prepared, seed=0, environment=TWO, on_epoch=stop)


def test_after_computing_features_checking_them_and_training_on_them(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    for freeze in ("all", "layer3"):
        config = trial(weights=weights["resnet18"], freeze=freeze)
        place = materialised(config, images, tmp_path, TWO)
        members = [Member(trial=config, seed=seed) for seed in (0, 1)]
        start = starting_point(config, images)
        assert compare(members, start, environment=TWO, device="cpu", features=place) is None
    fit_heads([Member(trial=trial(freeze="all"), seed=0)], images, environment=TWO)
