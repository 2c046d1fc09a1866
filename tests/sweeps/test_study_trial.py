import pytest

from resnet_tl.config import DataConfig, SyntheticConfig, TrialConfig
from resnet_tl.errors import ConfigError
from sweeps.definition.compose import compose
from sweeps.study_trial import StudyTrial, data_of, from_stored
from tests.conftest import trial

WORDS = (
    "study=quickstart", "study.name=s", "data.source=image_folder", "data.root=images", "study.hypotheses=[]",
    "trial.weights=none", "study.method=grid", "study.tables=[summary]", "study.seeds=[0]",
)  # fmt: skip


def shown(*words: str) -> list[tuple[object, object, object]]:
    definition = compose([*WORDS, *words])
    trials = [definition.trial(params) for params in definition.points()]
    found = [data_of(one, definition.data) for one in trials]
    return [(data.size, data.crop, data.balanced) for data in found]


def test_a_trial_without_them_sees_the_images_as_the_study_does() -> None:
    data = DataConfig(source="digits", size=16, balanced="oversample")
    assert data_of(trial(), data) is data


def test_searched_options_of_the_data_show_its_images_in_other_ways() -> None:
    assert shown(
        "study.space={balanced: {values: ['off', oversample]}}", "data.size=64", "data.crop=56", "trial.lr=1"
    ) == [
        (64, 56, False),
        (64, 56, "oversample"),
    ]
    assert shown("study.space={size: {values: [64, 32]}, crop: {values: [24]}}", "trial.lr=1") == [
        (64, 24, False),
        (32, 24, False),
    ]
    assert shown(
        "study.space={lr: {values: [1e-3, 1e-2], set: {1e-2: {size: 32}}}}", "data.size=64", "data.balanced=off"
    ) == [(64, None, False), (32, None, False)]


def test_the_first_size_is_that_of_the_cut_where_none_is_stated() -> None:
    assert compose([*WORDS, "trial.lr=1", "study.space={size: {values: [64, 32]}}", "data.size=none"]).data.size == 64
    assert compose([*WORDS, "trial.lr=1", "study.space={size: {values: [64, 32]}}", "data.size=48"]).data.size == 48


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{balanced: {values: [true]}}", "must not be `true`, but one of off, oversample, class_weights"),
        ("{size: {values: [4]}}", "`study.space.size` should be greater than or equal to 8, but got 4"),
        ("{size: {values: [32]}, crop: {values: [48]}}", "`crop <= size` must hold, but got crop=48, size=32"),
    ],
)
def test_ways_that_cannot_be_are_refused(space: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([*WORDS, "trial.lr=1", f"study.space={space}"])


def test_a_stored_trial_comes_back_as_it_was() -> None:
    plain = trial()
    varied = StudyTrial.model_validate(plain.model_dump() | {"balanced": "off", "size": 32, "crop": None})
    for one in (plain, varied):
        back = from_stored(one.model_dump(mode="json"))
        assert back == one
        assert type(back) is type(one)
    assert type(from_stored(plain.model_dump(mode="json"))) is TrialConfig


def shares(*words: str) -> list[object]:
    definition = compose([*WORDS, "trial.lr=1", *words])
    trials = [definition.trial(params) for params in definition.points()]
    return [data_of(one, definition.data).synthetic for one in trials]


def test_a_searched_share_of_generated_images_has_the_generator_of_the_data() -> None:
    space = "study.space={synthetic: {values: [0, 0.5]}}"
    assert shares(space) == [None, SyntheticConfig(share=0.5)]
    assert shares(space, "data.synthetic={share: 0.1, steps: 7, seed: 2}") == [
        None,
        SyntheticConfig(share=0.5, steps=7, seed=2),
    ]
    other = "study.space={balanced: {values: ['off', class_weights]}}"
    assert shares(other, "data.synthetic={share: 0.1}") == [SyntheticConfig(share=0.1)] * 2
    with pytest.raises(ConfigError, match="give one of them"):
        shares("study.space={balanced: {values: ['off', oversample]}}", "data.synthetic={share: 0.1}")
    with pytest.raises(ConfigError, match=r"`study\.space\.synthetic` should be less than 1, but got 1"):
        shares("study.space={synthetic: {values: [0, 1]}}")


def test_a_trial_that_was_stored_before_there_were_generated_images_has_none() -> None:
    values = trial().model_dump(mode="json") | {"balanced": "off", "size": 32, "crop": None}
    back = from_stored(values)
    assert isinstance(back, StudyTrial)
    assert back.synthetic == 0
    assert data_of(back, DataConfig(source="digits", size=16)).synthetic is None
