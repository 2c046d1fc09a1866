import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.identity import Environment
from resnet_tl.model.starting_point import starting_point
from resnet_tl.training.member import Member
from resnet_tl.training.timing import time_steps
from tests.conftest import trial

CPU = Environment(device="cpu", threads=1)


@pytest.mark.filterwarnings("ignore:the frozen part")
@pytest.mark.parametrize(("changes", "many"), [({}, 1), ({"freeze": "layer3"}, 1), ({"freeze": "all"}, 3)])
def test_the_steps_of_a_training_are_timed(prepared: Prepared, changes: dict[str, object], many: int) -> None:
    config = trial(epochs=1, **changes)
    members = [Member(trial=config, seed=seed) for seed in range(many)]
    told = time_steps(members, starting_point(config, prepared), environment=CPU, device="cpu")
    assert min(told.begin_s, told.inputs_s, told.step_s, told.scored_s) > 0
    assert told.batch == config.batch_size
    assert told.num_steps == -(-prepared.num_images["train"] // config.batch_size)
    if many > 1:
        assert told.step_s < told.inputs_s, "heads cost less than the backbone before them"
