from pathlib import Path

import pytest
import yaml

from resnet_tl.diagram import Diagram, mermaid
from sweeps.definition.compose import compose, shipped
from sweeps.planning.flow import MOST_WAYS, flow_of


def flow(tmp_path: Path, *words: str, **changes: object) -> Diagram:
    content = {
        "study": {"name": "mine", "question": "?", "method": "grid", "seeds": [0, 1, 2], "space": {}},
        "trial": {"backbone": "resnet18", "optimizer": "sgd", "lr": 0.1, "epochs": 2, "batch_size": 8},
        "data": {"source": "image_folder", "root": "drawings", "size": 64},
    } | {name: value for name, value in changes.items() if name not in ("study", "trial", "data")}
    for group in ("study", "trial", "data"):
        content[group] |= changes.get(group, {})  # type: ignore[operator]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return flow_of(compose([f"study={path}", *words]))


def lines(diagram: Diagram, key: str) -> str:
    return "\n".join(next(node.lines for node in diagram.nodes if node.key == key))


@pytest.mark.parametrize("study", [study.name for study in shipped()])
def test_every_shipped_study_is_drawn_whole(study: str) -> None:
    diagram = flow_of(compose([f"study={study}"]))
    keys = [node.key for node in diagram.nodes]
    assert len(set(keys)) == len(keys)
    assert {edge.source for edge in diagram.edges} | {edge.target for edge in diagram.edges} == set(keys)
    reached, waiting = set(), ["source"]
    while waiting:
        here = waiting.pop()
        reached.add(here)
        waiting += [edge.target for edge in diagram.edges if edge.source == here]
    assert {"runs", "selection", "test", "report"} <= reached
    assert mermaid(diagram).startswith("flowchart")


def test_trials_with_one_frozen_prefix_share_what_is_stored(tmp_path: Path) -> None:
    space = {"freeze": {"values": ["none", "layer2", "all"]}, "head": {"values": ["linear", "mlp_relu"]}}
    diagram = flow(tmp_path, study={"space": space})
    assert lines(diagram, "runs") == "6 trials × 3 seeds = 18 seed runs"
    assert lines(diagram, "trials0") == "2 trials: resnet18\nnothing stored: nothing is frozen"
    assert lines(diagram, "prefix1").startswith("frozen prefix: resnet18 up to layer2.1\n")
    assert "128×8×8 values an image\n1 view of train: centre" in lines(diagram, "store1")
    assert lines(diagram, "trials2") == "2 trials: the head trains"
    assert [e.source for e in diagram.edges if e.target == "runs"] == ["trials0", "trials1", "trials2", "space"]


def test_values_that_mean_one_network_are_one_trial(tmp_path: Path) -> None:
    space = {"freeze": {"values": [0.8, 0.9]}}
    assert lines(flow(tmp_path, study={"space": space}), "runs") == "1 trial × 3 seeds = 3 seed runs"


def test_views_and_reasons_are_said(tmp_path: Path) -> None:
    space = {"augment": {"values": ["none", "hflip", "rotation"]}, "bn": {"values": ["frozen_eval", "batch_stats"]}}
    diagram = flow(tmp_path, study={"space": space}, trial={"freeze": "layer1"})
    assert "augmented in train alone: hflip, rotation" in lines(diagram, "shown")
    assert "2 views of train: centre, centre+hflip" in lines(diagram, "store0")
    told = "\n".join("\n".join(node.lines) for node in diagram.nodes)
    assert "no image is seen twice in the same way (augment: rotation)" in told
    assert "changes with training (bn: batch_stats)" in told


def test_generated_images_are_part_of_how_images_are_shown(tmp_path: Path) -> None:
    diagram = flow(tmp_path, data={"synthetic": {"share": 0.25}})
    assert "of each epoch 0.25 generated, learnt from train" in lines(diagram, "shown")
    searched = flow(tmp_path, study={"space": {"synthetic": {"values": [0, 0.5]}}})
    assert lines(searched, "runs").startswith("2 trials"), "the same network on other images is another trial"


def test_a_sampled_study_counts_what_it_wants(tmp_path: Path) -> None:
    changes = {"method": "random", "trials": 5, "space": {"lr": {"min": 0.1, "max": 0.5}}}
    diagram = flow(tmp_path, study=changes | {"space": {"weight_decay": {"min": 0.1, "max": 0.5}}})
    assert lines(diagram, "runs") == "5 trials × 3 seeds = 15 seed runs"
    assert lines(diagram, "trials0").startswith("proposed trials")
    assert "weight_decay: 0.1 to 0.5" in lines(diagram, "space")


def test_pretraining_folds_and_confirmation_have_their_place(tmp_path: Path) -> None:
    stage = {"trial": {"optimizer": "sgd", "lr": 0.1, "epochs": 3, "batch_size": 8}, "data": {"source": "digits"}}
    diagram = flow(
        tmp_path,
        study={"folds": 5, "confirm": {"top": 2, "seeds": 4}, "hypotheses": ["It works."]},
        trial={"weights": "digits_first"},
        data={"group_key": "(p[0-9]+)"},
        pretrain={"digits_first": stage},
    )
    assert "pretrained once: digits_first" in lines(diagram, "start0")
    assert lines(diagram, "start0images").startswith("digits\n")
    assert "5 folds, cut anew by each seed\neach fit: 3 to train, one val, one test\nno group" in lines(
        diagram, "splits"
    )
    assert lines(diagram, "runs").endswith("3 seed runs, 5 fits each")
    assert lines(diagram, "confirm") == "the best 2 again\non 4 fresh seeds"
    after = [(edge.source, edge.target) for edge in diagram.edges][-5:]
    assert ("selection", "confirm") in after
    assert ("confirm", "test") in after
    assert "answered" not in lines(diagram, "report"), "a sentence compares nothing"


def test_a_picture_of_many_ways_is_cut_short(tmp_path: Path) -> None:
    depths = ["resnet18", "resnet34", "resnet50"]
    space = {"backbone": {"values": depths}, "freeze": {"values": ["none", "layer1", "layer2", "layer3", "all"]}}
    trial = {"optimizer": "sgd", "lr": 0.1, "epochs": 2, "batch_size": 8}
    diagram = flow(tmp_path, "~trial.backbone", study={"space": space}, trial=trial)
    assert sum(node.key.startswith("trials") for node in diagram.nodes) == MOST_WAYS
    assert lines(diagram, "more").startswith("7 more kinds of trial")
    assert lines(diagram, "runs").startswith("15 trials × 3 seeds = 45")


def test_words_of_users_are_text_and_secrets_are_not_shown(tmp_path: Path) -> None:
    diagram = flow(tmp_path, "data.root=/a|b] --> <b>`x`", "trial.weights=https://me:geheim@x.org/w.pth")
    text = mermaid(diagram)
    assert "in #47;a#124;b#93; #45;#45;#62; #60;b#62;#96;x#96;" in text
    assert "geheim" not in str(diagram)
    by_address = flow(tmp_path, "data.url=https://me:geheim@x.org/a.zip?token=geheim")
    assert lines(by_address, "source") == "image_folder\narchive from https://x.org/a.zip?token=…\nin drawings"
