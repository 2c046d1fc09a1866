"""How long seed runs take: worker-seconds per epoch of each shape of work, learnt from what has run, and what is left.

Two trials have the same shape when an epoch of one takes as long as an epoch of the other.
"""

from collections.abc import Hashable, Mapping

from resnet_tl.architecture import piece_costs
from resnet_tl.config import TrialConfig
from resnet_tl.freezing import cut_of, num_frozen
from resnet_tl.identity import digest

WITHOUT_COST = frozenset(
    {
        "weights", "lr", "momentum", "weight_decay", "schedule", "warmup_epochs", "backbone_lr_factor",
        "label_smoothing", "dropout", "first_layer", "epochs", "patience", "monitor", "freeze", "trainable_blocks",
    }
)  # fmt: skip
"""Options that do not change how long an epoch takes, but for how many tensors are frozen."""


HEAD_MACS = 1e5
"""Of a head on stored features, whose time is not in its few multiplications."""


def shape_of(trial: TrialConfig) -> str:
    """Names what decides how long an epoch of a trial takes, on the images of one study."""
    return digest([trial.model_dump(mode="json", exclude=set(WITHOUT_COST)), num_frozen(trial, channels=3)])


def epoch_cost(trial: TrialConfig, channels: int, *, is_stored: bool) -> float:
    """How much an epoch computes, beside others of the same images: a backward pass takes two forward ones.

    Args:
        is_stored: whether outputs of the frozen prefix are.
    """
    costs = [piece.macs for piece in piece_costs(trial.backbone, channels, (64, 64))]
    cut = cut_of(trial, channels)
    return 3 * sum(costs[cut:]) + (0 if is_stored else sum(costs[:cut])) + HEAD_MACS


class Pace:
    """Worker-seconds per epoch: what one worker needs while all of them work."""

    def __init__(self) -> None:
        self._costs: dict[str, float] = {}
        self._epochs: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._running: dict[Hashable, tuple[str, float, float]] = {}

    def expect(self, shape: str, cost: float) -> None:
        """Takes note of what an epoch of a shape costs beside those of others, until one of it has run."""
        self._costs[shape] = cost

    def learn(self, shape: str, *, epochs: float, seconds: float) -> None:
        """Takes note of a seed run that has ended."""
        if epochs > 0:
            self._epochs[shape] = self._epochs.get(shape, 0.0) + epochs
            self._seconds[shape] = self._seconds.get(shape, 0.0) + seconds

    def follow(self, key: Hashable, shape: str, *, epochs: float, seconds: float) -> None:
        """Takes note of how far a job is; `epochs` of several seed runs side by side are added up."""
        self._running[key] = shape, epochs, seconds

    def forget(self, key: Hashable) -> None:
        """A job has ended, and comes to `learn` as far as it has a result."""
        self._running.pop(key, None)

    def left_s(self, waiting: Mapping[str | None, float], workers: int, *, num_runs: int) -> float | None:
        """Seconds until all is done; None before anything is known.

        Args:
            waiting: epochs of all seed runs without a result, those that run now included, by their shape; None stands
                for shapes that are not known yet.
            workers: jobs at a time.
            num_runs: seed runs without a result.
        """
        epochs, seconds = dict(self._epochs), dict(self._seconds)
        for shape, done, spent in self._running.values():
            if done >= 1:  # before that most of it is loading
                epochs[shape] = epochs.get(shape, 0.0) + done
                seconds[shape] = seconds.get(shape, 0.0) + spent
        if not sum(epochs.values()):
            return None
        mean_s = sum(seconds.values()) / sum(epochs.values())
        costed = [known for known in epochs if known in self._costs]
        total = sum(epochs[known] * self._costs[known] for known in costed)
        cost_s = sum(seconds[known] for known in costed) / total if total else None

        def epoch_s(shape: str | None) -> float:
            if shape is None:
                return mean_s
            if shape in epochs:
                return seconds[shape] / epochs[shape]
            return mean_s if cost_s is None or shape not in self._costs else cost_s * self._costs[shape]

        whole = sum(many * epoch_s(shape) for shape, many in waiting.items())
        done_s = sum(done * epoch_s(shape) for shape, done, _ in self._running.values())
        return max(0.0, whole - done_s) / max(1, min(workers, num_runs))
