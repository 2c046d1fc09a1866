"""Requests made of odd values in odd places: each is a study or is refused, in seconds, by an error of ours."""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from resnet_tl.errors import UserError
from resnet_tl.option_text import load_yaml
from sweeps.definition.compose import compose

OURS = """
study:
  name: mine
  question: Why?
  about: words
  hypotheses:
    - a sentence
    - {compare: {head: [linear, mlp_relu]}, expect: no_difference, margin: 0.01, metric: test/f1, where: {lr: 1e-3}}
  method: METHOD
  seeds: [0, 1]
  metric: val/accuracy
  direction: maximize
  space:
    head: {values: [linear, mlp_relu], when: {optimizer: sgd}}
    lr: {values: [1e-3, 5e-4], set: {5e-4: {epochs: 10}}}
    momentum: {distribution: q_uniform, min: 0.1, max: 0.9, q: 0.4}
    batch_size: {distribution: q_log_uniform_values, min: 8, max: 64, q: 8}
    weight_decay: [{values: [0.0, 0.1], when: {head: linear}}, {values: [0.2], when: {head: mlp_relu}}]
  tables: [summary, {pivot: {rows: lr, columns: head}}]
  figures: [curves]
  confirm: {top: 2, seeds: 5}
trial: {backbone: resnet18, weights: none, optimizer: sgd, epochs: 3, freeze: 0.5, augment: [hflip], warmup_epochs: 1}
data: {source: image_folder, root: here, size: 64, crop: 32, balanced: false, bits: 8}
run: {workers: 1, out: ., cache_gb: 5, keep: all, device: cpu, dry_run: false}
pretrain: {pre: {trial: {optimizer: sgd, lr: 0.1, epochs: 1, batch_size: 4}, data: {source: digits}, seed: 1}}
"""
THEIRS = """
method: METHOD
metric: {name: val_acc, goal: maximize, target: 0.9}
name: x
run_cap: 4
parameters:
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  arch: {values: [resnet18, resnet34]}
  opt: {parameters: {name: {values: [SGD, adam]}, momentum: {min: 0.1, max: 0.9}}}
  batch_size: {distribution: q_log_uniform_values, q: 8, min: 8, max: 64}
  seed: {values: [1, 2]}
  epochs: {value: 3}
  data_dir: {value: here}
early_terminate: {type: hyperband}
command: [a, b]
data: {source: image_folder}
"""
KEYS = (
    "distribution",
    "q",
    "min",
    "max",
    "values",
    "value",
    "when",
    "set",
    "arch",
    "lr",
    "name",
    "method",
    "x",
    1,
    None,
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 1e19, 1e300, -1e300, float("inf"), float("nan"), 1e-12, 1e-300,
    0.5, "", "x", "none", "off", "a b", "[", "${x}", "$5_$10", "-->", "x" * 5000, "val/accuracy", "1e5", "\xfc",
    [], [1], ["a"], [[1]], [[]], [None], [True, 1], [1, 1], list(range(2000)), {}, {"a": 1}, {"a": {"b": 1}},
    [{"a": 1}], {1: 2}, {"values": [1]}, {"values": [[1]]}, {"values": {"a": 1}}, {"value": {"a": 1}},
    {"min": 0, "max": 1}, {"min": 1, "max": 10**6}, {"min": 1, "max": 10**15}, {"min": 1, "max": 1e19},
    {"min": 0.0, "max": 1.0, "distribution": "q_uniform", "q": 1e-12}, {"min": [1], "max": {}},
    {"distribution": ["a"]}, {"distribution": "normal", "mu": "x", "sigma": [1]},
    {"values": [1], "when": {"lr": {"a": [1]}}}, {"values": ["a"], "set": {"a": {"lr": []}}}, [{"values": [1]}],
    {"distribution": "log_uniform", "min": -1000, "max": 5000},
)  # fmt: skip
MOST_S = 20


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in parts:
        yield from places(node[key], (*path, key))


def changed(content: Any, random: Random) -> Any:
    """The same with an odd value somewhere, or an odd key beside others."""
    content = copy.deepcopy(content)
    path = random.choice(list(places(content)))
    if not path:
        return random.choice(ODD)
    node = content
    for key in path[:-1]:
        node = node[key]
    if isinstance(node, dict) and random.random() < 0.3:
        node[random.choice(KEYS)] = random.choice(ODD)
    else:
        node[path[-1]] = random.choice(ODD)
    return content


def try_requests(folder: Path, seed: int, count: int) -> None:
    random = Random(seed)
    path = folder / "study.yaml"
    for _ in range(count):
        method = random.choice(["grid", "random", "bayes", "ablation"])
        content = load_yaml(random.choice([OURS, THEIRS]).replace("METHOD", method), "base")
        if method in ("random", "bayes") and "study" in content:
            content["study"]["trials"] = 5
        for _ in range(random.choice([1, 1, 2])):
            content = changed(content, random)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        began = time.perf_counter()
        told = "-"
        try:
            definition = compose([f"study={path}", *random.choice([[], ["trial.lr=1"], ["data=digits"]])])
            assert definition.probes()
            definition.broken()
        except UserError as error:
            told = str(error)
        assert 0 < len(told) < 20_000
        assert time.perf_counter() - began < MOST_S, path.read_text(encoding="utf-8")


def test_odd_requests_are_studies_or_refused(tmp_path: Path) -> None:
    try_requests(tmp_path, seed=0, count=60)


@pytest.mark.slow
def test_thousands_of_odd_requests_are_studies_or_refused(tmp_path: Path) -> None:
    try_requests(tmp_path, seed=1, count=2000)
