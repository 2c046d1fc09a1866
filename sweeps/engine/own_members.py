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

from resnet_tl.config import real_images
from resnet_tl.data.cache import default_cache
from resnet_tl.data.draws import draw_S, write_draws
from resnet_tl.data.prepare import Images, Prepared, prepare
from resnet_tl.device import gives_back
from resnet_tl.errors import ConfigError
from resnet_tl.metrics import Floats, Ints
from resnet_tl.option_text import expand
from sweeps.definition.config import Definition, MembersConfig
from sweeps.definition.space import Space
from sweeps.engine.driver import drive
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.records import OWN_MEMBERS, RunState, SeedRun, StudyRecord, TrialRecord, folder_of_study
from sweeps.statistics.boosting import boosted
from sweeps.storage.database import database_of
from sweeps.storage.network_store import NetworkStore
from sweeps.study_trial import data_of, network_of

NUM_MEMBERS = 5


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
        assert method in OWN_MEMBERS
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
        about, _ = self._known(definition.study.name)
        assert about is not None, "members are trained as the best trial of a study that has run"
        self._about = about
        self._driven = False

    def num_trained(self) -> int:
        """Members that are there already, from the first on without a gap."""
        _, runs = self._known(self._name())
        done = {seed for seed, run in runs.items() if run.state == RunState.COMPLETE}
        return next(number for number in range(len(done) + 1) if number not in done)

    def train(self, count: int, *, command: str, console: Console) -> Trained:
        """Trains what lacks of so many members.

        Args:
            command: as the user gave it, for the report.

        Raises:
            UserError: they cannot be trained, or a member diverged or failed.
        """
        name, data = self._name(), self._data()
        self._require_same_start()
        # the study's own lock is held by its driver, which comes and goes between members
        with database_of(self._out, self._definition.run.storage).lock(f"{name}/members"):
            return self._train(name, data, count, command=command, console=console)

    def _train(self, name: str, data: Prepared, count: int, *, command: str, console: Console) -> Trained:
        folder = self._out / "mlruns" / "networks" / folder_of_study(name) / "draws"
        folder.mkdir(parents=True, exist_ok=True)
        draws: dict[int, Path] = {}
        if self._method == "bagging":
            images = data.load()
            equal_N = np.ones(len(images.splits["train"]))
            for seed in range(count):
                draws[seed] = _draw(folder, images, equal_N, seed)
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
            draws[seed] = _draw(folder, images, weights_N, seed)
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

    def _require_same_start(self) -> None:
        """Members differ from the trial in what they draw, and in nothing else.

        Raises:
            ConfigError: the file asks for other starting weights or stages than the study ran with.
        """
        ledger = database_of(self._out, self._definition.run.storage).read()
        try:
            prepared = PreparedStudy(self._definition, ledger)
        finally:
            ledger.close()
        prepared.data = prepare(real_images(self._definition.data), self._cache)
        if prepared.name_of(self._trial.config) != self._trial.fingerprint:
            raise ConfigError(
                f"Members must start as trial {self._trial.number} of {self._about.name} did, but its file asks for "
                "something else now: other starting weights, another pretrain stage, or other versions of torch. Give "
                "the file that the study ran with."
            )

    def _data(self) -> Prepared:
        return prepare(data_of(self._trial.config, self._definition.data), self._cache)

    def _predicted_N(self, name: str, seed: int) -> Ints:
        """What a member says of each training image."""
        from resnet_tl.inference.evaluate import score
        from resnet_tl.inference.predictor import predictor_of

        _, runs = self._known(name)
        network = NetworkStore(self._out, name).network_of(runs[seed])
        if network is None:
            raise ConfigError(f"The network of member {seed + 1} of {name} must be kept, but is gone from {self._out}.")
        config = data_of(self._trial.config, self._definition.data).model_copy(update={"shifted": None})
        device = self._device()
        with gives_back(device):  # the next member is trained by another process
            told = score(predictor_of(network, device=device), config, split="train", cache=self._cache)
        predicted_N: Ints = told.log_p_NK.argmax(1)
        return predicted_N

    def _run(self, name: str, draws: dict[int, Path], *, command: str, console: Console) -> None:
        """Trains what lacks of these members; those that an earlier start asked for stay asked for, as they were."""
        about, done = self._known(name)
        complete = {seed for seed, run in done.items() if run.state == RunState.COMPLETE}
        asked = set(about.seeds if about else ())
        # once for those that are there, too: whoever trained them may have been stopped before all of it was shown; but
        # none that failed is tried again for the sake of those before it
        if set(draws) <= complete and (self._driven or not asked <= complete):
            return
        self._driven = True
        folder = next(iter(draws.values())).parent
        earlier = {seed: folder / f"{seed}.npy" for seed in (about.seeds if about else ())}
        every = dict(sorted((earlier | draws).items()))
        outcome = drive(self._definition_of(name, every), command=command, console=console)
        if outcome.ended_by is not None:
            raise outcome.ended_by
        _, done = self._known(name)
        for seed in draws:
            if done[seed].state != RunState.COMPLETE:
                raise ConfigError(
                    f"Every member must come to an end, but member {seed + 1} of {name} {done[seed].state}: "
                    f"{(done[seed].reason or '').splitlines()[-1]}. members={seed} takes those before it."
                )

    def _known(self, name: str) -> tuple[StudyRecord | None, dict[int, SeedRun]]:
        """What the ledger has of a study of members: the study, and its seed runs by seed."""
        ledger = database_of(self._out, self._definition.run.storage).read()
        try:
            return ledger.study(name), {run.seed: run for run in ledger.seed_runs(name)}
        finally:
            ledger.close()

    def _definition_of(self, name: str, draws: dict[int, Path]) -> Definition:
        """What a study of these members asks for."""
        definition, trial, about = self._definition, self._trial, self._about.environment
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
                "pruner": (),
                "stop": None,
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
            run=definition.run.model_copy(
                update={
                    "keep": "all",
                    "threads": about.threads,
                    "device": self._device(),
                }
            ),
            members=MembersConfig(method=self._method, draws=draws),
            notes=(),
        )

    def _device(self) -> str:
        """Where members are trained and scored: as asked for, `cuda:1` say, else on such a device as the study had."""
        asked = self._definition.run.device
        return self._about.environment.device if asked == "auto" else asked

    def _name(self) -> str:
        """Of the study that has members of this configuration, or is to have them."""
        ledger = database_of(self._out, self._definition.run.storage).read()
        try:
            known = {study.name: study.base for study in ledger.studies()}
        finally:
            ledger.close()
        first = f"{self._definition.study.name}/{self._method}"
        return next(name for name in _numbered(first) if known.get(name, self._base) == self._base)


def _draw(folder: Path, images: Images, weights_N: Floats, seed: int) -> Path:
    return write_draws(folder, seed, draw_S(images.splits["train"], images.labels_N, weights_N, seed))


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
