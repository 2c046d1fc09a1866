"""Reusing the frozen front, and training heads side by side, change no bit of a result."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.course import Member
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.views import PLAIN, View, finite_views
from resnet_tl.errors import DataError
from resnet_tl.features import Features, as_stored, compute
from resnet_tl.fingerprint import Environment
from resnet_tl.fit import Run, fit
from resnet_tl.front import Front, cut_of, front_of, head_group
from resnet_tl.fused import fit_heads
from resnet_tl.model.architecture import pieces
from resnet_tl.result import Epoch
from resnet_tl.selfcheck import compare
from resnet_tl.start import Start, prepare_torch, start
from resnet_tl.store import Stored, abandon, begin, finish, num_rows, stored, verify
from tests.conftest import CPU, numbers, trial, write_images

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A state dict of each backbone, with BatchNorm statistics that are not those of a fresh network."""
    import torchvision.models

    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name in ("resnet18", "resnet34", "resnet50"):
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)()
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer += 0.1 * torch.rand_like(buffer)
        paths[name] = str(folder / f"{name}.pth")
        torch.save(network.state_dict(), paths[name])
    return paths


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Three classes of forty drawings, cropped from 40 to 32 pixels."""
    base = tmp_path_factory.mktemp("images")
    root = write_images(base / "images", count=40, size=40)
    return prepare(DataConfig(source="image_folder", root=str(root), size=40, crop=32), base / "cache")


def materialised(config: TrialConfig, data: Prepared, cache: Path, environment: Environment = CPU) -> Stored:
    """Computes what a trial can reuse, as the engine does."""
    front = front_of(config, data, "sha256:test", environment)
    views = finite_views(config.augment)
    assert front is not None
    assert views is not None
    begun = start(config, data)
    prepare_torch(environment)
    network = begun.network(config, 0, torch.device("cpu"))
    for view in views:
        making = begin([front], view, num_rows(view, data.num_images), cache)
        half = making.rows // 64 * 32
        passes = [
            compute(making, begun.images, network, begun.normalisation, crop=data.crop, first=first, end=end)
            for first, end in ((0, half), (half, making.rows))
        ]
        assert sum(passes) == making.rows
        finish(making, cache)
    return stored(front, views, cache)


@pytest.mark.parametrize("freeze", [0.7, 1.0])
def test_two_threads_have_bits_of_their_own_and_the_same_either_way(
    images: Prepared, weights: dict[str, str], tmp_path: Path, freeze: float
) -> None:
    two = Environment(device="cpu", threads=2)
    config = trial(weights=weights["resnet18"], freeze=freeze)
    place = materialised(config, images, tmp_path, two)
    results = [fit(config, images, seed=1, environment=two, features=features) for features in (None, place)]
    assert numbers(results[0]) == numbers(results[1])


FREEZES = [0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize("freeze", FREEZES)
@pytest.mark.parametrize(
    "backbone",
    ["resnet18", pytest.param("resnet34", marks=pytest.mark.slow), pytest.param("resnet50", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stored_and_recomputed_features_train_the_same_weights(
    images: Prepared, weights: dict[str, str], tmp_path: Path, freeze: float, backbone: str, precision: str
) -> None:
    config = trial(
        backbone=backbone,
        weights=weights[backbone],
        freeze=freeze,
        precision=precision,
        head="mlp_leaky_dropout",
        augment=["hflip", "five_crop"],
        batch_size=20,  # no multiple of what passes through the front at a time
        epochs=1,
    )
    place = materialised(config, images, tmp_path)
    plain = fit(config, images, seed=1, environment=CPU, folder=tmp_path / "plain")
    reused = fit(config, images, seed=1, environment=CPU, folder=tmp_path / "reused", features=place)
    assert numbers(plain) == numbers(reused)
    tensors = [(tmp_path / run / "checkpoint" / "model.safetensors").read_bytes() for run in ("plain", "reused")]
    assert tensors[0] == tensors[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("head", ["linear", "mlp_batchnorm"])
def test_the_frozen_part_is_the_same_before_and_after(
    images: Prepared, weights: dict[str, str], tmp_path: Path, head: str, optimizer: str
) -> None:
    config = trial(weights=weights["resnet18"], freeze=0.8, head=head, optimizer=optimizer, weight_decay=0.1)
    begun = start(config, images)
    run = Run(config, begun, seed=0, device=torch.device("cpu"), environment=CPU, features=None)
    moving = {name for name, _ in run.network.moving()}

    def frozen() -> dict[str, str]:
        state = run.network.state_dict()
        return {
            n: hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() for n, t in state.items() if n not in moving
        }

    before = frozen()
    run.epoch()
    assert frozen() == before
    assert len(before) > 100


HEADS = ["linear", "mlp_relu", "mlp_leaky_dropout", "mlp_batchnorm"]


def members_of(count: int, **changes: object) -> list[Member]:
    """Fits that differ in all that may differ, the third of which diverges."""
    rates = itertools.cycle([0.01, 0.1, 1e38, 0.003, 1.0])
    made = []
    for number in range(count):
        config = trial(
            freeze="all",
            lr=next(rates),
            momentum=0.9 * (number % 2),
            weight_decay=0.01 * (number % 3),
            label_smoothing=0.1 * (number % 4 == 1),
            schedule=["constant", "cosine", "step"][number % 3],
            warmup_epochs=number % 2,
            patience=1 if number % 5 == 4 else None,
            epochs=3,
            batch_size=16,
            **changes,
        )
        made.append(Member(trial=config, seed=number // 7))
    return made


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "optimizer",
    ["sgd", pytest.param("adam", marks=pytest.mark.slow), pytest.param("adamw", marks=pytest.mark.slow)],
)
def test_a_head_has_the_same_bits_in_any_company(
    images: Prepared, weights: dict[str, str], tmp_path: Path, head: str, precision: str, optimizer: str
) -> None:
    several = members_of(
        240, weights=weights["resnet18"], head=head, precision=precision, optimizer=optimizer, augment="hflip"
    )
    several = [dataclasses.replace(m, trial=m.trial.model_copy(update={"head_width": 64})) for m in several]
    place = materialised(several[0].trial, images, tmp_path)

    def run(members: Sequence[Member]) -> list[object]:
        return [numbers(result) for result in fit_heads(members, images, environment=CPU, features=place)]

    whole = run(several)
    states = [result.state for result in whole]  # type: ignore[attr-defined]
    assert states[3] == "complete"
    assert "diverged" in states if optimizer == "sgd" else True
    for n in (0, 1, 2, 3, 4, 239):
        assert run([several[n]]) == [whole[n]], "alone"
        assert run([several[2], several[n]])[1] == whole[n], "beside one that diverges"
    assert run(several[3:10]) == whole[3:10]
    plain = fit(several[3].trial, images, seed=several[3].seed, environment=CPU)
    assert numbers(plain) == whole[3], "through the backbone, with reuse off"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_heads_of_one_logit_and_weighted_classes_have_the_same_bits_in_any_company(
    weights: dict[str, str], tmp_path: Path, precision: str
) -> None:
    root = write_images(tmp_path / "images", classes=("bars", "dots"), count=30)
    for path in sorted((root / "dots").iterdir())[12:]:
        path.unlink()
    config = DataConfig(source="image_folder", root=str(root), size=32, balanced="class_weights")
    data = prepare(config, tmp_path / "cache")
    # 29 images of train: the last batch has 13, and products small enough for another kernel, if there is one
    several = members_of(24, weights=weights["resnet18"], precision=precision)
    place = materialised(several[0].trial, data, tmp_path)
    whole = [numbers(r) for r in fit_heads(several, data, environment=CPU, features=place)]
    for n in (0, 1, 3):
        alone = fit_heads([several[n]], data, environment=CPU, features=place)
        assert numbers(alone[0]) == whole[n]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_product_has_the_same_bits_for_any_number_of_members(precision: str) -> None:
    from resnet_tl.heads import Heads
    from resnet_tl.model.network import Head

    heads = Heads([Head("linear", 4, 4, 2, 0.0)], bf16=precision == "bf16", device=torch.device("cpu"))
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    # about the sizes at which kernels change: small last batches of an epoch, rows that do not fill cache lines
    for rows, inner, columns in itertools.product((1, 3, 10), (2, 4, 5, 11, 16, 64), (9, 10, 33, 64)):
        a = torch.randn(96, inner, rows, generator=draws).transpose(1, 2)
        b = torch.randn(96, inner, columns, generator=draws)
        whole = heads._product(a, b)
        for count in (2, 3, 7, 48):
            # all of them, since another kernel differs in few of the products
            parts = [
                heads._product(*pair) for pair in zip(a.split(count), b.split(count), strict=True) if len(pair[0]) > 1
            ]
            assert torch.equal(torch.cat(parts), whole[: sum(map(len, parts))]), (rows, inner, columns, count)


def test_members_that_are_killed_go_on_in_other_company(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    several = members_of(6, weights=weights["resnet18"], head="mlp_batchnorm", optimizer="adam")
    place = materialised(several[0].trial, images, tmp_path)
    whole = fit_heads(several, images, environment=CPU, features=place)
    kept = [dataclasses.replace(m, folder=tmp_path / str(n)) for n, m in enumerate(several)]

    class Killed(Exception):
        pass

    def kill(member: int, epoch: Epoch) -> None:
        if epoch.epoch == 2 and member == 3:
            raise Killed

    with pytest.raises(Killed):
        fit_heads(kept, images, environment=CPU, features=place, on_epoch=kill, save_every_s=0)
    seen: list[tuple[int, int]] = []
    some = [kept[5], kept[1]]
    rest = fit_heads(some, images, environment=CPU, features=place, on_epoch=lambda m, e: seen.append((m, e.epoch)))
    assert [numbers(r) for r in rest] == [numbers(whole[5]), numbers(whole[1])]
    assert seen[:2] == [(0, 1), (1, 1)], "the first epoch was restored"
    assert len(seen) == sum(len(r.history) for r in rest)


NO_GRADIENT = {("mlp_batchnorm", "hidden.bias"), ("mlp_batchnorm", "norm.running_mean")}
"""BatchNorm takes the mean away, so the bias before it has a gradient of zero but for rounding, which Adam scales up
to whole steps; the running mean follows that bias."""


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_heads_follow_a_plain_module_and_torchs_optimiser(head: str, optimizer: str) -> None:
    from resnet_tl.heads import Heads, Optimizer
    from resnet_tl.model.network import Head, init_head

    def module(dtype: torch.dtype) -> Head:
        made = Head(head, 24, 16, 5, 0.5)
        init_head(made, 7)
        return made.to(dtype)

    draws = torch.Generator().manual_seed(0)
    features = torch.randn(40, 8, 24, generator=draws, dtype=torch.float64)
    labels = torch.randint(0, 5, (40, 8), generator=draws)
    keeps = (torch.rand(40, 8, 16, generator=draws) > 0.5).double()
    keep_of = (lambda t: t) if head == "mlp_leaky_dropout" else (lambda t: None)
    for dtype, steps, tolerance in ((torch.float32, 1, 1e-6), (torch.float64, 40, 1e-10)):
        plain = module(dtype)
        made = Heads([module(dtype), module(dtype)], bf16=False, device=torch.device("cpu"))
        options = {"lr": 0.02, "weight_decay": 0.1}
        if optimizer == "sgd":
            theirs: torch.optim.Optimizer = torch.optim.SGD(plain.parameters(), momentum=0.9, **options)
        else:
            cls = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
            theirs = cls(plain.parameters(), betas=(0.9, 0.999), **options)
        mine = Optimizer(optimizer, made.parameters, momentum_M=[0.9, 0.9], weight_decay_M=[0.1, 0.1])
        for step in range(steps):
            x, y, keep = features[step].to(dtype), labels[step], keep_of(keeps[step].to(dtype))
            theirs.zero_grad()
            loss = torch.nn.functional.cross_entropy(plain(x, keep), y, label_smoothing=0.1)
            loss.backward()
            one_hot = torch.nn.functional.one_hot(y, 5).to(dtype) * 0.9 + 0.1 / 5
            gradients, losses, _ = made.gradients(
                torch.stack([x, x]),
                torch.stack([one_hot, one_hot]),
                torch.full((1, 1, 1), 1 / 8, dtype=dtype),
                None if keep is None else torch.stack([keep, keep]) * 2,
            )
            if step == 0:
                total = float(torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None]).norm())
                assert float(losses[1].mean()) == pytest.approx(loss.item(), rel=1e-6)
                for name, parameter in plain.named_parameters():
                    assert parameter.grad is not None
                    error = (gradients[name][1].reshape(parameter.shape) - parameter.grad).norm()
                    scale = total if (head, name) in NO_GRADIENT else float(parameter.grad.norm())
                    assert float(error) <= tolerance * scale, name
            theirs.step()
            mine.step(made.parameters, gradients, np.array([0.02, 0.02]))
        if steps > 1:
            for name, tensor in made.of_member(1, plain).items():
                if (head, name) in NO_GRADIENT:
                    continue
                expected = plain.state_dict()[name]
                assert torch.allclose(tensor.to(dtype), expected.to(dtype), rtol=0, atol=tolerance), name
            if head != "mlp_batchnorm":
                plain.eval()
                assert torch.allclose(made.logits(torch.stack([x, x]))[0], plain(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("last", [True, False])
def test_outputs_have_the_strides_of_stored_ones(size: int, last: bool) -> None:
    wanted = (4 * size * size, 1, 4 * size, 4) if last else (4 * size * size, size * size, size, 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = torch.randn(3, 4, size, size).contiguous(memory_format=layout)
        given = as_stored(maps, last)
        assert torch.equal(given, maps)
        assert given.stride() == wanted


class TestStore:
    def test_every_field_of_the_key_counts(self, images: Prepared) -> None:
        front = front_of(trial(weights="w.pth", freeze="layer2"), images, "sha256:a", CPU)
        assert front is not None
        changes: dict[str, object] = {
            "weights": "sha256:b",
            "backbone": "resnet34",
            "cut": front.cut - 1,
            "precision": "bf16",
            "memory_format": "contiguous",
            "data": "other",
            "channels": 1,
            "input_size": (40, 40),
            "environment": Environment(device="cpu", threads=2),
        }
        assert set(changes) == {field.name for field in dataclasses.fields(Front)}
        keys = [dataclasses.replace(front, **{name: value}).key(PLAIN) for name, value in changes.items()]  # type: ignore[arg-type]
        keys += [front.key(PLAIN), front.key(View(hflip=True)), front.key(View(place="top_left"))]
        assert len(set(keys)) == len(keys)

    def test_library_versions_are_in_the_key(self, images: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
        front = front_of(trial(weights="w.pth", freeze="layer2"), images, "sha256:a", CPU)
        assert front is not None
        before = front.key(PLAIN)
        monkeypatch.setattr("resnet_tl.fingerprint.version_of", lambda name: "99.0")
        assert front.key(PLAIN) != before

    def test_a_flipped_byte_is_found_and_the_outputs_are_removed(
        self, images: Prepared, weights: dict[str, str], tmp_path: Path
    ) -> None:
        config = trial(weights=weights["resnet18"], freeze="all", augment="hflip")
        place = materialised(config, images, tmp_path)
        verify(place)
        folder = Path(place.folders[View(hflip=True)])
        content = bytearray((folder / "outputs.bin").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "outputs.bin").write_bytes(content)
        with pytest.raises(DataError, match="must have sha256 .* were removed"):
            verify(place)
        assert not folder.exists()

    def test_unfinished_outputs_have_no_name(self, images: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
        config = trial(weights=weights["resnet18"], freeze="all")
        front = front_of(config, images, "sha256:test", CPU)
        assert front is not None
        making = begin([front], PLAIN, 5, tmp_path)
        assert not front.folder(PLAIN, tmp_path).exists()
        abandon(making)
        assert list((tmp_path / "features").iterdir()) == []

    def test_one_pass_emits_every_cut(self, images: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
        configs = [trial(weights=weights["resnet18"], freeze=f) for f in ("layer1", "layer3", "all")]
        fronts = [front_of(config, images, "sha256:test", CPU) for config in configs]
        begun = start(configs[-1], images)
        network = begun.network(configs[-1], 0, torch.device("cpu"))
        rows = num_rows(PLAIN, images.num_images)
        making = begin([f for f in fronts if f], PLAIN, rows, tmp_path / "together")
        args = {"crop": images.crop, "first": 0, "end": rows}
        assert compute(making, begun.images, network, begun.normalisation, **args) == rows  # type: ignore[arg-type]
        finish(making, tmp_path / "together")
        for config, front in zip(configs, fronts, strict=True):
            assert front is not None
            apart = Features(materialised(config, images, tmp_path / "apart"), begun.images)
            together = Features(stored(front, [PLAIN], tmp_path / "together"), begun.images)
            everything = np.arange(rows)
            assert torch.equal(apart.of_view(everything), together.of_view(everything))
            table = json.loads((front.folder(PLAIN, tmp_path / "together") / "features.json").read_text())
            assert table["front"]["cut"] == front.cut


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"freeze": "layer2"}, "layer2.1"),
        ({"freeze": 0.7}, "layer4.1.conv1"),
        ({"freeze": 0.9}, "layer4.1.conv2"),
        ({"freeze": 0.4}, "layer3.1"),
        ({"freeze": "all"}, "pool"),
        ({"freeze": 1.0, "augment": ["hflip", "vflip", "five_crop"]}, "pool"),
        ({"trainable_blocks": 1}, "layer4.0"),
        ({"freeze": "conv1"}, "stem"),
    ],
)
def test_the_cut_is_behind_the_last_piece_that_is_frozen_whole(
    images: Prepared, changes: dict[str, object], last: str
) -> None:
    config = trial(weights="w.pth", **changes)
    front = front_of(config, images, "x", CPU)
    assert front is not None
    assert pieces("resnet18")[front.cut - 1] == last


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": "none"},
        {"freeze": "layer2", "bn": "batch_stats"},
        {"freeze": "layer2", "bn": "train_affine"},
        {"freeze": "layer2", "augment": "random_crop"},
        {"freeze": "all", "augment": "rotation"},
        {"freeze": "all", "augment": ["hflip", "mixup"]},
        {"freeze": "all", "weights": "none"},
    ],
)
def test_what_can_change_is_never_stored(images: Prepared, changes: dict[str, object]) -> None:
    assert front_of(trial(**{"weights": "w.pth"} | changes), images, "x", CPU) is None


def test_a_head_on_endless_augmentation_still_goes_through_the_kernel_of_heads(images: Prepared) -> None:
    config = trial(freeze="all", augment="rotation")
    assert cut_of(config, 3) == len(pieces("resnet18"))
    assert head_group(config) == head_group(trial(freeze=1.0, augment="rotation", lr=0.5, epochs=9, momentum=0.0))
    assert head_group(config) != head_group(trial(freeze="all", augment="rotation", batch_size=4))


def test_scores_do_not_depend_on_how_many_are_computed_at_a_time(
    images: Prepared, weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = members_of(7, weights=weights["resnet18"])
    place = materialised(several[0].trial, images, tmp_path)
    whole = [numbers(r) for r in fit_heads(several, images, environment=CPU, features=place)]
    for at_once in (1, 3 * 3 * images.num_images["train"]):
        monkeypatch.setattr("resnet_tl.fused.SCORED_AT_ONCE", at_once)
        assert [numbers(r) for r in fit_heads(several, images, environment=CPU, features=place)] == whole


def test_the_check_on_the_machine_at_hand_finds_a_wrong_row_of_any_split_and_face(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    for freeze in ("all", "layer3"):
        config = trial(weights=weights["resnet18"], freeze=freeze, augment="hflip")
        place = materialised(config, images, tmp_path)
        begun = start(config, images)
        members = [Member(trial=config, seed=seed) for seed in ((0, 1) if freeze == "all" else (0,))]

        def found(members: Sequence[Member] = members, begun: Start = begun, place: Stored = place) -> str | None:
            return compare(members, begun, environment=CPU, device="cpu", features=place)

        assert found() is None
        for view, split in ((PLAIN, "train"), (PLAIN, "val"), (PLAIN, "test"), (View(hflip=True), "train")):
            path = Path(place.folders[view]) / "outputs.bin"
            rows = np.memmap(path, dtype="<f4", mode="r+").reshape(num_rows(view, images.num_images), -1)
            row = images.load().splits[split][0] if view == PLAIN else 0
            before = rows[row, 5]
            rows[row, 5] += 1
            assert f"{split} images ({view.name};" in str(found())
            rows[row, 5] = before
        assert found() is None


def test_outputs_that_were_half_removed_are_made_anew(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    config = trial(weights=weights["resnet18"], freeze="all")
    place = materialised(config, images, tmp_path)
    (Path(place.folders[PLAIN]) / "features.json").unlink()
    verify(materialised(config, images, tmp_path))
    (Path(place.folders[PLAIN]) / "features.json").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        verify(place)
    assert not Path(place.folders[PLAIN]).exists()


def test_the_fused_optimiser_is_one(images: Prepared, weights: dict[str, str]) -> None:
    for name in ("sgd", "adam", "adamw"):
        for fused in (False, True):
            config = trial(weights=weights["resnet18"], optimizer=name, fused_optimizer=fused)
            run = Run(config, start(config, images), seed=0, device=torch.device("cpu"), environment=CPU, features=None)
            assert bool(run.optimizer.defaults["fused"]) is fused
