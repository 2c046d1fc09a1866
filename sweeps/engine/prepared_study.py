"""Before anything is trained: images read, weights named, the plan made. Writes nothing but caches."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from resnet_tl.config import FINITE_AUGMENTATIONS, DataConfig, TrialConfig, check_scored, check_together, real_images
from resnet_tl.data.cache import default_cache, hold, room
from resnet_tl.data.overlap import num_scored_images_learnt, share_images
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.synthetic import with_generated
from resnet_tl.data.views import View, finite_views
from resnet_tl.device import found
from resnet_tl.errors import ConfigError, WeightsError
from resnet_tl.features.key import FrozenPrefix, frozen_prefix_of
from resnet_tl.freezing import num_frozen, phases
from resnet_tl.identity import Environment, fingerprint
from resnet_tl.model import weights
from resnet_tl.option_text import expand
from resnet_tl.parts import installed
from resnet_tl.training.stage import StageResult, is_made, place, result_of, stage_fingerprint
from sweeps.definition.aims import sizes_of
from sweeps.definition.config import Definition, StudyConfig
from sweeps.execution.devices import feature_bytes
from sweeps.execution.executor import Slot
from sweeps.execution.executors import allot, require_executor
from sweeps.planning.feature_reuse import Conditions, Planned, Reuse, decide
from sweeps.planning.plan import Known, Plan, plan
from sweeps.planning.same_study import require_same
from sweeps.planning.study_state import StudyState
from sweeps.records import (
    NAMING,
    ConfirmRecord,
    DataRecord,
    EnvironmentRecord,
    RunState,
    SeedRun,
    StageRecord,
    StudyRecord,
)
from sweeps.storage.ledger import Ledger, now
from sweeps.study_trial import data_of, network_of
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_files import fetch_checkpoint
from sweeps.tracking.tracker import TrainedStage


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A pretrain stage for one depth."""

    name: str
    trial: TrialConfig
    source: str
    """`data.source` of its images."""
    data: Prepared
    seed: int
    checkpoint: Path
    """Where its network is, or will be."""

    def describe(self) -> str:
        """What it learns from, in one line."""
        return (
            f"{self.name} ({self.trial.backbone}) on {self.source}: {self.data.num_images['train']:,} train images of "
            f"{len(self.data.classes)} classes, {self.trial.num_epochs} epoch{'s' if self.trial.num_epochs > 1 else ''}"
        )

    @property
    def fingerprint(self) -> str:
        """Names the network that it makes."""
        return self.checkpoint.parent.name

    def result(self) -> StageResult | None:
        """What it came to; None before it is trained."""
        return result_of(self.checkpoint, self.trial.monitor) if is_made(self.checkpoint) else None


class PreparedStudy:
    """A definition met with its data, its weights, and what the ledger knows; `prepare_study` makes it."""

    def __init__(self, definition: Definition, ledger: Ledger | None) -> None:
        self.definition = definition
        self.study = definition.study
        self.out = expand(definition.run.out, "run.out").resolve()
        cache = expand(definition.run.cache, "run.cache") if definition.run.cache else default_cache()
        self.cache = cache.absolute()
        self.runs = ledger.seed_runs(self.study.name, curves=bool(self.study.pruner)) if ledger else []
        self.known = _known(ledger, self.study, self.runs)
        # a definition that has no result yet binds nobody
        self.stored = ledger.study(self.study.name) if ledger and self.known.trials else None
        self.environment = self._environment()
        self._shown: dict[str, Prepared] = {}
        self._stages: dict[tuple[str, str], Stage] = {}
        self._weights: dict[tuple[str, str], str] = {}
        self.data: Prepared
        """The images of the study, real ones alone; `data_of` is what a trial learns from."""
        self.plan: Plan

    # -- images -----------------------------------------------------------------------------------------------------

    def data_of(self, trial: TrialConfig) -> Prepared:
        """The images as a trial is shown them: the same ones in the same splits, at its own size, crop and balance.

        With a share of generated ones these stand beside them, and may have yet to be made.
        """
        return self._presented(data_of(trial, self.definition.data))

    def _presented(self, config: DataConfig) -> Prepared:
        real = real_images(config)
        if config == real_images(self.definition.data):
            return self.data
        name = config.model_dump_json()
        if name not in self._shown:
            self._shown[name] = (
                with_generated(self._presented(real), config.synthetic, environment=self.environment, cache=self.cache)
                if config.synthetic
                else prepare(config, self.cache, folds=self.study.folds or 0, like=self.data)
            )
        return self._shown[name]

    def shown(self) -> list[Prepared]:
        """The images in every way that trials are shown them, as far as these are known."""
        return list({data.fingerprint: data for data in (self.data, *self._shown.values())}.values())

    def generated(self, configs: Iterable[TrialConfig]) -> list[Prepared]:
        """Images of which trials are shown generated ones, one for each generator."""
        shown = [self.data_of(config) for config in configs]
        return list({data.folder: data for data in shown if data.generated}.values())

    # -- names ------------------------------------------------------------------------------------------------------

    def name_of(self, trial: TrialConfig) -> str:
        """The fingerprint of a configuration on this data."""
        return fingerprint(
            trial,
            data=self.data_of(trial).fingerprint,
            weights=self.weights_identity(trial),
            num_classes=len(self.data.classes),
            channels=self.data.channels,
            environment=self.environment,
            weights_channels=self._weights_channels(trial),
        )

    def _weights_channels(self, trial: TrialConfig) -> int | None:
        """What the starting weights expect, as far as it is known before they are loaded."""
        if trial.weights in self.definition.pretrain:
            return self.stage(trial).data.channels
        return weights.channels_of(self.start_from(trial).weights, trial.backbone)

    def weights_identity(self, trial: TrialConfig) -> str:
        """Names the content of a trial's starting weights.

        Raises:
            WeightsError: they cannot be had.
        """
        key = (trial.weights, trial.backbone)
        if key not in self._weights:
            if trial.weights in self.definition.pretrain:
                # what a stage makes is decided by its fingerprint, so planning need not wait for it
                self._weights[key] = f"pretrain/{self.stage(trial).fingerprint}"
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
        folder = self.cache / "runs" / uri.removeprefix("runs:/").split("/")[0]
        if not folder.exists():
            try:
                fetch_checkpoint(self.tracked(), uri, folder)
            except OSError as error:
                raise WeightsError(f"`trial.weights` names {uri}, whose checkpoint cannot be had: {error}") from None
        return folder

    def tracked(self) -> Place:
        """Where MLflow keeps the study."""
        return Place(out=self.out, cache=self.cache, given=self.definition.run.tracking_uri)

    def stage(self, trial: TrialConfig) -> Stage:
        """The pretrain stage that a trial starts from."""
        key = (trial.weights, trial.backbone)
        if key not in self._stages:
            config = self.definition.pretrain[trial.weights]
            data = prepare(config.data, self.cache)
            staged = self.definition.stage_trial(*key)
            name = stage_fingerprint(staged, data, config.seed, self.environment)
            self._stages[key] = Stage(
                name=trial.weights,
                trial=staged,
                source=config.data.source,
                data=data,
                seed=config.seed,
                checkpoint=place(name, self.cache),
            )
        return self._stages[key]

    def stages(self) -> list[Stage]:
        """The pretrain stages that trials start from, one for each depth."""
        if not self.definition.pretrain:
            return []
        starts = {(trial.weights, trial.backbone): trial for trial in self.probes()}
        return [self.stage(trial) for trial in starts.values() if trial.weights in self.definition.pretrain]

    def stage_records(self) -> dict[str, StageRecord]:
        """What the study notes of its pretrain stages, with their scores as far as they are trained."""
        used: dict[str, list[Stage]] = {}
        for stage in self.stages():
            used.setdefault(stage.name, []).append(stage)
        found = {}
        for name, given in self.definition.pretrain.items():
            record = StageRecord(trial=given.trial, seed=given.seed, data=data_options(given.data))
            if of_depths := used.get(name):
                data, monitor = of_depths[0].data, of_depths[0].trial.monitor
                tried = [(stage.trial.backbone, stage.result()) for stage in of_depths]
                results = {depth: result for depth, result in tried if result is not None}
                # what was noted stays, although the network may have gone from the cache since
                before = self.stored.pretrain.get(name, record) if self.stored else record
                spent = {depth: result.wall_s for depth, result in results.items() if result.wall_s is not None}
                record = replace(
                    record,
                    num_train=data.num_images["train"],
                    num_classes=len(data.classes),
                    monitor=monitor,
                    scores={**before.scores} | {depth: result.score for depth, result in results.items()},
                    best_epochs={**before.best_epochs}
                    | {depth: result.best_epoch for depth, result in results.items()},
                    wall_s={**before.wall_s} | spent,
                )
            found[name] = record
        return found

    def trained_stages(self) -> list[TrainedStage]:
        """Those of the pretrain stages that have been trained, as trackers show them."""
        return [
            TrainedStage(
                name=stage.name,
                fingerprint=stage.fingerprint,
                trial=stage.trial,
                seed=stage.seed,
                source=stage.source,
                data=stage.data.fingerprint,
                result=result,
                network=stage.checkpoint,
            )
            for stage in self.stages()
            if (result := stage.result()) is not None
        ]

    def start_from(self, trial: TrialConfig) -> TrialConfig:
        """The configuration as a worker needs it: of the network alone, stage names and MLflow runs become paths."""
        trial = network_of(trial)
        if trial.weights in self.definition.pretrain:
            return trial.model_copy(update={"weights": str(self.stage(trial).checkpoint)})
        if trial.weights.startswith("runs:/"):
            return trial.model_copy(update={"weights": str(self.mlflow_checkpoint(trial.weights))})
        return trial

    def probes(self) -> list[TrialConfig]:
        """Configurations that show every value of the space and both ends of every range."""
        return self.definition.probes()

    # -- checks -----------------------------------------------------------------------------------------------------

    def require_start(self) -> list[str]:
        """Checks what can be checked of a start without training or downloading.

        Returns:
            What the user may not expect of the starting weights, one sentence each.

        Raises:
            UserError: the device is not here, or weights cannot be had or do not fit.
        """
        self.slots()
        starts: dict[tuple[str, str], None] = {}
        for trial in self.probes() if self.plan.todo or self.plan.to_ask else ():
            staged = trial.weights in self.definition.pretrain
            if staged and is_made(self.stage(trial).checkpoint):
                continue
            own = self.stage(trial).trial if staged else self.start_from(trial)
            starts[own.weights, own.backbone] = None
        return list(dict.fromkeys(said for spec, backbone in starts for said in weights.check(spec, backbone)))

    def num_classes_in_val(self) -> int:
        """Classes that have an image in val; with folds, the fewest of any fit.

        Raises:
            DataError: the images cannot be cut with one of the seeds.
        """
        data, confirm = self.data, self.study.confirm
        if not data.folds:
            return data.num_classes_in("val")
        images = data.load()
        pairs = np.unique(np.stack([images.clusters_N, images.labels_N]), axis=1)
        if len(pairs[0]) == len(np.unique(images.clusters_N)):  # a class is dealt for itself, and is in every fold
            return len(data.classes)
        return min(
            len(set(images.labels_N[fold_N == fold]))
            for seed in (*self.study.seeds, *(confirm.seeds if confirm else ()))
            for fold_N in [data.cut(images, seed)]
            for fold in range(data.folds)
        )

    def warnings(self) -> list[str]:
        """What makes scores look better than they are, one sentence each."""
        return [f"warning: {doubt}" for doubt in self._doubts]

    @cached_property
    def _doubts(self) -> list[str]:
        """The same as words behind others; files are looked at for it, so once."""
        flattered = "scores of trials that start from it may be too good"
        if self.data.folds:
            return [
                f"the pretrain stage {name} learns from images of this study, each of which is a test image of some "
                f"fold; {flattered}"
                for name, stage in self.definition.pretrain.items()
                if share_images(stage.data, self.definition.data, self.cache)
            ]
        scored = (real_images(self.definition.data), self.data)
        found = []
        for name, data in {stage.name: stage.data for stage in self.stages()}.items():
            num = num_scored_images_learnt((self.definition.pretrain[name].data, data), scored)
            if num:
                found.append(
                    f"the pretrain stage {name} learns from {num} images on which this study is scored (val, test or "
                    f"another set); {flattered}"
                )
        return found

    def slots(self) -> list[Slot]:
        """The slots of this machine, or of the cluster at `run.address`.

        Raises:
            ConfigError: the device is not there, or no cluster.
        """
        run = self.definition.run
        return allot(run.executor, run.device, self.environment, run.workers, run.address)

    def state(self) -> StudyState:
        """Where the study stands before anything is run."""
        return StudyState(
            self.study,
            trials=self.plan.trials,
            runs=self.runs,
            to_ask=self.plan.to_ask,
            sizes_of=lambda trial: sizes_of(trial, channels=self.data.channels, num_classes=len(self.data.classes)),
        )

    # -- what is shared ---------------------------------------------------------------------------------------------

    def num_frozen(self, trial: TrialConfig) -> int:
        """Parameter tensors that stay fixed."""
        return num_frozen(trial, self.data.channels)

    def prefix(self, trial: TrialConfig) -> FrozenPrefix | None:
        """The frozen prefix whose outputs a trial, or one of its phases, can share with others."""
        return frozen_prefix_of(
            trial,
            self.data_of(trial),
            self.weights_identity(trial),
            self.environment,
            weights_channels=self._weights_channels(trial),
        )

    def in_use(self) -> list[Path]:
        """Folders of the cache that the study needs to its end, beside features."""
        folders = [Path(data.folder) for data in self.shown()]
        for trial in self.probes():
            if trial.weights in self.definition.pretrain:
                stage = self.stage(trial)
                folders += [Path(stage.data.folder), stage.checkpoint.parent]
            elif trial.weights.startswith("runs:/"):
                folders.append(self.mlflow_checkpoint(trial.weights))
        return [folder for folder in dict.fromkeys(folders) if folder.exists()]

    def decide_reuse(self, todo: Iterable[tuple[TrialConfig, int]], to_ask: int) -> Reuse:
        """What is computed once for all seed runs that are still to do.

        Args:
            todo: known trials, each with its number of seed runs to do.
            to_ask: trials that a sampler has yet to propose; each kind that the space shows gets an even share.
        """
        runs: list[tuple[TrialConfig, float]] = [(config, count) for config, count in todo if count]
        if to_ask:
            probes = self.probes()
            share = to_ask * len(self.study.seeds) / len(probes)
            runs += [(config, share) for config in probes]
        planned = [
            Planned(
                config=phase,
                data=self.data_of(config),
                prefix=self.prefix(phase),
                seed_runs=count,
                is_scored=phase is config,
            )
            for config, count in runs
            for phase in phases(config)
        ]
        return decide(planned, self._conditions([run.prefix for run in planned if run.prefix is not None]))

    def _conditions(self, prefixes: Sequence[FrozenPrefix]) -> Conditions:
        run, slots = self.definition.run, self.slots()
        # neither the images of this study nor what is stored of them already is to make room for more
        with hold([*self.in_use(), *self.present(prefixes)]):
            free_bytes = room(self.cache, run.cache_gb)
        return Conditions(
            device=self.environment.device,
            num_workers=len(slots),
            memory_bytes=feature_bytes(slots),
            free_bytes=free_bytes,
            writable=not self.cache.exists() or os.access(self.cache, os.W_OK),
            off=run.reuse == "off",
            is_stored=self._is_stored,
        )

    def _is_stored(self, prefix: FrozenPrefix, view: View) -> bool:
        return (prefix.folder(view, self.cache) / "features.json").exists()

    def present(self, prefixes: Iterable[FrozenPrefix]) -> list[Path]:
        """Folders of what is stored of prefixes already, under any view."""
        views = finite_views(FINITE_AUGMENTATIONS) or ()
        folders = dict.fromkeys(prefix.folder(view, self.cache) for prefix in prefixes for view in views)
        return [folder for folder in folders if folder.exists()]

    # -- the record -------------------------------------------------------------------------------------------------

    def record(self, command: str) -> StudyRecord:
        """The study as it is asked for, to be compared and stored."""
        study, definition, stored = self.study, self.definition, self.stored
        hypotheses = tuple(hypothesis.written() for hypothesis in study.hypotheses)
        changed = stored.hypotheses_changed if stored else None
        if stored and stored.hypotheses != hypotheses:  # a study that is stored has results
            changed = now()[:10]
        data = self.data
        return StudyRecord(
            name=study.name,
            created=stored.created if stored else now(),
            naming=NAMING,
            question=study.question,
            about=study.about,
            hypotheses=hypotheses,
            hypotheses_changed=changed,
            method=study.method,
            metric=study.metric,
            aims=study.aims,
            direction=study.direction,
            seeds=study.seeds,
            folds=study.folds or 0,
            space=study.space,
            base=definition.base,
            base_weights=self._base_weights(),
            pretrain=self.stage_records(),
            data=DataRecord(
                source=definition.data.source,
                options=data_options(definition.data),
                classes=data.classes,
                num_images=data.num_images,
                test_name=data.test_name,
                images_name=data.images_name,
                presentation_name=data.presentation_name,
                skipped=data.skipped,
                num_contradicting=data.num_contradicting,
                num_leaked=data.num_leaked,
                notes=(*data.notes, *(f"{doubt[0].upper()}{doubt[1:]}." for doubt in self._doubts)),
                cut=data.how_cut,
                shifted=data.shifted,
                counts=data.table,
                channels=data.channels,
            ),
            environment=EnvironmentRecord(**self.environment.identity(), parts=installed()),
            tables=tuple(table.written() for table in study.tables),
            figures=tuple(figure.written() for figure in study.figures),
            pruner=tuple(rule.model_dump() for rule in study.pruner),
            confirm=ConfirmRecord(top=study.confirm.top, seeds=study.confirm.seeds) if study.confirm else None,
            num_trials=len(self.plan.trials) + self.plan.to_ask,
            ended=self.plan.ended,
            command=command,
            coinciding=self.plan.coinciding,
            invalid=stored.invalid if stored else {},
            hardware=stored.hardware if stored else (),
            out="." if self.out == Path.cwd() else os.path.relpath(self.out),
        )

    def _base_weights(self) -> str | None:
        base = self.definition.base
        given = base.get("weights")
        if not isinstance(given, str) or given in self.definition.pretrain or "backbone" not in base:
            return None
        return self.weights_identity(self.definition.probes()[0])

    def _environment(self) -> Environment:
        run, stored = self.definition.run, self.stored
        threads = run.threads or (stored.environment.threads if stored else 1)
        device = run.device.split(":")[0]
        if device == "auto":
            device = stored.environment.device if stored else found()
        return Environment(device=device, threads=threads)


def prepare_study(definition: Definition, ledger: Ledger | None) -> PreparedStudy:
    """Reads the images, names the weights, and plans.

    Raises:
        ConfigError: the ledger holds this study with another definition.
        UserError: data or weights cannot be used.
    """
    require_executor(definition.run.executor)
    prepared = PreparedStudy(definition, ledger)
    prepared.data = prepare(real_images(definition.data), prepared.cache, folds=definition.study.folds or 0)
    if definition.members is not None:
        prepared.data = prepared.data.drawn_by(definition.members.method, definition.members.draws)
    num_classes_in_val = prepared.num_classes_in_val()
    for trial in prepared.probes():
        check_together(trial, data_of(trial, definition.data), len(prepared.data.classes))
        prepared.data_of(trial)
        for metric in (*definition.study.scores, trial.monitor):
            check_scored(metric, num_classes_in_val)
        if trial.weights in definition.pretrain:
            stage = prepared.stage(trial)
            try:
                check_together(stage.trial, definition.pretrain[stage.name].data, len(stage.data.classes))
                check_scored(stage.trial.monitor, stage.data.num_classes_in("val"))
            except ConfigError as error:
                raise ConfigError(*(f"`pretrain.{stage.name}`: {problem}" for problem in error.problems)) from None
    reason = None
    try:
        prepared.plan = plan(definition, prepared.known, prepared.name_of)
    except ConfigError as error:
        if prepared.stored is None:
            raise
        reason = str(error)
        prepared.plan = Plan.nothing(prepared.known)
    if prepared.state().is_enough():
        prepared.plan = replace(prepared.plan, to_ask=0, ended=why_enough(definition.study, len(prepared.plan.trials)))
    if prepared.stored is not None:
        require_same(prepared.stored, prepared.record(prepared.stored.command), reason)
    return prepared


def why_enough(study: StudyConfig, tried: int) -> str:
    """Why `study.stop` ended a search: a sentence."""
    assert study.stop is not None
    return (
        f"The search ended after {tried} of {study.trials} trials (study.stop): all of them would hardly name a trial "
        f"that is better by more than {study.stop.regret:g} in {study.metric}, with a risk of {study.stop.risk:.0%}."
    )


def data_options(data: DataConfig) -> dict[str, object]:
    """`data.*` as given, but for the place of the images and what stands at its default."""
    return data.model_dump(mode="json", exclude_defaults=True, exclude={"root", "url", "sha256", "skip_bad", "shifted"})


def _known(ledger: Ledger | None, study: StudyConfig, runs: Sequence[SeedRun]) -> Known:
    if ledger is None or not any(run.state.is_result or run.state == RunState.PAUSED for run in runs):
        return Known()
    states = {(run.fingerprint, run.seed): run.state for run in runs}
    trials = tuple(ledger.trials(study.name))
    if not study.is_listed:
        # proposed but never run: the same ones are proposed again, if the study still wants so many
        begun = {fingerprint for fingerprint, _ in states}
        last = max((trial.number for trial in trials if trial.fingerprint in begun), default=-1)
        trials = tuple(trial for trial in trials if trial.number <= last)
    if not study.pruner:  # what one stopped is wanted whole by now
        states = {key: state for key, state in states.items() if state != RunState.PRUNED}
    return Known(trials=trials, states=states)
