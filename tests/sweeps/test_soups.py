"""Soups of a finished study: one network made of several, as the study's own numbers and `predict` see it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import ConfigError
from resnet_tl.inference.predict import classify
from resnet_tl.inference.soup import Soups, difference
from resnet_tl.model.checkpoint import read_card
from resnet_tl.model.weights import whole_state
from sweeps.ensemble import main
from sweeps.storage.network_store import NetworkStore
from tests.sweeps.finished import finished_study
from tests.sweeps.test_ensemble import by_predict, rows_of


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    out = tmp_path_factory.mktemp("heads")
    return out, finished_study(out)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    """Of which the last stage trained too, from one seed."""
    out = tmp_path_factory.mktemp("deep")
    return out, finished_study(out, freeze="layer3", head="mlp_relu", epochs=1, seeds=(0,))


def checkpoint(out: Path, name: str) -> Path:
    return out / "mlruns" / "networks" / "drawn" / name / "checkpoint"


@pytest.mark.parametrize("method", ["soup", "greedy_soup"])
def test_a_stored_soup_is_one_network_that_predicts_what_the_table_says(
    heads: tuple[Path, Prepared], method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = heads
    words = [f"study={out / 'drawn.yaml'}", f"method={method}", "members=all", f"out={tmp_path / 'soup'}"]
    assert main(words) == 0
    rows = rows_of(capsys.readouterr().out)
    row = rows[method]
    assert f"{by_predict(out, tmp_path / 'soup', data, 'test')[1]:.2%}" == row[4]
    assert read_card(tmp_path / "soup").base is None
    assert "Wortsman" in (tmp_path / "soup" / "origin.txt").read_text()
    assert row[1].startswith("4 (2" if method == "soup" else "")
    if method == "greedy_soup":
        singles = [NetworkStore(out, "drawn").kept(f"f{number}", seed) for number in (0, 1) for seed in (0, 1)]
        best = max((one.logits["val"].argmax(1) == one.labels["val"]).mean() for one in singles if one)
        assert float(row[3].rstrip("%")) >= round(100 * best, 2)


def test_one_network_alone_is_what_it_was_and_a_soup_of_linear_heads_averages_their_logits(
    heads: tuple[Path, Prepared],
) -> None:
    out, data = heads
    folders = [checkpoint(out, name) for name in ("f0-0", "f1-1")]
    soups = Soups(folders, data)
    kept = [NetworkStore(out, "drawn").kept(*of_run) for of_run in (("f0", 0), ("f1", 1))]
    logits = [one.logits["test"].astype(float) for one in kept if one]
    for place in (0, 1):
        alone_NK = soups.probabilities(soups.state([place]), "test")
        assert np.allclose(alone_NK, torch.tensor(logits[place]).softmax(1), atol=1e-5)
    both_NK = soups.probabilities(soups.state([0, 1]), "test")
    assert np.allclose(both_NK, torch.tensor((logits[0] + logits[1]) / 2).softmax(1), atol=1e-5)


def test_statistics_of_layers_that_trained_are_measured_on_train_and_no_others(
    deep: tuple[Path, Prepared], tmp_path: Path
) -> None:
    out, data = deep
    folders = [checkpoint(out, name) for name in ("f0-0", "f1-0")]
    soups = Soups(folders, data)
    state = soups.state([0, 1])
    one, other = (whole_state(folder, read_card(folder)) for folder in folders)
    for name in ("backbone.layer3.0.bn1.running_mean", "backbone.layer1.0.conv1.weight"):
        assert torch.equal(state[name], one[name])
        assert torch.equal(one[name], other[name])
    # of networks that trained no layer differently, nothing is measured, whoever else there is
    alone, twice = soups.state([1]), soups.state([1, 1])
    assert all(torch.equal(twice[name], tensor) for name, tensor in alone.items())
    weight, mean = "backbone.layer4.1.conv2.weight", "backbone.layer4.1.bn2.running_mean"
    assert torch.allclose(state[weight], (one[weight] + other[weight]) / 2, atol=1e-7)
    assert not torch.allclose(state[mean], (one[mean] + other[mean]) / 2, atol=1e-4)

    # what the last layer is fed, on train, has the mean that is stored
    seen = []
    soups.save(state, tmp_path / "soup", {})
    from resnet_tl.inference.export import normalisation_of, rebuild

    network, card = rebuild(tmp_path / "soup")
    network.get_submodule("backbone.layer4.0.bn1").register_forward_hook(lambda _, given, __: seen.append(given[0]))
    images = data.load()
    pixels = torch.from_numpy(images.pixels_NCHW[images.splits["train"]]).float() / 255
    with torch.no_grad():
        network(normalisation_of(card)(pixels))
    found = state["backbone.layer4.0.bn1.running_mean"]
    assert torch.allclose(torch.cat(seen).mean((0, 2, 3)), found, atol=1e-4)
    paths = [out / "images" / images.names[index] for index in images.splits["test"]]
    told = classify(tmp_path / "soup", paths).probabilities_NK
    assert np.allclose(told, soups.probabilities(state, "test"), atol=1e-5)


def test_hidden_units_of_different_seeds_are_not_averaged(
    deep: tuple[Path, Prepared], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = deep
    with pytest.raises(ConfigError, match="hidden units of heads that different seeds drew do not correspond"):
        main([f"study={out / 'drawn.yaml'}", "method=soup"])
    assert main([f"study={out / 'drawn.yaml'}", "method=greedy_soup"]) == 0, "of one seed are two trials"
    assert main([f"study={out / 'drawn.yaml'}"]) == 0
    told = capsys.readouterr().out
    assert "No soup: hidden units" in told
    assert rows_of(told)["soup"][1:] == ["/"] * 7


def test_networks_of_other_heads_are_other_networks(heads: tuple[Path, Prepared], deep: tuple[Path, Prepared]) -> None:
    one, other = (read_card(checkpoint(out, "f0-0")) for out, _ in (heads, deep))
    assert difference(one, one) is None
    assert difference(one, other) == "weights"
    other.trial["weights"] = one.trial["weights"]
    assert difference(one, other) == "head"


def test_soups_need_the_images_that_the_study_ran_on(
    heads: tuple[Path, Prepared], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = heads
    with pytest.raises(ConfigError, match=re.escape("give study=FILE.yaml")):
        main(["study=drawn", f"run.out={out}", "method=soup"])
    text = (out / "drawn.yaml").read_text()
    (tmp_path / "other.yaml").write_text(text.replace("size: 32", "size: 32, split_seed: 1"))
    with pytest.raises(ConfigError, match="must be those that study drawn ran on"):
        main([f"study={tmp_path / 'other.yaml'}", "method=soup"])
    assert main([f"study={tmp_path / 'other.yaml'}"]) == 0
    assert "No greedy_soup: The images must be those" in capsys.readouterr().out
