"""One seed run: fine-tunes one network on one data set with one seed.

    python -m resnet_tl.fit trial.backbone=resnet18 trial.optimizer=sgd trial.lr=1e-3 trial.epochs=10 \\
        trial.batch_size=32 data.source=image_folder data.root=my_images data.size=224 out=run

Axes: B images of a batch, H hidden units, K classes, N images of a split.
"""

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_tl import checkpoint
from resnet_tl.config import TrialConfig
from resnet_tl.course import Course, Member
from resnet_tl.data.batches import Batch, cut_batches, epoch_order
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import ConfigError
from resnet_tl.features import Features
from resnet_tl.fingerprint import Environment, digest
from resnet_tl.front import is_head_only
from resnet_tl.inputs import FromStore, Inputs, ThroughFront
from resnet_tl.metrics import evaluate
from resnet_tl.options import expand
from resnet_tl.result import Epoch, FitResult
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.start import Start, prepare_torch, start
from resnet_tl.store import Stored
from resnet_tl.training import class_logits, loss_of, lr_factor, optimizer_for, set_lr

SAVE_EVERY_S = 30.0
"""The least time between two saved training states: writing a whole ResNet-18 with its optimiser takes 0.3 s."""

CHECK_EVERY = 25
"""Steps between looks at the losses; each look makes a GPU wait."""

OnEpoch = Callable[[Epoch], None]


class Diverged(Exception):
    """A number stopped being finite; the text names it, its epoch and step."""


def fit(
    trial: TrialConfig,
    data: Prepared,
    *,
    seed: int,
    environment: Environment,
    device: str | None = None,
    features: Stored | None = None,
    begun: Start | None = None,
    folder: Path | None = None,
    on_epoch: OnEpoch | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> FitResult:
    """Trains, selects the best epoch on `val`, and scores it once on `test`.

    Args:
        trial: the configuration; `weights` is a name or a path.
        seed: decides head weights, sample order, augmentation and dropout.
        environment: device kind and threads; the same ones give the same bits.
        device: the very device, `cuda:1` say; default: the environment's.
        features: stored outputs of the frozen front, which change no number; None computes them as they are needed.
        begun: images and weights, where they are loaded already.
        folder: where to keep the training state (from which a killed run goes on) and the selected network, in
            `folder/checkpoint`; None keeps nothing.
        on_epoch: called after every epoch, restored ones included.
        save_every_s: the least seconds between two saved states.

    Returns:
        The result; `state` is `diverged` when a loss stopped being finite.

    Raises:
        WeightsError: the starting weights cannot be had.
    """
    if is_head_only(trial, data.channels):
        from resnet_tl.fused import fit_heads

        return fit_heads(
            [Member(trial=trial, seed=seed, folder=folder)],
            data,
            environment=environment,
            device=device,
            features=features,
            begun=begun,
            on_epoch=(lambda _, epoch: on_epoch(epoch)) if on_epoch else None,
            save_every_s=save_every_s,
        )[0]
    prepare_torch(environment)
    run = Run(
        trial,
        begun or start(trial, data),
        seed=seed,
        device=torch.device(device or environment.device),
        environment=environment,
        features=features,
    )
    started = time.perf_counter()
    state_path = folder / "state.pt" if folder else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        run.restore(folder / "state.pt")
    for record in run.course.history:
        if on_epoch:
            on_epoch(record)
    spent = run.wall_s
    saved = time.perf_counter()
    try:
        while not run.course.finished():
            run.epoch()
            run.wall_s = spent + time.perf_counter() - started
            if on_epoch:
                on_epoch(run.course.history[-1])
            if state_path and not run.course.finished() and time.perf_counter() - saved >= save_every_s:
                checkpoint.write_torch(state_path, run.state())
                saved = time.perf_counter()
        metrics, confusion, reliability = run.final_scores()
    except Diverged as diverged:
        return run.result("diverged", {}, {}, [], spent + time.perf_counter() - started, reason=str(diverged))
    if folder:
        run.save_network(folder / "checkpoint", metrics)
    return run.result("complete", metrics, confusion, reliability, spent + time.perf_counter() - started)


class Run:
    """The moving parts of one fit."""

    def __init__(
        self,
        trial: TrialConfig,
        start: Start,
        *,
        seed: int,
        device: torch.device,
        environment: Environment,
        features: Stored | None,
    ) -> None:
        self.trial, self.start, self.seed, self.device, self.environment = trial, start, seed, device, environment
        self.data = start.data
        self.network = start.network(trial, seed, device)
        self.inputs: Inputs
        if features is None:
            self.inputs = ThroughFront(start, trial, self.network, device, threads=environment.threads)
        else:
            assert features.front.cut == self.network.cut
            self.inputs = FromStore(Features(features, start.images), start, trial, device)
        self.optimizer = optimizer_for(self.network, trial)
        weights_K = start.class_weights_K()
        self.class_weights_K = None if weights_K is None else weights_K.to(device)
        self.course = Course(trial=trial)
        self.best: dict[str, Tensor] = {}
        self.wall_s = 0.0

    # -- training ---------------------------------------------------------------------------------------------------

    def epoch(self) -> None:
        """Trains one epoch, scores it on `val`, and keeps the network if it is the best so far."""
        started = time.perf_counter()
        number = self.course.next_epoch
        loss, accuracy, lr = self._train_epoch(number)
        scores, *_ = self._scores("val", f"epoch {number}, after its last step")
        metrics = {"train/loss": loss, "train/accuracy": accuracy} | scores
        epoch = Epoch(epoch=number, lr=lr, metrics=metrics, wall_s=time.perf_counter() - started)
        if self.course.add(epoch):
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.moving()}

    def _train_epoch(self, number: int) -> tuple[float, float, float]:
        trial = self.trial
        self.network.train()
        order = epoch_order(self.start.images, balanced=self.data.balanced, seed=self.seed, epoch=number)
        num_steps = len(cut_batches(order, trial.batch_size))
        losses: list[Tensor] = []
        sizes: list[int] = []
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        factor = 1.0
        for step, batch in enumerate(self.inputs.train(self.seed, number)):
            factor = lr_factor(trial, epoch=number, step=step, steps_per_epoch=num_steps)
            set_lr(self.optimizer, trial, factor)
            loss, outputs = self.step(batch, number)
            losses.append(loss)
            sizes.append(len(batch.samples_B))
            hits += (class_logits(outputs).argmax(1) == batch.targets_BK.argmax(1)).sum()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == num_steps:
                self._check_finite(losses, number)
        weights = np.array(sizes) / sum(sizes)
        values = torch.stack(losses).double().cpu().numpy()
        return float((values * weights).sum()), float(hits) / sum(sizes), trial.lr * factor

    def step(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; returns the loss and the outputs [B, O]."""
        keep_BH = None
        head = self.network.head
        if head.dropout:
            draws = uniforms_BW(derive(self.seed, "dropout", epoch), batch.samples_B, self.trial.head_width)
            keep_BH = torch.from_numpy((draws >= head.dropout).astype(np.float32)).to(self.device)
        self.network.zero_grad(set_to_none=True)
        with self._autocast():
            outputs = self.network.tail(batch.inputs_B, keep_BH)
        loss = loss_of(
            outputs,
            batch.targets_BK,
            label_smoothing=self.trial.label_smoothing,
            class_weights_K=self.class_weights_K,
        )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), outputs.detach()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.trial.precision == "bf16")

    @staticmethod
    def _check_finite(losses: list[Tensor], epoch: int) -> None:
        finite = torch.stack(losses).isfinite()
        if not bool(finite.all()):
            step = int((~finite).nonzero()[0]) + 1
            raise Diverged(f"the training loss became {float(losses[step - 1])} in epoch {epoch}, step {step}")

    # -- scoring ----------------------------------------------------------------------------------------------------

    def _scores(self, split: str, when: str) -> tuple[dict[str, float], list[list[int]], list[list[float]]]:
        self.network.eval()
        logits, labels = [], []
        with torch.inference_mode(), self._autocast():
            for inputs_B, labels_B in self.inputs.evaluate(split):
                logits.append(class_logits(self.network.tail(inputs_B)).float())
                labels.append(labels_B)
        logits_NK = torch.cat(logits)
        if not bool(logits_NK.isfinite().all()):
            raise Diverged(f"the network's output on {split} became non-finite in {when}")
        values, confusion, reliability = evaluate(logits_NK.double().cpu().numpy(), torch.cat(labels).cpu().numpy())
        return {f"{split}/{name}": value for name, value in values.items()}, confusion, reliability

    def final_scores(self) -> tuple[dict[str, float], dict[str, list[list[int]]], list[list[float]]]:
        """Every metric on val and test, with the selected network, and its reliability on test: the only look at that.

        Train was scored while it was learnt; another pass over it would take a third of an epoch.
        """
        self._load(self.best)
        metrics: dict[str, float] = {}
        confusion = {}
        for split in ("val", "test"):
            scores, confusion[split], reliability = self._scores(split, f"epoch {self.course.best_epoch}")
            metrics |= scores
        return metrics, confusion, reliability

    def _load(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.network.moving():
                tensor.copy_(tensors[name])

    # -- remembering ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a restart needs to go on with the same bits."""
        return {
            "identity": identity(self.trial, self.start, self.seed, self.environment),
            "moving": {name: tensor.detach() for name, tensor in self.network.moving()},
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "course": self.course.stored(),
            "wall_s": self.wall_s,
        }

    def restore(self, path: Path) -> None:
        """Goes on from a saved state of this very run."""
        stored = load_state(path, identity(self.trial, self.start, self.seed, self.environment), self.device)
        if stored is None:
            return
        self._load(stored["moving"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.best, self.wall_s = stored["best"], stored["wall_s"]
        self.course.restore(stored["course"])

    def save_network(self, folder: Path, metrics: dict[str, float]) -> None:
        """Stores the selected network, which `final_scores` has put in place."""
        assert self.course.best_epoch is not None
        card = self.start.card(self.trial, seed=self.seed, epoch=self.course.best_epoch, metrics=metrics)
        tensors = dict(self.network.moving()) if card.base else dict(self.network.state_dict())
        checkpoint.save(folder, tensors, card)

    def result(
        self,
        state: Any,
        metrics: dict[str, float],
        confusion: dict[str, list[list[int]]],
        reliability: list[list[float]],
        wall_s: float,
        reason: str | None = None,
    ) -> FitResult:
        """The finished run."""
        return FitResult(
            state=state,
            seed=self.seed,
            max_epoch=self.trial.epochs,
            best_epoch=self.course.best_epoch if state == "complete" else None,
            metrics=metrics,
            confusion=confusion,
            reliability=reliability,
            history=self.course.history,
            num_trainable=self.network.num_trainable(),
            wall_s=wall_s,
            reason=reason,
        )


def identity(trial: TrialConfig, start: Start, seed: int, environment: Environment) -> str:
    """Names one run, to know its saved state by."""
    return digest([trial.model_dump(mode="json"), start.data.fingerprint, seed, environment.identity(), start.base])


def load_state(path: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """A saved training state, if it is there and of this run; a damaged or foreign one is dropped, with a warning."""
    if not path.exists():
        return None
    try:
        stored: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load and pickle raise many kinds for damaged files
        warnings.warn(f"{path} is damaged and dropped; training starts again: {error}", stacklevel=2)
        path.unlink()
        return None
    if stored["identity"] != identity:
        warnings.warn(f"{path} is of another run and dropped; training starts again", stacklevel=2)
        path.unlink()
        return None
    return stored


def main() -> int:
    """`python -m resnet_tl.fit`."""
    from resnet_tl import cli

    request = cli.fit_request("fit", __doc__ or "")
    out = expand(request.out or "run", "out")
    if (out / "result.json").exists():
        raise ConfigError(f"`out` must not hold a result already, but {out / 'result.json'} is there; give out=FOLDER.")

    def show(epoch: Epoch) -> None:
        values = "  ".join(f"{name} {value:.4f}" for name, value in epoch.metrics.items())
        print(f"epoch {epoch.epoch}/{request.trial.epochs}  {values}", flush=True)

    result = fit(
        request.trial,
        request.data,
        seed=request.seed,
        environment=request.environment,
        device=request.device,
        folder=out,
        on_epoch=show,
    )
    out.mkdir(parents=True, exist_ok=True)  # a run that diverged has stored nothing
    (out / "result.json").write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    (out / "state.pt").unlink(missing_ok=True)
    if result.state == "diverged":
        print(f"Diverged: {result.reason}.")
        return 0
    if request.export:
        from resnet_tl import rebuild

        rebuild.export(out / "checkpoint", out / "checkpoint")
    print(f"Best epoch {result.best_epoch} of {len(result.history)}, {result.wall_s:.1f} s")
    for name, value in result.metrics.items():
        print(f"  {name:16} {value:.4f}")
    print(f"Predict with:  python -m resnet_tl.predict checkpoint={out / 'checkpoint'} images=FILE_OR_FOLDER")
    return 0


if __name__ == "__main__":
    from resnet_tl.cli import entry

    entry(main)
