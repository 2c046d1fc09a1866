"""Members that bagging and boosting train for themselves: seed runs of a study `NAME/METHOD`, in the same ledger.

Each is trained as the study's best trial, on training images drawn for it, and is kept, resumed and reported as any
seed run. What a member of boosting draws follows from the members before it, so that the next start draws the same.

Axes: N training images, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from resnet_tl.data.cache import default_cache
from resnet_tl.data.draws import draw_S, write_draws
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.errors import ConfigError
from resnet_tl.metrics import Floats, Ints
from resnet_tl.option_text import expand
from sweeps.definition.config import Definition, MembersConfig
from sweeps.definition.space import Space
from sweeps.engine.driver import drive
from sweeps.records import RunState, TrialRecord, folder_of_study
from sweeps.statistics.boosting import boosted
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from sweeps.study_trial import data_of, network_of

NUM_MEMBERS = 5
METHODS = ("bagging", "boosting")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """Members that have been trained."""

    study: str
    """Which they are the seeds of, from 0 up."""
    weights: tuple[float, ...]
    """Of each member's probabilities; their sum is 1."""
    ended: str | None = None
    """Why there are fewer than were asked for."""


class OwnMembers:
    """What one method trains for a study.

    Args:
        definition: of the study, whose images and starting weights they have.
        trial: whose configuration they have.

    Raises:
        ConfigError: the trial learns from generated images.
    """

    def __init__(self, definition: Definition, trial: TrialRecord, method: str) -> None:
        assert method in METHODS
        if data_of(trial.config, definition.data).synthetic:
            raise ConfigError(
                f"Members of {method} are trained as the best trial, each on images drawn for it, so that trial "
                f"must have no generated images (`data.synthetic`), but trial {trial.number} has."
            )
        self._definition, self._trial, self._method = definition, trial, method
        self._out = expand(definition.run.out, "run.out").resolve()
        run = definition.run
        self._cache = (expand(run.cache, "run.cache") if run.cache else default_cache()).absolute()
        self._base = network_of(trial.config).model_dump(mode="json", exclude_defaults=True)

    def num_trained(self) -> int:
        """Members that are there already, from the first on without a gap."""
        ledger = database_of(self._out).read()
        try:
            done = {run.seed for run in ledger.seed_runs(self._name()) if run.state == RunState.COMPLETE}
        finally:
            ledger.close()
        return next(number for number in range(len(done) + 1) if number not in done)

    def train(self, count: int, *, command: str, console: Console) -> Trained:
        """Trains what lacks of so many members.

        Args:
            command: as the user gave it, for the report.

        Raises:
            UserError: they cannot be trained, or a member diverged or failed.
        """
        name, data = self._name(), self._data()
        folder = self._out / "mlruns" / "networks" / folder_of_study(name) / "draws"
        folder.mkdir(parents=True, exist_ok=True)
        draws: dict[int, Path] = {}
        if self._method == "bagging":
            equal_N = np.ones(len(data.load().splits["train"]))
            for seed in range(count):
                draws[seed] = self._draw(folder, data, equal_N, seed)
            self._run(name, draws, command=command, console=console)
            return Trained(study=name, weights=(1 / count,) * count)
        return self._boost(name, data, folder, count, command=command, console=console)

    def _boost(self, name: str, data: Prepared, folder: Path, count: int, *, command: str, console: Console) -> Trained:
        images = data.load()
        train = images.splits["train"]
        labels_N, num_classes = images.labels_N[train], len(data.classes)
        weights_N = np.full(len(train), 1 / len(train))
        draws: dict[int, Path] = {}
        says: list[float] = []
        ended = None
        for seed in range(count):
            draws[seed] = self._draw(folder, data, weights_N, seed)
            self._run(name, draws, command=command, console=console)
            wrong_N = self._predicted_N(name, seed) != labels_N
            found = boosted(weights_N, wrong_N, num_classes)
            if found is None:
                ended = f"member {seed + 1} is no better than guessing on the images as they are weighted by then"
                break
            says.append(found.say)
            if not wrong_N.any():
                ended = f"member {seed + 1} gets every training image right, so that there is nothing to weigh"
                break
            weights_N = found.weights_N
        if not says:
            raise ConfigError(f"Boosting has no member: {ended}.")
        total = sum(says)
        return Trained(
            study=name,
            weights=tuple(say / total for say in says),
            ended=ended if len(says) < count else None,
        )

    def _draw(self, folder: Path, data: Prepared, weights_N: Floats, seed: int) -> Path:
        images = data.load()
        return write_draws(folder, seed, draw_S(images.splits["train"], images.labels_N, weights_N, seed))

    def _data(self) -> Prepared:
        return prepare(data_of(self._trial.config, self._definition.data), self._cache)

    def _predicted_N(self, name: str, seed: int) -> Ints:
        """What a member says of each training image."""
        from resnet_tl.inference.evaluate import score
        from resnet_tl.inference.predictor import predictor_of

        ledger = database_of(self._out).read()
        try:
            about, (run,) = ledger.study(name), [run for run in ledger.seed_runs(name) if run.seed == seed]
        finally:
            ledger.close()
        network = NetworkStore(self._out, name).network_of(run)
        if network is None or about is None:
            raise ConfigError(f"The network of member {seed + 1} of {name} must be kept, but is gone from {self._out}.")
        predictor = predictor_of(network, device=about.environment.device)
        told = score(predictor, self._definition_of(name, {}).data, split="train", cache=self._cache)
        predicted_N: Ints = told.log_p_NK.argmax(1)
        return predicted_N

    def _run(self, name: str, draws: dict[int, Path], *, command: str, console: Console) -> None:
        ledger = database_of(self._out).read()
        try:
            about = ledger.study(name)
        finally:
            ledger.close()
        # those that an earlier start asked for stay asked for; their draws are what they were
        folder = next(iter(draws.values())).parent
        earlier = {seed: folder / f"{seed}.npy" for seed in (about.seeds if about else ())}
        every = dict(sorted((earlier | draws).items()))
        outcome = drive(self._definition_of(name, every), command=command, console=console)
        if outcome.ended_by is not None:
            raise outcome.ended_by
        ledger = database_of(self._out).read()
        try:
            runs = [run for run in ledger.seed_runs(name) if run.seed in draws and run.state != RunState.COMPLETE]
        finally:
            ledger.close()
        if runs:
            raise ConfigError(
                f"Every member of {name} must come to an end, but member {runs[0].seed + 1} {runs[0].state}: "
                f"{(runs[0].reason or '').splitlines()[-1]}"
            )

    def _definition_of(self, name: str, draws: dict[int, Path]) -> Definition:
        """What a study of these members asks for."""
        definition, trial = self._definition, self._trial
        study = definition.study.model_copy(
            update={
                "name": name,
                "question": f"Members of {self._method} for the study {definition.study.name}, trained as its trial "
                f"{trial.number}.",
                "about": "",
                "hypotheses": (),
                "method": "grid",
                "space": {},
                "seeds": tuple(draws),
                "trials": None,
                "confirm": None,
                "tables": (),
                "figures": (),
            }
        )
        return replace(
            definition,
            study=study,
            space=Space.parse({}, self._base),
            base=self._base,
            data=data_of(trial.config, definition.data),
            run=definition.run.model_copy(update={"keep": "all"}),
            members=MembersConfig(method=self._method, draws=draws),
            notes=(),
        )

    def _name(self) -> str:
        """Of the study that has members of this configuration, or is to have them."""
        ledger = database_of(self._out).read()
        try:
            known = {study.name: study.base for study in ledger.studies()}
        finally:
            ledger.close()
        first = f"{self._definition.study.name}/{self._method}"
        return next(name for name in _numbered(first) if known.get(name, self._base) == self._base)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
