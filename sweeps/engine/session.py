"""Before anything is trained: images read, weights named, the plan made. Writes nothing but caches."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig, check_together
from resnet_tl.data.prepare import Prepared, default_cache, prepare
from resnet_tl.errors import ConfigError, WeightsError
from resnet_tl.features.key import FrozenPrefix, frozen_prefix_of
from resnet_tl.fingerprint import Environment, fingerprint, num_outputs_of
from resnet_tl.freezing import num_frozen, num_trained
from resnet_tl.model import weights
from resnet_tl.options import expand
from sweeps.definition.config import Definition, StudyConfig
from sweeps.definition.plan import DONE, Known, Plan, Trial, identity, plan, refuse_change
from sweeps.ledger import Ledger, StudyRow, now


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A pretrain stage for one depth."""

    name: str
    trial: TrialConfig
    data: Prepared
    seed: int
    checkpoint: Path
    """Where its network is, or will be."""


class Session:
    """A definition met with its data, its weights, and what the ledger knows.

    Raises:
        ConfigError: the ledger holds this study with another definition.
        UserError: data or weights cannot be used.
    """

    def __init__(self, definition: Definition, ledger: Ledger | None) -> None:
        self.definition = definition
        self.study = definition.study
        self.out = expand(definition.run.out, "run.out").absolute()
        cache = expand(definition.run.cache, "run.cache") if definition.run.cache else default_cache()
        self.cache = cache.absolute()
        self.known = _known(ledger, self.study)
        # a definition that has no result yet binds nobody
        self.stored = ledger.study(self.study.name) if ledger and self.known.trials else None
        self.environment = self._environment()
        self.data = prepare(definition.data, self.cache)
        self._stages: dict[tuple[str, str], Stage] = {}
        self._weights: dict[tuple[str, str], str] = {}
        self._loaded: set[tuple[str, str]] = set()
        for params in definition.space.probes():
            check_together(definition.trial(params), definition.data, len(self.data.classes))
        self.identity = identity(
            definition,
            self.data.fingerprint,
            self.data.classes,
            self.data.num_images,
            self.environment.identity() | self._fixed_weights(),
        )
        self.plan = self._plan()

    # -- names ------------------------------------------------------------------------------------------------------

    def name_of(self, trial: TrialConfig) -> str:
        """The fingerprint of a configuration on this data."""
        return fingerprint(
            trial,
            data=self.data.fingerprint,
            weights=self.weights_identity(trial),
            num_classes=len(self.data.classes),
            channels=self.data.channels,
            environment=self.environment,
        )

    def weights_identity(self, trial: TrialConfig) -> str:
        """Names the content of a trial's starting weights.

        Raises:
            WeightsError: they cannot be had.
        """
        key = (trial.weights, trial.backbone)
        if key not in self._weights:
            if trial.weights in self.definition.pretrain:
                # what a stage makes is decided by its fingerprint, so planning need not wait for it
                self._weights[key] = f"pretrain/{self.stage(trial).checkpoint.parent.name}"
            elif trial.weights.startswith("runs:/"):
                self._weights[key] = weights.identity(str(self.mlflow_checkpoint(trial.weights)), trial.backbone)
            else:
                self._weights[key] = self._file_identity(trial)
        return self._weights[key]

    def _file_identity(self, trial: TrialConfig) -> str:
        try:
            return weights.identity(trial.weights, trial.backbone)
        except WeightsError as error:
            stages = ", ".join(self.definition.pretrain) or "none"
            raise WeightsError(*error.problems, f"Pretrain stages of this study: {stages}.") from None

    def mlflow_checkpoint(self, uri: str) -> Path:
        """A network that MLflow holds, copied into the cache."""
        from sweeps.engine.tracker import fetch_checkpoint

        folder = self.cache / "runs" / uri.removeprefix("runs:/").split("/")[0]
        if not folder.exists():
            try:
                fetch_checkpoint(uri, self.out, self.definition.run.tracking_uri, folder)
            except OSError as error:
                raise WeightsError(f"`trial.weights` names {uri}, whose checkpoint cannot be had: {error}") from None
        return folder

    def stage(self, trial: TrialConfig) -> Stage:
        """The pretrain stage that a trial starts from."""
        key = (trial.weights, trial.backbone)
        if key not in self._stages:
            from resnet_tl.stage import place, stage_fingerprint

            config = self.definition.pretrain[trial.weights]
            data = prepare(config.data, self.cache)
            staged = self.definition.stage_trial(*key)
            name = stage_fingerprint(staged, data, config.seed, self.environment)
            self._stages[key] = Stage(
                name=trial.weights,
                trial=staged,
                data=data,
                seed=config.seed,
                checkpoint=place(name, self.cache),
            )
        return self._stages[key]

    def start_from(self, trial: TrialConfig) -> TrialConfig:
        """The configuration as a worker needs it: stage names and MLflow runs become paths."""
        if trial.weights in self.definition.pretrain:
            return trial.model_copy(update={"weights": str(self.stage(trial).checkpoint)})
        if trial.weights.startswith("runs:/"):
            return trial.model_copy(update={"weights": str(self.mlflow_checkpoint(trial.weights))})
        return trial

    def require_start(self) -> None:
        """Checks what can be checked of a start without training or downloading.

        Raises:
            UserError: the device is not here, or a weights file does not fit.
        """
        from sweeps.engine.execute import allot

        run = self.definition.run
        allot(run.device, self.environment, run.workers)
        for params in self.definition.space.probes():
            trial = self.definition.trial(params)
            key = (trial.weights, trial.backbone)
            local = self.weights_identity(trial).startswith("sha256:")
            if local and key not in self._loaded:
                weights.load(self.start_from(trial).weights, trial.backbone)
                self._loaded.add(key)

    def num_frozen(self, trial: TrialConfig) -> int:
        """Parameter tensors that stay fixed."""
        return num_frozen(trial, self.data.channels)

    def front(self, trial: TrialConfig) -> FrozenPrefix | None:
        """The frozen front whose outputs a trial can share with others."""
        return frozen_prefix_of(trial, self.data, self.weights_identity(trial), self.environment)

    def num_workers(self) -> int:
        """Processes at a time."""
        from sweeps.engine.execute import allot

        return len(allot(self.definition.run.device, self.environment, self.definition.run.workers))

    def in_use(self) -> list[Path]:
        """Folders of the cache that the study needs to its end, beside features."""
        folders = [Path(self.data.folder)]
        for params in self.definition.space.probes():
            trial = self.definition.trial(params)
            if trial.weights in self.definition.pretrain:
                stage = self.stage(trial)
                folders += [Path(stage.data.folder), stage.checkpoint.parent]
            elif trial.weights.startswith("runs:/"):
                folders.append(self.mlflow_checkpoint(trial.weights))
        return [folder for folder in dict.fromkeys(folders) if folder.exists()]

    def num_trainable(self, trial: TrialConfig) -> int:
        """Parameters that train, head included."""
        return num_trained(
            trial,
            channels=self.data.channels,
            num_outputs=num_outputs_of(trial, len(self.data.classes)),
        )

    # -- the plan ---------------------------------------------------------------------------------------------------

    def _environment(self) -> Environment:
        run, stored = self.definition.run, self.stored
        threads = run.threads or (stored.threads if stored else 1)
        device = run.device.split(":")[0]
        if device == "auto":
            device = stored.device if stored else _found_device()
        return Environment(device=device, threads=threads)

    def _fixed_weights(self) -> dict[str, Any]:
        given = self.definition.base.get("weights")
        if not isinstance(given, str) or given in self.definition.pretrain or "backbone" not in self.definition.base:
            return {}
        trial = next(iter(self.definition.space.probes()), {})
        return {"weights": self.weights_identity(self.definition.trial(trial))}

    def _plan(self) -> Plan:
        reason = None
        try:
            made = plan(self.definition, self.known, self.name_of)
        except ConfigError as error:
            if self.stored is None:
                raise
            reason = str(error)
        if self.stored is not None:
            refuse_change(self.study.name, self.stored.identity, self.identity, reason)
        return made

    def study_row(self, command: str, created: str) -> StudyRow:
        """What the ledger remembers of the study itself."""
        study = self.study
        hypotheses = [hypothesis.written() for hypothesis in study.hypotheses]
        before = self.stored.description if self.stored else {}
        changed = before.get("hypotheses_changed")  # a study that is stored has results
        if self.stored and before["hypotheses"] != hypotheses:
            changed = now()[:10]
        return StudyRow(
            name=study.name,
            created=self.stored.created if self.stored else created,
            identity=self.identity,
            description={
                "question": study.question,
                "about": study.about,
                "hypotheses": hypotheses,
                "hypotheses_changed": changed,
                "tables": [table.written() for table in study.tables],
                "figures": list(study.figures),
                "confirm": None
                if study.confirm is None
                else {"top": study.confirm.top, "seeds": list(study.confirm.seeds)},
                "trials": len(self.plan.trials) + self.plan.to_ask,
                "command": command,
                "num_images": self.data.num_images,
                "skipped": self.data.skipped,
                "num_leaked": self.data.num_leaked,
                "num_contradicting": self.data.num_contradicting,
                "out": "." if self.out == Path.cwd() else os.path.relpath(self.out),
            },
            threads=self.environment.threads,
            device=self.environment.device,
        )


def _known(ledger: Ledger | None, study: StudyConfig) -> Known:
    states = {(run.fingerprint, run.seed): run.state for run in ledger.seed_runs(study.name)} if ledger else {}
    if ledger is None or not any(state in DONE for state in states.values()):
        return Known()
    trials = tuple(
        Trial(
            number=row.number,
            params=row.params,
            config=TrialConfig.model_validate(row.config),
            fingerprint=row.fingerprint,
        )
        for row in ledger.trials(study.name)
    )
    if not study.is_listed:
        # proposed but never run: the same ones are proposed again, if the study still wants so many
        begun = {fingerprint for fingerprint, _ in states}
        last = max((trial.number for trial in trials if trial.fingerprint in begun), default=-1)
        trials = tuple(trial for trial in trials if trial.number <= last)
    return Known(trials=trials, states=states)


def _found_device() -> str:
    from sweeps.engine.work import cuda_devices

    return "cuda" if cuda_devices() else "cpu"
