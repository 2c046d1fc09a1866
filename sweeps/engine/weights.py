"""Starting weights, made or fetched before any training: weights that cannot be had end the run here."""

import shutil
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import verify
from resnet_tl.errors import UserError, WeightsError
from sweeps.engine.execute import POLL_S, LocalExecutor, WorkerDied, answer
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.progress import Display
from sweeps.engine.session import Session
from sweeps.engine.work import PretrainJob, fetch_weights, read_progress, run_pretrain


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """One thing to get."""

    name: str
    folder: Path
    job: PretrainJob | None
    spec: str
    backbone: str
    attempt: int = 0


def provide(
    session: Session,
    configs: list[TrialConfig],
    *,
    executor: LocalExecutor,
    display: Display,
    devices: list[str],
    work: Path,
    interrupt: Interrupt,
) -> None:
    """Runs the pretrain stages that have not run yet, and loads every other source once.

    Args:
        configs: of all trials that may be run.
        work: folder for the progress of stages.
        interrupt: asked between two looks.

    Raises:
        UserError: weights cannot be had.
    """
    waiting: dict[Future[Any], _Source] = {}

    def submit(source: _Source) -> None:
        if source.job:
            waiting[executor.submit(run_pretrain, source.job)] = source
        else:
            waiting[executor.submit(fetch_weights, source.spec, source.backbone)] = source

    distinct = {(config.weights, config.backbone): config for config in configs if config.weights != "none"}
    for (spec, backbone), config in distinct.items():
        if spec not in session.definition.pretrain:
            start = session.start_from(config).weights
            submit(_Source(name=f"weights {spec}", folder=work, job=None, spec=start, backbone=backbone))
            continue
        stage = session.stage(config)
        if (stage.checkpoint / "model.json").exists():
            continue
        verify(stage.data)
        folder = work / f"pretrain-{stage.name}-{backbone}"
        job = PretrainJob(
            trial=stage.trial,
            data=stage.data,
            seed=stage.seed,
            environment=session.environment,
            device=devices[len(waiting) % len(devices)],
            cache=str(session.cache),
            folder=str(folder),
        )
        display.say(f"pretraining {stage.name} ({backbone}) …")
        submit(_Source(name=f"pretrain {stage.name}", folder=folder, job=job, spec=spec, backbone=backbone))
    clock = time.monotonic()
    while waiting:
        interrupt.check()
        finished, _ = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in finished:
            source = waiting.pop(future)
            try:
                answer(future)
            except WorkerDied as error:
                if source.attempt:
                    raise WeightsError(f"The {source.name} could not be made: {error}.") from None
                submit(replace(source, attempt=1))
            except UserError:
                raise
            except Exception as error:
                raise WeightsError(f"The {source.name} could not be made: {type(error).__name__}: {error}") from error
            else:
                if source.job:
                    shutil.rmtree(source.folder, ignore_errors=True)
                    display.finished(source.name, f"{source.name}: done", time.monotonic() - clock, counts=False)
        for source in waiting.values():
            met = read_progress(source.folder / "progress.jsonl").get(0, []) if source.job else []
            if source.job and met:
                note = f"val/accuracy {met[-1].metrics['val/accuracy']:.4f}"
                display.running(source.name, source.name, met[-1].epoch, source.job.trial.epochs, note)
