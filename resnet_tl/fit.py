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
from resnet_tl.data.batches import (
    Batch,
    Normalisation,
    cut_batches,
    epoch_order,
    eval_batches,
    measured,
    train_batches,
)
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.errors import ConfigError
from resnet_tl.fingerprint import Environment, criterion_for, digest
from resnet_tl.metrics import evaluate
from resnet_tl.model import weights as starting
from resnet_tl.model.network import Network, assemble, fit_first_layer
from resnet_tl.options import expand
from resnet_tl.result import Epoch, FitResult
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.training import balanced_weights_K, class_logits, loss_of, lr_factor, optimizer_for, set_lr

SAVE_EVERY_S = 30.0
"""The least time between two saved training states: writing a whole ResNet-18 with its optimiser takes 0.3 s."""

CHECK_EVERY = 25
"""Steps between looks at the losses; each look makes a GPU wait."""

OnEpoch = Callable[[Epoch], None]


class _Diverged(Exception):
    """A number stopped being finite; the text names it, its epoch and step."""


def fit(
    trial: TrialConfig,
    data: Prepared,
    *,
    seed: int,
    environment: Environment,
    device: str | None = None,
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
        folder: where to keep the training state (from which a killed run goes on) and the selected network, in
            `folder/checkpoint`; None keeps nothing.
        on_epoch: called after every epoch, restored ones included.
        save_every_s: the least seconds between two saved states.

    Returns:
        The result; `state` is `diverged` when a loss stopped being finite.

    Raises:
        WeightsError: the starting weights cannot be had.
    """
    _prepare_torch(environment)
    run = _Run(trial, data, seed=seed, device=torch.device(device or environment.device), environment=environment)
    started = time.perf_counter()
    state_path = folder / "state.pt" if folder else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        run.restore(folder / "state.pt")
    for record in run.history:
        if on_epoch:
            on_epoch(record)
    spent = run.wall_s
    saved = time.perf_counter()
    try:
        while not run.finished():
            run.epoch()
            run.wall_s = spent + time.perf_counter() - started
            if on_epoch:
                on_epoch(run.history[-1])
            if state_path and not run.finished() and time.perf_counter() - saved >= save_every_s:
                checkpoint.write_torch(state_path, run.state())
                saved = time.perf_counter()
        metrics, confusion = run.final_scores()
    except _Diverged as diverged:
        return run.result("diverged", {}, {}, spent + time.perf_counter() - started, reason=str(diverged))
    if folder:
        run.save_network(folder / "checkpoint", metrics)
    return run.result("complete", metrics, confusion, spent + time.perf_counter() - started)


def _prepare_torch(environment: Environment) -> None:
    torch.set_num_threads(environment.threads)
    if environment.device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)


class _Run:
    """The moving parts of one fit."""

    def __init__(
        self, trial: TrialConfig, data: Prepared, *, seed: int, device: torch.device, environment: Environment
    ) -> None:
        self.trial, self.data, self.seed, self.device, self.environment = (
            trial,
            data,
            seed,
            device,
            environment,
        )
        self.images: Images = data.load()
        self.num_classes = len(data.classes)
        self.criterion = criterion_for(trial, self.num_classes)
        self.num_outputs = 1 if self.criterion == "bce" else self.num_classes
        self.base: dict[str, str] | None = None
        state = None
        if trial.weights == "none":
            self.normalisation = measured(self.images)
        else:
            loaded = starting.load(trial.weights, trial.backbone)
            mean, std = starting.normalisation_for(data.channels, loaded.mean, loaded.std)
            self.normalisation = Normalisation(mean=mean, std=std)
            state = loaded.state
            state["conv1.weight"] = fit_first_layer(state["conv1.weight"], data.channels)
            self.base = {"address": loaded.address, "sha256": loaded.sha256}
        self.network: Network = assemble(
            trial, num_outputs=self.num_outputs, channels=data.channels, seed=seed, state=state
        )
        if trial.weights == "none" and self.network.num_frozen:
            warnings.warn("the frozen part of the backbone has random weights (trial.weights: none)", stacklevel=3)
        self.network.to(device)
        self.optimizer = optimizer_for(self.network, trial)
        self.class_weights_K: Tensor | None = None
        if data.balanced == "class_weights":
            labels = torch.from_numpy(self.images.labels_N[self.images.splits["train"]])
            self.class_weights_K = balanced_weights_K(labels, self.num_classes).to(device)
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch: int | None = None
        self.wall_s = 0.0

    # -- training ---------------------------------------------------------------------------------------------------

    def finished(self) -> bool:
        """Whether the last epoch is done, or patience is at its end."""
        done = len(self.history)
        if done >= self.trial.epochs:
            return True
        return self.trial.patience is not None and done - (self.best_epoch or done) >= self.trial.patience

    def epoch(self) -> None:
        """Trains one epoch, scores it on `val`, and keeps the network if it is the best so far."""
        started = time.perf_counter()
        number = len(self.history) + 1
        loss, accuracy, lr = self._train_epoch(number)
        scores, _ = self._scores("val", f"epoch {number}, after its last step")
        metrics = {"train/loss": loss, "train/accuracy": accuracy} | scores
        self.history.append(Epoch(epoch=number, lr=lr, metrics=metrics, wall_s=time.perf_counter() - started))
        value, sign = metrics[self.trial.monitor], -1 if self.trial.monitor_mode == "min" else 1
        if self.best_epoch is None or sign * value > sign * self._best_value():  # ties go to the earlier epoch
            self.best_epoch = number
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.moving()}

    def _best_value(self) -> float:
        assert self.best_epoch is not None
        return self.history[self.best_epoch - 1].metrics[self.trial.monitor]

    def _train_epoch(self, number: int) -> tuple[float, float, float]:
        trial = self.trial
        self.network.train()
        order = epoch_order(self.images, balanced=self.data.balanced, seed=self.seed, epoch=number)
        num_steps = len(cut_batches(order, trial.batch_size))
        batches = train_batches(
            self.images,
            normalisation=self.normalisation,
            batch_size=trial.batch_size,
            augment=trial.augment,
            crop=self.data.crop,
            balanced=self.data.balanced,
            num_classes=self.num_classes,
            seed=self.seed,
            epoch=number,
            device=self.device,
        )
        losses: list[Tensor] = []
        sizes: list[int] = []
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        factor = 1.0
        for step, batch in enumerate(batches):
            factor = lr_factor(trial, epoch=number, step=step, steps_per_epoch=num_steps)
            set_lr(self.optimizer, trial, factor)
            loss, outputs = self._step(batch, number)
            losses.append(loss)
            sizes.append(len(batch.samples_B))
            hits += (class_logits(outputs).argmax(1) == batch.targets_BK.argmax(1)).sum()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == num_steps:
                self._check_finite(losses, number)
        weights = np.array(sizes) / sum(sizes)
        values = torch.stack(losses).double().cpu().numpy()
        return float((values * weights).sum()), float(hits) / sum(sizes), trial.lr * factor

    def _step(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        keep_BH = None
        head = self.network.head
        if head.dropout:
            draws = uniforms_BW(derive(self.seed, "dropout", epoch), batch.samples_B, self.trial.head_width)
            keep_BH = torch.from_numpy((draws >= head.dropout).astype(np.float32)).to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            outputs = self.network(batch.images_BCHW, keep_BH)
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
            raise _Diverged(f"the training loss became {float(losses[step - 1])} in epoch {epoch}, step {step}")

    # -- scoring ----------------------------------------------------------------------------------------------------

    def _scores(self, split: str, when: str) -> tuple[dict[str, float], list[list[int]]]:
        self.network.eval()
        logits, labels = [], []
        batches = eval_batches(
            self.images, split, normalisation=self.normalisation, crop=self.data.crop, device=self.device
        )
        with torch.inference_mode(), self._autocast():
            for images_BCHW, labels_B in batches:
                logits.append(class_logits(self.network(images_BCHW)).float())
                labels.append(labels_B)
        logits_NK = torch.cat(logits)
        if not bool(logits_NK.isfinite().all()):
            raise _Diverged(f"the network's output on {split} became non-finite in {when}")
        values, confusion = evaluate(logits_NK, torch.cat(labels))
        return {f"{split}/{name}": value for name, value in values.items()}, confusion

    def final_scores(self) -> tuple[dict[str, float], dict[str, list[list[int]]]]:
        """Every metric on every split, with the selected network. The only look at `test`."""
        self._load_best()
        metrics: dict[str, float] = {}
        confusion = {}
        for split in ("train", "val", "test"):
            scores, confusion[split] = self._scores(split, f"epoch {self.best_epoch}")
            metrics |= scores
        return metrics, confusion

    def _load_best(self) -> None:
        with torch.no_grad():
            for name, tensor in self.network.moving():
                tensor.copy_(self.best[name])

    # -- remembering ------------------------------------------------------------------------------------------------

    def _identity(self) -> str:
        return digest(
            [
                self.trial.model_dump(mode="json"),
                self.data.fingerprint,
                self.seed,
                self.environment.identity(),
                self.base,
            ]
        )

    def state(self) -> dict[str, Any]:
        """All that a restart needs to go on with the same bits."""
        return {
            "identity": self._identity(),
            "moving": {name: tensor.detach() for name, tensor in self.network.moving()},
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "best_epoch": self.best_epoch,
            "history": [asdict(record) for record in self.history],
            "wall_s": self.wall_s,
        }

    def restore(self, path: Path) -> None:
        """Goes on from a saved state of this very run; a damaged or foreign one is dropped, with a warning."""
        if not path.exists():
            return
        try:
            stored = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # torch.load and pickle raise many kinds for damaged files
            warnings.warn(f"{path} is damaged and dropped; training starts again: {error}", stacklevel=2)
            path.unlink()
            return
        if stored["identity"] != self._identity():
            warnings.warn(f"{path} is of another run and dropped; training starts again", stacklevel=2)
            path.unlink()
            return
        with torch.no_grad():
            for name, tensor in self.network.moving():
                tensor.copy_(stored["moving"][name])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.best, self.best_epoch, self.wall_s = stored["best"], stored["best_epoch"], stored["wall_s"]
        self.history = [Epoch(**record) for record in stored["history"]]

    def save_network(self, folder: Path, metrics: dict[str, float]) -> None:
        """Stores the selected network, which `final_scores` has put in place."""
        frozen = self.base is not None and self.network.num_frozen > 0
        tensors = dict(self.network.moving()) if frozen else dict(self.network.state_dict())
        assert self.best_epoch is not None
        card = checkpoint.Card(
            trial=self.trial.model_dump(mode="json"),
            classes=self.data.classes,
            channels=self.data.channels,
            num_outputs=self.num_outputs,
            num_frozen=self.network.num_frozen,
            size=self.data.size,
            resized=self.data.resized,
            crop=self.data.crop,
            mean=self.normalisation.mean,
            std=self.normalisation.std,
            seed=self.seed,
            epoch=self.best_epoch,
            metrics=metrics,
            base=self.base if frozen else None,
            versions=checkpoint.versions(),
        )
        checkpoint.save(folder, tensors, card)

    def result(
        self,
        state: Any,
        metrics: dict[str, float],
        confusion: dict[str, list[list[int]]],
        wall_s: float,
        reason: str | None = None,
    ) -> FitResult:
        """The finished run."""
        return FitResult(
            state=state,
            seed=self.seed,
            max_epoch=self.trial.epochs,
            best_epoch=self.best_epoch if state == "complete" else None,
            metrics=metrics,
            confusion=confusion,
            history=self.history,
            num_trainable=self.network.num_trainable(),
            wall_s=wall_s,
            reason=reason,
        )


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
