import contextlib
import hashlib
import http.client
import json
import shutil
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision.models
from safetensors.torch import save_file

from resnet_tl.errors import CheckpointError, WeightsError
from resnet_tl.model import weights
from tests.conftest import trial


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(torchvision.models.resnet18(weights=None).state_dict())


def published(monkeypatch: pytest.MonkeyPatch, hub: Path, state: dict[str, torch.Tensor]) -> Path:
    """Lays a file into torch's cache as torchvision would have downloaded it, named by its own hash."""
    folder = hub / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "x.pth")
    sha256 = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()
    path = (folder / "x.pth").rename(folder / f"resnet18-{sha256[:8]}.pth")
    entry = SimpleNamespace(url=f"https://example.org/models/{path.name}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: {"IMAGENET1K_V1": entry})
    return path


def test_torchvisions_cache_is_used_and_its_hash_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]
) -> None:
    path = published(monkeypatch, tmp_path, state)
    loaded = weights.load("imagenet", "resnet18")
    assert torch.equal(loaded.state["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert "fc.weight" not in loaded.state
    assert loaded.mean == weights.IMAGENET_MEAN
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or cut short"):
        weights.load("imagenet", "resnet18")


def test_the_normalisation_is_torchvisions() -> None:
    transforms = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert (tuple(transforms.mean), tuple(transforms.std)) == (weights.IMAGENET_MEAN, weights.IMAGENET_STD)


def test_weights_that_cannot_be_downloaded_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(
        WeightsError, match=r"must be downloaded once.*no network.*get_state_dict.*resnet18-f37072fd.pth"
    ):
        weights.load("imagenet", "resnet18")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_plain_state_dicts_are_read(tmp_path: Path, suffix: str, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / f"my weights (1){suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    loaded = weights.load(str(path), "resnet18")
    assert torch.equal(loaded.state["conv1.weight"], state["conv1.weight"])
    assert weights.identity(str(path), "resnet18") == f"sha256:{loaded.sha256}"


def test_the_memory_order_of_a_file_does_not_matter(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "other.pth"
    turned = {name: t.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1) for name, t in state.items() if t.dim() == 4}
    assert not any(tensor.is_contiguous() for tensor in turned.values() if min(tensor.shape) > 1)
    torch.save(state | turned, path)
    loaded = weights.load(str(path), "resnet18").state
    for name, tensor in loaded.items():
        assert tensor.is_contiguous(), name
        assert torch.equal(tensor, state[name])


def test_a_file_beside_a_checkpoint_stands_for_itself(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    (tmp_path / "model.json").write_text("{}")
    torch.save(state, tmp_path / "other.pth")
    loaded = weights.load(str(tmp_path / "other.pth"), "resnet18")
    assert weights.identity(str(tmp_path / "other.pth"), "resnet18") == f"sha256:{loaded.sha256}"
    for spec in (tmp_path, tmp_path / "model.json"):
        with pytest.raises(CheckpointError, match=r"model.json is damaged"):
            weights.identity(str(spec), "resnet18")


def test_files_that_do_not_fit_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="must hold the weights of a resnet34, but .* tensors are missing"):
        weights.load(str(tmp_path / "a.pth"), "resnet34")
    del state["layer2.0.bn1.running_mean"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"1 tensors are missing.*running_mean"):
        weights.load(str(tmp_path / "b.pth"), "resnet18")
    (tmp_path / "c.pth").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load(str(tmp_path / "c.pth"), "resnet18")
    torch.save([1, 2], tmp_path / "d.pth")
    with pytest.raises(WeightsError, match="must be a plain state dict"):
        weights.load(str(tmp_path / "d.pth"), "resnet18")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".bin", ""])
@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda s: s, None),
        (lambda s: {f"module.{n}": t for n, t in s.items()}, "are those of module.*"),
        (lambda s: {f"model.encoder.{n}": t for n, t in s.items()}, "are those of model.encoder.*"),
        (lambda s: {"model_state_dict": s, "epoch": 3, "optimizer": {"state": {}}}, "are those of model_state_dict"),
        (lambda s: {"ema": s}, "are those of ema"),
        (
            lambda s: {"state_dict": {f"net.{n}": t for n, t in s.items()} | {"projector.weight": torch.ones(2)}},
            "are those of state_dict → net.*",
        ),
        (lambda s: {"a": {"b": {f"_orig_mod.{n}": t for n, t in s.items()}}}, "are those of a → b → _orig_mod.*"),
    ],
)
def test_wrapped_and_prefixed_weights_are_found_whatever_the_suffix(
    tmp_path: Path, suffix: str, wrap: Callable[[Any], Any], said: str | None, state: dict[str, torch.Tensor]
) -> None:
    path, content = tmp_path / f"w{suffix}", wrap(state)
    if suffix == ".safetensors" and any(isinstance(value, dict) for value in content.values()):
        torch.save(content, path)  # which is none
    elif suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    loaded = weights.load(str(path), "resnet18")
    assert torch.equal(loaded.state["layer3.0.downsample.0.weight"], state["layer3.0.downsample.0.weight"])
    assert (said in loaded.said[0]) if said else loaded.said == ()
    assert weights.check(str(path), "resnet18") == loaded.said


def test_the_moving_average_gives_way_to_the_weights_themselves(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    other = {name: tensor + 1 for name, tensor in state.items()}
    for names in ({"state_dict": state, "state_dict_ema": other}, {"model": state, "ema": other}):
        torch.save(names, tmp_path / "w.pth")
        loaded = weights.load(str(tmp_path / "w.pth"), "resnet18")
        assert torch.equal(loaded.state["conv1.weight"], state["conv1.weight"])
        assert "is not used" in loaded.said[1]
    torch.save({f"{side}.{n}": t for side in ("encoder_q", "encoder_k") for n, t in state.items()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"of one network, but holds 2; .*\n  encoder_q.\*\n  encoder_k.\*"):
        weights.load(str(tmp_path / "w.pth"), "resnet18")


def nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("layer1.0.conv1.weight", lambda t: t.permute(3, 2, 1, 0).contiguous(), r"is \[3, 3, 64, 64\]|another shape"),
        ("layer1.0.conv1.weight", lambda t: t.flatten(), "1 of another shape"),
        ("conv1.weight", lambda t: t.flatten(), "1 of another shape"),
        ("bn1.running_mean", lambda t: t[:1], "1 of another shape"),
        ("conv1.weight", nan, "conv1.weight: 1 of 9408 numbers are NaN or infinite"),
        ("bn1.running_var", lambda t: t / 0, "bn1.running_var: 64 of 64 numbers"),
        ("bn1.running_var", lambda t: -t, "a variance is negative"),
        ("bn1.weight", lambda t: t.long(), "bn1.weight: is int64"),
        ("bn1.weight", lambda t: t.to(torch.complex64), "bn1.weight: is complex64"),
        ("bn1.weight", lambda t: t.to_sparse(), "without its values, sparse, or quantised"),
        ("bn1.running_var", lambda t: (-t).to(torch.float8_e4m3fn), "a variance is negative"),
        ("bn1.weight", lambda t: torch.empty(64, dtype=torch.float4_e2m1fn_x2), "without its values"),
    ],
)
def test_tensors_that_no_network_can_be_made_of_are_refused(
    tmp_path: Path, name: str, change: Callable[[Any], Any], message: str, state: dict[str, torch.Tensor]
) -> None:
    torch.save(state | {name: change(state[name])}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        weights.check(str(tmp_path / "w.pth"), "resnet18")


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
def test_a_counter_of_batches_decides_nothing(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    scalars = (3, 3.0, float("nan"), float("inf"), 1e300, True)
    odd = [torch.tensor(value) for value in scalars] + [
        torch.tensor([3.0]),
        torch.ones(2),
        torch.empty((), device="meta"),
        torch.ones(1).to_sparse(),
        torch.quantize_per_tensor(torch.tensor(3.0), 0.1, 0, torch.qint8),
        torch.tensor(3.0).to(torch.float8_e5m2),
        torch.tensor(3 + 1j),
    ]
    for count in odd:
        torch.save(state | {"bn1.num_batches_tracked": count}, tmp_path / "w.pth")
        loaded = weights.load(str(tmp_path / "w.pth"), "resnet18").state["bn1.num_batches_tracked"]
        assert (loaded.shape, loaded.dtype) == ((), torch.int64)


class Anything:
    """Of some training script."""


def test_files_with_python_objects_say_what_to_store(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({"state_dict": state, "args": Anything()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds Python objects.*torch.save\(model.state_dict\(\)"):
        weights.load(str(tmp_path / "w.pth"), "resnet18")


def test_whether_published_weights_can_be_had_is_known_without_downloading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(WeightsError, match=r"must be downloaded once.*no network.*resnet18-f37072fd.pth"):
        weights.check("imagenet", "resnet18")
    answer = SimpleNamespace(headers={"Content-Length": "46830571"})
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: contextlib.nullcontext(answer))
    assert weights.check("imagenet", "resnet18")[0].startswith(
        "The weights IMAGENET1K_V1 of resnet18 will be downloaded once (47 MB)"
    )
    assert weights.check("none", "resnet18") == ()
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize(
    "raised", [http.client.BadStatusLine("x"), http.client.InvalidURL("nonnumeric port: 'geheim'")]
)
def test_an_answer_that_is_none_and_a_wrong_proxy_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise raised

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("torch.hub.urlopen", fail)
    for ask in (weights.check, weights.load):
        with pytest.raises(WeightsError, match="must be downloaded once, but that failed: ") as caught:
            ask("imagenet", "resnet18")
        assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.pth", "which does not exist"),
        ("imagnet", "did you mean `imagenet`"),
        ("IMAGENET1K_V2", "must be one of IMAGENET1K_V1"),
    ],
)
def test_names_that_mean_nothing_are_refused(spec: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.identity(spec, "resnet18")


def test_identities_need_no_file_for_published_weights() -> None:
    assert weights.identity("imagenet", "resnet18") == "torchvision/resnet18/IMAGENET1K_V1"
    assert weights.identity("imagenet", "resnet50") == weights.identity("IMAGENET1K_V2", "resnet50")
    assert weights.identity(trial().weights, "resnet18") == "none"


def test_a_checkpoint_comes_after_what_it_stands_on(tmp_path: Path) -> None:
    def card(folder: Path, base: Path | None) -> Path:
        folder.mkdir()
        content = {"address": str(base), "sha256": "b"} if base else None
        text = {"tensors_sha256": "t", "channels": 3, "trial": {"backbone": "resnet18"}, "base": content}
        (folder / "model.json").write_text(json.dumps(text))
        return folder

    first = card(tmp_path / "first", None)
    second = card(tmp_path / "second", first)
    assert list(weights.files_of(str(second), "resnet18").items()) == [(str(first), first), (str(second), second)]
    assert weights.files_of(str(second / "model.json"), "resnet18")[str(second)] == second
    assert weights.files_of("imagenet", "resnet18") == weights.files_of("none", "resnet18") == {}
    shutil.rmtree(first)
    with pytest.raises(WeightsError, match="first, which does not exist"):
        weights.files_of(str(second), "resnet18")
