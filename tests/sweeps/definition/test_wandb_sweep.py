"""Sweep files of W&B, of the shapes that people write, read whole as a study."""

from pathlib import Path

import pytest

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from sweeps.definition.compose import compose
from sweeps.definition.config import Definition

IMAGES = ("data.source=digits",)
SEEDS = ("study.seeds=[0,1]",)
NETWORK = ("trial.backbone=resnet18", "trial.optimizer=sgd", "trial.epochs=3", "trial.batch_size=8")

BAYES = """
program: train.py
method: bayes
name: leaves, second try
project: leaves
entity: some-lab
metric: {name: val_acc, goal: maximize}
parameters:
  learning-rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  batch_size: {distribution: q_log_uniform_values, q: 8, min: 8, max: 256}
  arch: {values: [resnet18, ResNet-50, convnext_tiny]}
  img_size: {value: 64}
  pretrained: {value: true}
  l2: {value: 1e-4}
  nesterov: {value: true}
  seed: {values: [1, 2, 3]}
early_terminate: {type: hyperband, min_iter: 3, eta: 3}
run_cap: 5
command:
  - ${env}
  - ${interpreter}
  - ${program}
  - --amp
  - ${args}
"""
GRID = """
method: grid
metric: {name: validation_loss, goal: minimize}
run_cap: 100
parameters:
  model: {value: resnet34}
  lr: {values: [0.1, 0.01, 0.01]}
  optimizer: {values: [Adam, SGD]}
  epochs: {values: [1e1]}
  batch-size: {values: [16, 32]}
"""
NESTED = """
method: random
metric: {name: val/f1_score_macro, goal: maximize}
run_cap: 7
parameters:
  optimizer:
    parameters:
      name: {values: [AdamW, rmsprop, sgd]}
      lr: {distribution: log_uniform, min: -9.2, max: -4.6}
      weight_decay: {value: 0.01}
  model.dropout: {min: 0.0, max: 0.5}
  model.hidden_dim: {values: [64, 128]}
  model.backbone_name: {value: resnet18}
  data.batch_size: {distribution: q_uniform, min: 16, max: 64, q: 16}
  trainer.max_epochs: {value: 4}
"""
LIGHTNING = """
program: src/train.py
method: random
description: Does warming up help on leaves?
metric: {name: epoch_val_loss}
parameters:
  trainer.max_epochs: {min: 2, max: 30}
  model.optimizer.lr: {distribution: inv_log_uniform_values, min: 1e-4, max: 1e-1}
  lr_scheduler: {values: [CosineAnnealingLR, StepLR, OneCycleLR]}
  warmup: {min: 0, max: 5}
  loss: {value: CrossEntropyLoss}
run_cap: 10
"""
ERROR_RATE = """
program: train.py
method: random
project: tomatoes
metric: {name: error_rate, goal: minimize}
run_cap: 3
parameters:
  log_preds: {value: false}
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  batch_size: {values: [32, 64]}
  img_size: {value: 240}
  arch: {values: [resnet18, regnet_x_400mf]}
"""
FROZEN = """
method: bayes
metric: {name: best_val_auc, goal: maximize, target: 0.99}
run_cap: 12
parameters:
  backbone: {values: [resnet50]}
  freeze_backbone: {values: [true, false]}
  weights: {value: random}
  opt: {value: sgd}
  mom: {distribution: uniform, min: 0.5, max: 0.95}
  init_lr: {value: 0.1}
  num_epochs: {value: 2}
  bs: {value: 16}
  random_state: {value: 42}
"""
PLAIN = """
method: random
metric: {name: accuracy, goal: maximize}
parameters:
  learning_rate: {min: 0.0001, max: 0.1}
  epochs: {values: [5, 10]}
  smoothing: {values: [0.0, 0.1]}
  use_sam: {values: [true, false]}
"""
WITH_OURS = """
method: grid
metric: {name: test_accuracy, goal: maximize}
parameters:
  lr: {values: [0.1, 0.01]}
  epochs: {value: 9}
study: {name: ours, seeds: [4]}
trial: {backbone: resnet18, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: digits, size: 32}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "theirs.yaml"
    path.write_text(text)
    return f"study={path}"


def first(definition: Definition) -> TrialConfig:
    return definition.probes()[0]


def test_a_bayesian_sweep_with_early_termination_and_a_command(tmp_path: Path) -> None:
    got = compose([write(tmp_path, BAYES), *IMAGES, "trial.optimizer=sgd", "trial.epochs=2"])
    assert (got.study.name, got.study.method, got.study.trials) == ("leaves_second_try", "bayes", 5)
    assert (got.study.metric, got.study.direction, got.study.seeds) == ("val/accuracy", "maximize", (1, 2, 3))
    assert (got.data.size, first(got).weights, first(got).weight_decay) == (64, "imagenet", 1e-4)
    assert {trial.backbone for trial in got.probes()} == {"resnet18", "resnet50"}
    assert {trial.batch_size % 8 for trial in got.probes()} == {0}
    (note,) = got.notes
    for said in ("learning-rate is trial.lr", "arch is trial.backbone", "l2 is trial.weight_decay"):
        assert said in note
    for dropped in ("convnext_tiny", "`nesterov`", "`program`", "--amp", "`entity`", "`project`"):
        assert dropped in note.partition("Left out")[2]
    (rule,) = got.study.pruner
    assert (rule.kind, rule.model_dump()["min_epochs"]) == ("rungs", 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{type: hyperband, min_iter: 3, eta: 2}", {"min_epochs": 3, "eta": 2.0, "epochs": None}),
        ("{type: hyperband, min_iter: 2, strict: true}", {"min_epochs": 2, "eta": 3.0, "epochs": None}),
        ("{type: hyperband, max_iter: 27, s: 2, eta: 3}", {"epochs": (3, 9), "eta": 3.0}),
    ],
)
def test_brackets_of_hyperband_are_rungs(tmp_path: Path, given: str, expected: dict[str, object]) -> None:
    got = compose([write(tmp_path, f"{GRID}early_terminate: {given}\n"), *IMAGES, *SEEDS])
    (rule,) = got.study.pruner
    assert {name: getattr(rule, name) for name in expected} == expected
    assert "early_terminate is study.pruner, in epochs" in got.notes[0]


@pytest.mark.parametrize("given", ["{type: hyperband}", "{type: envelope}", "{type: hyperband, min_iter: 1.5}", "[1]"])
def test_what_ends_trials_in_another_way_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(ConfigError, match="`early_terminate` cannot be read, since .* mend it or take it out"):
        compose([write(tmp_path, f"{GRID}early_terminate: {given}\n"), *IMAGES, *SEEDS])


def test_a_grid_is_run_whole_and_equal_values_once(tmp_path: Path) -> None:
    got = compose([write(tmp_path, GRID), *IMAGES, *SEEDS])
    assert len(list(got.points())) == 8
    assert (got.study.name, got.study.metric, got.study.direction) == ("theirs", "val/loss", "minimize")
    assert (first(got).backbone, first(got).epochs) == ("resnet34", 10)
    assert "run_cap" in got.notes[0].partition("Left out")[2]


def test_nested_and_dotted_names_mean_their_last_part(tmp_path: Path) -> None:
    got = compose([write(tmp_path, NESTED), *IMAGES, *SEEDS, "trial.head=mlp"])
    assert set(got.study.space) == {"optimizer", "lr", "dropout", "head_width", "batch_size"}
    assert got.study.metric == "val/f1"
    lr = next(dimension for dimension in got.space.dimensions if dimension.name == "lr")
    assert lr.log
    assert (lr.low, lr.high) == pytest.approx((1.01e-4, 1.005e-2), rel=0.01)
    assert {trial.optimizer for trial in got.probes()} == {"adamw", "sgd"}
    assert {trial.batch_size for trial in got.probes()} == {16, 32, 48, 64}


def test_whole_options_are_whole_and_points_that_break_a_rule_do_not_end_it(tmp_path: Path) -> None:
    got = compose([write(tmp_path, LIGHTNING), *IMAGES, *SEEDS, "trial.backbone=resnet18", "trial.optimizer=sgd",
                   "trial.batch_size=8"])  # fmt: skip
    assert got.study.question == "Does warming up help on leaves?"
    assert (got.study.metric, got.study.direction) == ("val/loss", "minimize")
    assert {trial.schedule for trial in got.probes()} == {"cosine", "step"}
    share, rule = got.broken()
    assert 0.01 < share < 0.2
    assert "`warmup_epochs < epochs`" in rule


def test_the_least_error_is_the_highest_accuracy(tmp_path: Path) -> None:
    got = compose([write(tmp_path, ERROR_RATE), *IMAGES, *SEEDS, "trial.optimizer=adam", "trial.epochs=2"])
    assert (got.study.metric, got.study.direction, got.study.trials) == ("val/accuracy", "maximize", 3)
    assert (first(got).backbone, got.data.size) == ("resnet18", 240)


def test_true_and_false_become_words(tmp_path: Path) -> None:
    got = compose([write(tmp_path, FROZEN), *IMAGES])
    assert {trial.freeze for trial in got.probes()} == {"all", "none"}
    assert (first(got).weights, got.study.seeds, got.study.metric) == ("none", (42,), "val/auroc")
    assert "metric.target: 0.99" in got.notes[0]


def test_what_a_sweep_lacks_is_told_in_one_message(tmp_path: Path) -> None:
    study = write(tmp_path, PLAIN)
    with pytest.raises(ConfigError) as caught:
        compose([study])
    text = str(caught.value)
    assert len(caught.value.problems) == 2
    assert "theirs.yaml is read as a W&B sweep" in text
    assert "`use_sam` (True, False)" in text
    for option in (
        "study.trials", "study.seeds", "trial.backbone", "trial.optimizer", "trial.batch_size", "data.source",
    ):  # fmt: skip
        assert text.count(f"`{option}`") == 1
        assert f"{option}=" in text, "an example to copy"
    assert "`trial.lr`" not in text
    got = compose([study, *SEEDS, *IMAGES, "study.trials=3", *(word for word in NETWORK if "epochs" not in word)])
    assert {trial.epochs for trial in got.probes()} == {5, 10}


def test_the_words_that_the_message_proposes_are_enough(tmp_path: Path) -> None:
    study = write(tmp_path, PLAIN.replace("epochs", "dropout_rate").replace("[5, 10]", "[0.1, 0.2]"))
    with pytest.raises(ConfigError) as caught:
        compose([study])
    compose([study, *str(caught.value).rpartition("such as  ")[2].split()])


def test_blocks_of_ours_in_the_same_file_win(tmp_path: Path) -> None:
    got = compose([write(tmp_path, WITH_OURS)])
    assert (got.study.name, got.study.seeds, got.data.size, first(got).epochs) == ("ours", (4,), 32, 2)
    assert "only val may choose" in got.notes[0]
    assert "`epochs`, since `trial.epochs` is given" in got.notes[0]


def test_bare_values_and_second_names_of_an_option(tmp_path: Path) -> None:
    text = (
        "method: grid\nparameters: {lr: {values: [0.1, 0.2]}, epochs: 3, aug: {value: true}, augment: {value: hflip}}"
    )
    got = compose([write(tmp_path, text), *IMAGES, *SEEDS, "trial.backbone=resnet18", "trial.optimizer=sgd",
                   "trial.batch_size=8"])  # fmt: skip
    assert (first(got).epochs, first(got).augment) == (3, ("hflip",))
    assert "`aug` (True), since `augment` is there" in got.notes[0]


def test_the_command_line_wins_over_a_sweep(tmp_path: Path) -> None:
    got = compose([write(tmp_path, GRID), *IMAGES, *SEEDS, "trial.lr=0.5", "trial.epochs=1", "study.metric=val/f1",
                   "study.direction=maximize"])  # fmt: skip
    assert {(trial.lr, trial.epochs) for trial in got.probes()} == {(0.5, 1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: grid\nparametres: {}", "`parametres` is no option of a W&B sweep; did you mean `parameters`"),
        ("method: gird\nparameters: {lr: {values: [1]}}", "did you mean `grid`"),
        (
            "method: 5\nparameters: {lr: {value: 1}}",
            "`study.method` .`method` must be grid, random or bayes, but got 5",
        ),
        ("method: grid\nparameters: {}\nstudy: {space: [lr]}", r"`study.space` must map parameters to values, but got"),
        ("method: grid\nparameters: {lr: {value: 1}}\nstudy: {space: 5}", "must map parameters to values, but got 5"),
        (
            "method: grid\nparameters: {lr: {value: 1}, num_seeds: {value: 5}}",
            "`num_seeds` .5. .a study has a list of se",
        ),
        ("method: grid\nparameters: [1]", "`parameters` must be a mapping"),
        ("method: grid\nparameters: {lr: [3]}", "`parameters.lr` must be a mapping"),
        ("method: random\nparameters: {lr: {distribution: normal, mu: 0.1, sigma: 0.01}}", "min: 0.08, max: 0.12"),
        ("method: grid\nparameters: {a.lr: {value: 1}, b.lr: {value: 2}}", "both mean `trial.lr`; keep one"),
        ("method: grid\nmetric: {name: val_acc, goal: minimize}\nparameters: {lr: {value: 1}}", "must be maximize"),
        ("method: grid\nmetric: {name: reward}\nparameters: {lr: {value: 1}}", "`study.metric` .*'reward' is none of"),
        ("method: grid\nparameters: {data_dir: {values: [a, b]}}", "`data.root` .*cannot be searched"),
        ("method: grid\nparameters: {arch: {values: [vgg16]}}", "`trial.backbone` .no value of `arch` is one here"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([write(tmp_path, text), *SEEDS])


REST = (*IMAGES, *SEEDS, *NETWORK)
GRID_OF_LR = "method: grid\nparameters: {lr: {values: [0.1, 0.2]}}\n"


@pytest.mark.parametrize("space", ["{lr: {value: 0.1}}", "{parameters: {lr: {values: [0.1]}}}"])
def test_a_space_of_ours_in_a_sweep_file_is_taken_or_refused(space: str, tmp_path: Path) -> None:
    study = write(tmp_path, f"method: grid\nparameters: {{}}\nstudy: {{space: {space}}}")
    assert {trial.lr for trial in compose([study, *REST]).probes()} == {0.1}


def test_the_method_of_the_command_line_decides_whether_trials_are_counted(tmp_path: Path) -> None:
    sampled = write(tmp_path, GRID_OF_LR.replace("grid", "random"))
    with pytest.raises(ConfigError, match="study.trials"):
        compose([sampled, *REST])
    got = compose([sampled, *REST, "study.method=grid"])
    assert (len(list(got.points())), got.study.trials) == (2, None)
    capped = write(tmp_path, GRID_OF_LR.replace("grid", "bayes") + "run_cap: 2\n")
    assert compose([capped, *REST]).study.trials == 2
    got = compose([capped, *REST, "study.method=grid"])
    assert got.study.trials is None
    assert "run_cap" in got.notes[0].partition("Left out")[2]
    got = compose([write(tmp_path, GRID_OF_LR + "run_cap: 2\n"), *REST, "study.method=random"])
    assert got.study.trials == 2
    assert compose([write(tmp_path, GRID_OF_LR.partition("\n")[2]), *REST, "study.method=grid"]).study.method == "grid"


def test_what_a_given_space_holds_is_not_lacking(tmp_path: Path) -> None:
    study = write(tmp_path, "method: grid\nparameters: {weight_decay: {value: 0.01}}")
    with pytest.raises(ConfigError, match="trial.lr"):
        compose([study, *REST])
    for word in ("study.space={lr: {values: [0.1, 0.2]}}", "study.space.lr={values: [0.1, 0.2]}"):
        assert {trial.lr for trial in compose([study, *REST, word]).probes()} == {0.1, 0.2}
    with pytest.raises(ConfigError) as caught:
        compose([write(tmp_path, GRID_OF_LR), *REST, "study.space={momentum: {values: [0.1, 0.2]}}"])
    assert "It must be told: `trial.lr`" in str(caught.value), "the space that held it is replaced"


def test_a_metric_of_the_command_line_brings_its_own_direction(tmp_path: Path) -> None:
    study = write(tmp_path, GRID_OF_LR + "metric: {name: val_acc, goal: maximize}")
    assert compose([study, *REST, "study.metric=val/loss"]).study.direction == "minimize"


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("freeze_layers: {values: [0, 1, 2, 3]}", None),
        ("freeze_layers: {values: [0, 1]}", None),
        ("freeze_layers: {min: 0, max: 1}", None),
        ("model.frozen_stages: {value: 1}", None),
        ("freeze: {values: [0, 0.5, 2]}", None),
        ("freeze_backbone: {min: 0, max: 7}", None),
        ("frozen: {min: 0.0, max: 60.0}", None),
        ("trainable_layers: {values: [1, 2]}", None),
        ("freeze_layers: {values: [true, false, 3]}", {"all", "none"}),
        ("frozen_layers: {values: [1, 2, layer2]}", {"layer2"}),
    ],
)
def test_numbers_of_layers_are_no_fractions(content: str, left: set[object] | None, tmp_path: Path) -> None:
    study = write(tmp_path, f"method: random\nrun_cap: 3\nparameters:\n  lr: {{value: 1}}\n  {content}\n")
    got = compose([study, *REST])
    assert "which count layers" in got.notes[0]
    assert {trial.freeze for trial in got.probes()} == (left or {"none"})
    assert {trial.trainable_blocks for trial in got.probes()} == {None}


@pytest.mark.parametrize(
    ("content", "fractions"),
    [("freeze_layers: {values: [0, 0.25, 1]}", {0, 0.25, 1}), ("freeze_fraction: {min: 0.0, max: 0.5}", {0, 0.5})],
)
def test_fractions_are_taken_whatever_their_name(content: str, fractions: set[float], tmp_path: Path) -> None:
    study = write(tmp_path, f"method: random\nrun_cap: 3\nparameters:\n  lr: {{value: 1}}\n  {content}\n")
    got = compose([study, *REST])
    assert {trial.freeze for trial in got.probes()} == fractions
    assert "count layers" not in got.notes[0]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("val_top5_acc", None), ("val_accuracy_top5", None), ("val/top_3_accuracy", None), ("acc_5", None),
        ("recall@10", None), ("val_pr_auc", None), ("auc_pr", None), ("val/auprc", None), ("average_precision", None),
        ("valMeanAveragePrecision", None), ("mean_squared_error", None), ("val_mean_absolute_error", None),
        ("rmse_loss", None), ("expected_calibration_error", "val/ece"),
        ("max_calibration_error", None), ("val_micro_f1", None), ("f1_weighted", None),
        ("mean_class_acc", None), ("val_acc_std", None), ("word_error_rate", None), ("balanced_error", None),
        ("val_top_1_acc", "val/accuracy"), ("valTop1Accuracy", "val/accuracy"), ("acc@1", "val/accuracy"),
        ("precision_1", "val/accuracy"), ("prec@1", "val/accuracy"), ("valid/precision", "val/precision"),
        ("val_precision_macro", "val/precision"), ("macroF1Score", "val/f1"), ("val_roc_auc", "val/auroc"),
        ("valAUC", "val/auroc"), ("balanced_accuracy", "val/balanced_accuracy"), ("val_brier", "val/brier"),
        ("eval/epoch_loss", "val/loss"),
    ],
)  # fmt: skip
def test_a_metric_is_one_of_ours_or_none(name: str, metric: str | None, tmp_path: Path) -> None:
    study = write(tmp_path, GRID_OF_LR + f"metric: {{name: '{name}'}}")
    if metric is not None:
        assert compose([study, *REST]).study.metric == metric
        return
    with pytest.raises(ConfigError, match="is none of ours"):
        compose([study, *REST])


@pytest.mark.parametrize(
    ("name", "goal", "must"), [("val_error", "maximize", "minimize"), ("valerror", "up", "minimize")]
)
def test_a_goal_that_contradicts_its_metric_is_told(name: str, goal: str, must: str, tmp_path: Path) -> None:
    study = write(tmp_path, GRID_OF_LR + f"metric: {{name: {name}, goal: {goal}}}")
    with pytest.raises(ConfigError, match=f"the goal of '{name}' must be {must}, but got '{goal}'"):
        compose([study, *REST])
    assert compose([study, *REST, "study.metric=val/accuracy"]).study.direction == "maximize"
    least = write(tmp_path, GRID_OF_LR + f"metric: {{name: {name}, goal: {must}}}")
    assert compose([least, *REST]).study.metric == "val/accuracy"
