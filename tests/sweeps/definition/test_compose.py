from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.compose import compose, shipped
from sweeps.definition.config import Definition

STUDY = """
# @package _global_
study:
  name: mine
  question: Why?
  method: grid
  direction: maximize
  seeds: [0]
  space:
    head: {values: [linear, mlp_relu]}
    lr: {values: [1e-3, 5e-4], set: {5e-4: {epochs: 10}}}
trial: {backbone: resnet18, weights: none, optimizer: sgd, epochs: 3, batch_size: 4}
data: {source: image_folder, root: here, size: 64}
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    path = tmp_path / "my, (study) =#&é.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return f"study={path}"


def lrs(definition: Definition) -> list[float]:
    return [definition.trial(params).lr for params in definition.space.grid()]


@pytest.mark.parametrize("name", [study.name for study in shipped()])
def test_every_shipped_study_loads_and_gives_valid_trials(name: str) -> None:
    definition = compose([f"study={name}"])
    points = definition.points() if definition.study.is_listed else definition.space.grid()
    trials = [definition.trial(params) for params in points]
    assert definition.study.name == name
    assert definition.study.question.endswith("?")
    assert len(trials) == {
        "quickstart": 6, "resnet18_optimizer_lr": 13, "resnet18_heads": 19, "resnet18_lr_batch": 32, "resnet34_lr": 5,
        "resnet50_lr": 5, "resnet101_lr": 5, "resnet152_lr": 5, "resnet_depth": 25, "freeze_fraction": 12,
        "digits_options": 10, "chest_xray": 6, "grayscale_head": 12, "augmentation_ablation": 9, "patches_transfer": 3,
    }[name]  # fmt: skip
    text = next(s.path for s in shipped() if s.name == name).read_text()
    for word in ("python -m sweeps.run", "# Expected", "# Cost:"):
        assert word in text


def test_epochs_follow_the_learning_rate_in_the_shipped_studies() -> None:
    definition = compose(["study=resnet34_lr"])
    assert [definition.trial(p).epochs for p in definition.space.grid()] == [100, 100, 75, 50, 10]
    definition = compose(["study=resnet18_optimizer_lr"])
    adam = [definition.trial(p).epochs for p in definition.space.grid() if p["optimizer"] == "adam"]
    assert adam == [100, 100, 100, 100, 25, 10, 5]


def test_the_command_line_wins_over_the_file(study: str) -> None:
    definition = compose([study, "trial.batch_size=8", "study.seeds=[3,4]", "data=arrays", "data.root=/a b,(=#&é"])
    assert definition.base["batch_size"] == 8
    assert definition.study.seeds == (3, 4)
    assert (definition.data.source, definition.data.root, definition.data.size) == ("arrays", "/a b,(=#&é", 64)


def test_a_given_value_pins_a_searched_parameter(study: str) -> None:
    definition = compose([study, "trial.lr=5e-4"])
    assert lrs(definition) == [5e-4, 5e-4]
    assert definition.trial({"head": "linear", "lr": 5e-4}).epochs == 10, "what the value sets still holds"
    assert set(lrs(compose([study, "trial.lr=1e-5"]))) == {1e-5}


def test_a_given_value_wins_over_what_a_value_sets(study: str) -> None:
    definition = compose([study, "trial.epochs=2"])
    assert {definition.trial(p).epochs for p in definition.space.grid()} == {2}


def test_a_value_that_is_taken_away_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    space = "{lr: {values: [0.1, 0.2], set: {0.2: {epochs: 7}}}}"
    path.write_text(
        f"study: {{name: a, question: '?', method: grid, seeds: [0], space: {space}}}\n"
        "trial: {backbone: resnet18, optimizer: sgd, epochs: 1, batch_size: 4, lr: 0.3}\ndata: {source: digits}\n"
    )
    with pytest.raises(ConfigError, match="must not both be given"):
        compose([f"study={path}"])
    got = compose([f"study={path}", "~trial.lr"])
    assert {(trial.lr, trial.epochs) for trial in got.probes()} == {(0.1, 1), (0.2, 7)}
    with pytest.raises(ConfigError, match="epochs` must be given"):
        compose([f"study={path}", "~trial.lr", "~trial.epochs"])


def test_a_given_space_replaces_the_files(study: str) -> None:
    definition = compose([study, "study.space={lr: {values: [1e-2]}}"])
    assert [dict(p) for p in definition.space.grid()] == [{"lr": 1e-2}]


def test_a_block_of_wandb_may_be_pasted_with_its_heading(study: str) -> None:
    assert [dict(p) for p in compose([study, "study.space={parameters: {lr: {values: [1e-2]}}}"]).space.grid()] == [
        {"lr": 1e-2}
    ]


def test_a_stage_learns_from_real_images_alone(study: str) -> None:
    stage = "{p: {trial: {lr: 1}, data: {source: digits, synthetic: {share: 0.5}}}}"
    with pytest.raises(ConfigError, match="`synthetic` belongs to the study's own data: a stage learns from real"):
        compose([study, f"pretrain={stage}"])


def test_tables_have_a_default(study: str) -> None:
    assert [table.kind for table in compose([study]).study.tables] == ["summary"]


def test_a_table_of_pretrained_networks_needs_some(study: str) -> None:
    with pytest.raises(ConfigError, match="`study.tables`: pretrain needs stages under `pretrain:`"):
        compose([study, "study.tables=[pretrain]"])
    stage = "{trial: {optimizer: sgd, lr: 0.1, epochs: 1, batch_size: 8}, data: {source: digits}}"
    asked = compose([study, "study.tables=[pretrain]", f"pretrain.stage={stage}", "trial.weights=stage"])
    assert [table.kind for table in asked.study.tables] == ["pretrain"]


def test_the_default_study_is_not_run_on_other_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`study=` must be given with data of your own"):
        compose(["data=image_folder", f"data.root={tmp_path}"])


def test_off_is_a_word(study: str) -> None:
    assert compose([study, "trial.patience=off"]).trial({"head": "linear", "lr": 1e-3}).patience is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("study=quickstrat", "did you mean `quickstart`"),
        ("trial.lr=nan", "finite"),
        ("trial.lr=-5", "greater than 0"),
        ("trial.lrr=1", "did you mean `lr`"),
        ("trail.lr=1", "`trail.lr` is not an option; did you mean"),
        ("lr=1", "did you mean `trial.lr`"),
        ("+foo=1", "`foo` is not an option"),
        ("data=imagefolder", "did you mean `image_folder`"),
        ("trial.head=[linear", "cannot be read"),
        ("trial.head=linear,mlp_relu", "several values"),
        ("trial.head=mlp_rel", "did you mean"),
        ("study.name=${oc.env:HOME}", "must be a plain value"),
        ("study.direction=minimize", "must be maximize for val/accuracy"),
        ("study.metric=test/accuracy", "never steers"),
        ("study.seeds=[]", "study.seeds"),
        ("study.seeds=[1,1]", "different integers"),
        ("study.trials=3", "grid runs what its space lists"),
        ("study.method=bayes", "`study.trials` must be given"),
        ("study.tables=[flatt]", "did you mean `flat`"),
        ("study.pruner=median", r"must be a mapping such as \{kind: race"),
        ("study.pruner={kind: hyperband}", "`study.pruner` must be a mapping such as .* but got .*hyperband"),
        ("study.pruner=[{kind: race}, {kind: race}]", "must have each kind once"),
        ("study.pruner={kind: rungs, epochs: [3, 1]}", "each later than the one before"),
        ("study.pruner={kind: [rungs]}", "`study.pruner` must be a mapping such as"),
        ("study.pruner={kind: rungs, eta: 1}", "`study.pruner.eta` should be greater than 1"),
        ("study.pruner={kind: rungs, seeds: 40}", "must be at most the number of `study.seeds`"),
        ("study.pruner={kind: rungs, kep: 4}", "`study.pruner.kep` is not an option; did you mean `keep`"),
        ("study.pruner={kind: race, risk: 2}", "risk"),
        ("study.pruner={kind: race, regret: 3}", "`study.pruner.regret` is a fraction, 0.01 for one percentage point"),
        ("study.stop={regret: 2}", "`study.stop.regret` is a fraction"),
        ("study.pruner={kind: race, regrets: 1}", "`study.pruner.regrets` is not an option; did you mean `regret`"),
        ("study.confirm={top: 3}", "seeds"),
        ("study.confirm={top: 3, seeds: 1}", "two or more"),
        ("study.hypotheses=[{compare: {lr: [1e-3, 5e-4]}, expect: difference, margin: 2}]", "0.01 for one percentage"),
        ("study.confirm={top: 0, seeds: 5}", "`study.confirm.top` should be greater"),
        ("study.confirm={top: 3, seeds: [0, 5]}", "must be fresh"),
        ("study.figures=[curve]", "did you mean `curves`"),
        (
            "study.hypotheses=[{compare: {head: [linear, mlp_batchnorm]}, expect: linear}]",
            "head is never mlp_batchnorm",
        ),
        ("run.storage=mysql://u:p@x/y", "must be a PostgreSQL database such as .* but got mysql://x/y"),
        ("run.storage=5", "must be a PostgreSQL database"),
        ("run.storage=postgresql://x/a b", "must not hold spaces"),
        ("data.shifted=x", "`data.shifted`"),
        ("run.workers=0", "greater than or equal to 1"),
        ("study.name=../x", "study.name"),
        ("trial.augment=random_crop", "needs `data.crop`"),
        ("nonsense", "must have the form key=value"),
        ("trial=5", "`trial` must be a mapping"),
        ("run=5", "`run` must be a mapping"),
        ("trial.augment=5", "must be `none` or any of"),
        ("study.hypotheses=5", "must be a list"),
        ("trial.batch_size=1", "at least 2 for BatchNorm layers that train"),
        ("study.metric=[]", "`study.metric` must be a word"),
        ("study.metric=[seconds, val/loss]", "`study.metric` must be one of val/loss, .* as the first of its aims"),
        ("study.metric=[val/loss, second]", "`study.metric` must list .* but got 'second'; did you mean `seconds`"),
        ("study.metric=[val/loss, test/loss]", "but got 'test/loss'; the test split never steers anything"),
        ("study.metric=[val/loss, seconds, val/loss]", "must list each aim once, but has val/loss twice"),
        ("study.metric=[val/loss, seconds, seconds]", "must list each aim once, but has seconds twice"),
        ("study.tables=pareto", r"pareto needs two aims or more, study.metric: \[val/accuracy, seconds\] or"),
        ("study.tables=[{pareto: {aims: [seconds]}}]", "pareto.aims must list 2 aims or more"),
        ("study.stop=3", r"`study.stop` must be a mapping such as \{regret: 0.005\}"),
        ("study.stop={regret: 0.005}", "ends a random or bayes search .* but grid runs what its space lists"),
        ("study.stop={regrets: 0.005}", "`study.stop.regrets` is not an option; did you mean `regret`"),
        ("run.accept=3", "`run.accept` is not built yet"),
        (
            "run.address=auto",
            "`run.address` belongs to `run.executor=ray`, but the executor is local; give both or none",
        ),
        ("run.storage=postgresql://h/db?user=alice", "its login before the @"),
        ("run.address=here", "must be auto or HOST:PORT, such as 10.0.0.5:6379, but got 'here'"),
        ("run={executor: ray, address: 'ray://10.0.0.5:10001'}", "must be auto or HOST:PORT"),
        ("run={executor: ray, device: 'cuda:1'}", "gives out GPUs itself, but got cuda:1"),
        ("data.synthetic=x", "`data.synthetic` must be a mapping"),
        ("data.synthetic={share: 2}", r"`data\.synthetic\.share` should be less than 1"),
        ("study.tables=wide", "must name kinds of table, but got 'wide'; valid: "),
        ("study.tables=sumary", "did you mean `summary`"),
        ("study.tables=[{pivot: {rows: [a], columns: {a: 1}}}]", "pivot.rows must be a valid string"),
        ("study.confirm=3", "must be a mapping such as {top: 3, seeds: 10}"),
        ("study.confirm={top: 1, seeds: 1000000000}", "`study.confirm.seeds` must be at most 10,000"),
        ("study.seeds=[100000000000000000000]", "must be at most"),
        ("study.seeds=3", "must be a list such as"),
        ("study.space={lr: 1}", "must be a mapping such as"),
        ("study.space={lr: {distribution: [a], min: 1, max: 2}}", "unknown distribution"),
        ("study.space={lr:{value: 1}", "brackets and quotes must close"),
        ("study.space={epochs: {min: 1, max: 1000000}}", "and `trial.epochs` must not both"),
        ("space={lr: {value: 1}}", "did you mean `study.space`"),
        ("data.balanced=true", "must not be `true`, but one of false, oversample, class_weights$"),
        ("trial.arch=resnet18", "did you mean `backbone`"),
        ("trial.img_size=64", "did you mean `data.size`"),
        ("trial.learning-rate=1", "did you mean `lr`"),
        ("trial.pretrained=true", "did you mean `weights`"),
        ("trial.l2=1", "did you mean `weight_decay`"),
        ("seed=1", "did you mean `study.seeds`"),
        ("trial.nesterov=true", "did you mean `momentum`"),
        ("run.device=tpu", "must be auto, cpu, cuda or cuda:1"),
        ("trial.epochs=" + "9" * 5000, "too many digits"),
        ("trial.lr=" + "[" * 2000 + "]" * 2000, "nested too deep"),
        ("study.question=a\udcffb", "printable text"),
        ("study.question=a\x1b[31mb", "printable text"),
    ],
)
def test_a_wrong_request_is_refused(study: str, word: str, message: str) -> None:
    words = [word] if word.startswith("study=") else [study, word]
    with pytest.raises(ConfigError, match=message):
        compose(words)


def test_further_aims_stand_behind_the_metric_and_change_nothing_else(study: str) -> None:
    one, several = compose([study, "study.metric=val/f1"]), compose([study, "study.metric=[val/f1, val/loss, seconds]"])
    assert (several.study.metric, several.study.aims) == ("val/f1", ("val/loss", "seconds"))
    assert several.study.directions == ("maximize", "minimize", "minimize")
    assert several.study.model_copy(update={"aims": ()}) == one.study
    written = compose([study, "study.metric=val/f1", "study.aims=[val/loss, seconds]"])
    assert written.study == several.study, "both ways of writing them are one"
    with pytest.raises(ConfigError, match="`study.aims` must be left out where `study.metric` lists all aims"):
        compose([study, "study.metric=[val/f1, val/loss]", "study.aims=[seconds]"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.pruner={kind: race}", "study.seeds=[0, 1, 2]"], "`study.pruner` must be left out .* lead in another"),
        (
            ["study.stop={regret: 0.01}", "study.method=random", "study.trials=20"],
            "`study.stop` must be left out .* gains in another",
        ),
    ],
)
def test_what_ends_trials_by_one_aim_goes_with_no_others(study: str, words: list[str], message: str) -> None:
    compose([study, *words])
    with pytest.raises(ConfigError, match=message):
        compose([study, *words, "study.metric=[val/accuracy, parameters]"])


def test_none_leaves_an_option_open(study: str) -> None:
    definition = compose([study, "data.crop=none", "trial.dropout=none", "run.workers=none", "data.bits=none"])
    assert (definition.data.crop, definition.data.bits, definition.run.workers) == (None, None, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.pruner={kind: rungs, keep: 2}"], "`study.pruner.keep` counts trials that are all at a rung"),
        (["study.pruner={kind: race}", "study.seeds=[0,1,2]"], "not with bayes"),
        (
            ["study.pruner={kind: rungs}", "study.space={epochs: {values: [2, 9]}}", "~trial.epochs"],
            "`study.pruner.min_epochs` must be given where bayes searches `epochs`",
        ),
        (
            ["study.pruner={kind: rungs}", "study.space={lr: {values: [1e-3, 1e-2], set: {1e-2: {epochs: 9}}}}"],
            "`study.pruner.min_epochs` must be given where bayes searches `epochs`",
        ),
    ],
)
def test_what_a_bayesian_search_cannot_prune_by_is_refused(study: str, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([study, "study.method=bayes", "study.trials=3", *words])


def test_a_grid_that_nobody_can_run_is_refused_and_may_be_sampled(study: str) -> None:
    space = "study.space={batch_size: {min: 2, max: 1000000}, lr: {value: 0.1}}"
    with pytest.raises(ConfigError, match="at most 100,000"):
        compose([study, space, "~trial.batch_size"])
    sampled = compose([study, space, "~trial.batch_size", "study.method=random", "study.trials=3"])
    assert {trial.batch_size for trial in sampled.probes()} == {2, 500001, 1000000}
    assert not sampled.space.is_finite()


def test_points_that_break_a_rule_are_refused_in_a_grid_and_skipped_by_a_sampler(study: str) -> None:
    words = [study, "study.space={warmup_epochs: {values: [0, 4]}, epochs: {values: [2, 8]}}", "~trial.epochs",
             "trial.lr=0.1"]  # fmt: skip
    with pytest.raises(ConfigError, match="`warmup_epochs < epochs` must hold"):
        compose(words)
    sampled = compose([*words, "study.method=random", "study.trials=3"])
    assert {(trial.warmup_epochs, trial.epochs) for trial in sampled.probes()} == {(0, 2), (0, 8), (4, 8)}
    share, rule = sampled.broken()
    assert 0.2 < share < 0.3
    assert "warmup_epochs=4, epochs=2" in rule


def test_a_sampled_space_without_any_valid_point_and_a_wrong_value_are_refused(study: str) -> None:
    sampler = [study, "~trial.epochs", "trial.lr=0.1", "study.method=random", "study.trials=3"]
    with pytest.raises(ConfigError, match="none was found"):
        compose([*sampler, "study.space={warmup_epochs: {values: [5, 6]}, epochs: {values: [2, 3]}}"])
    with pytest.raises(ConfigError, match="`trial.epochs` should be greater than or equal to 1, but got -2"):
        compose([*sampler, "study.space={warmup_epochs: {values: [0, 6]}, epochs: {values: [-2, 3]}}"])


def test_a_wrong_value_under_a_condition_is_refused_in_a_large_space(study: str) -> None:
    momentum = "{values: [0.9, 5.0], when: {optimizer: sgd}}"
    few = ",".join(str(i / 100) for i in range(1, 60))
    space = f"{{lr: {{values: [{few}]}}, weight_decay: {{values: [{few}]}}, optimizer: {{values: [adam, sgd]}}"
    for method in ("study.method=grid", "study.method=random"):
        words = [study, method, *(["study.trials=9"] if "random" in method else []), "~trial.optimizer"]
        with pytest.raises(ConfigError, match=r"`trial.momentum`.* but got 5"):
            compose([*words, f"study.space={space}, momentum: {momentum}}}"])


def test_an_unknown_name_without_a_neighbour_lists_a_few(study: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([study, "trial.zzqqxx=1"])
    assert len(str(caught.value)) < 300
    assert "more" in str(caught.value)


def test_all_problems_come_at_once(study: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([study, "trial.batch_size=-5", "run.worker=2", "data.siz=3", "study.seeds=[]"])
    assert len(caught.value.problems) == 4


def test_broken_and_duplicated_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    for text, message in (
        ("study: {name: a", "line 1"),
        ("study:\n  name: a\n  name: b\n", "line 3: .*`name` stands twice"),
        ("- 1", "must hold a mapping"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            compose([f"study={path}"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        compose([f"study={path}"])


@pytest.mark.parametrize(("metric", "direction"), [("val/accuracy", "maximize"), ("val/loss", "minimize")])
def test_the_direction_follows_from_the_metric(study: str, metric: str, direction: str) -> None:
    assert compose([study, f"study.metric={metric}", "study.direction=null"]).study.direction == direction


def test_an_option_of_heads_without_effect_on_any_head_of_the_study_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`dropout` must be left out with `head: mlp_relu`, on which it has no eff"):
        compose(["study=resnet18_lr_batch", "data.root=x", "trial.head=mlp_relu", "trial.dropout=0.3"])
    # one that works on some of the heads is fine
    compose(["study=resnet18_heads", "data.root=x", "trial.head_width=64"])
