"""The loops that others run, with the same weights file, splits, size, epochs, seeds and BatchNorm policy as ours.

    python -m benchmarks.peers '{"name": "tuned", "freeze": 1.0, "epochs": 20, …}'

prints one JSON object: seconds of the fit alone (libraries loaded, images decoded where the loop keeps them decoded),
images trained a second, test accuracy.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from resnet_tl.freezing import freeze_point

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to train."""

    name: str
    freeze: float
    epochs: int
    data: str
    """Folder of decoded images, as `resnet_tl.data.prepare` makes it."""
    root: str
    """Folder of the image files."""
    weights: str
    """State dict of the backbone."""
    threads: int = 2
    fits: int = 1
    lr: float = 1e-3
    batch_size: int = 32
    backbone: str = "resnet18"
    device: str = "cpu"
    """Only `tuned` knows others."""
    compiled: bool = False
    """Whether `tuned` has torch.compile make its forward pass."""


class Table:
    """Splits and labels, and the decoded images."""

    def __init__(self, task: Task) -> None:
        folder = Path(task.data)
        table = json.loads((folder / "data.json").read_text())
        self.labels = torch.tensor(table["labels"])
        splits = np.array(table["splits"])
        self.index = {s: torch.from_numpy(np.flatnonzero(splits == s)) for s in ("train", "val", "test")}
        self.num_classes = int(self.labels.max()) + 1
        self._folder = folder
        self._pixels = folder / "images.npy"

    def names(self) -> list[str]:
        """Paths of the images; they stand apart from the content, beside the request that read them."""
        for seen in (self._folder.parent / "seen").glob("*.json"):
            if json.loads(seen.read_text())["fingerprint"] == self._folder.name:
                found: list[str] = json.loads(seen.with_suffix(".names").read_text())["names"]
                return found
        raise FileNotFoundError(f"nothing in {self._folder.parent / 'seen'} says what the images are called")

    def decoded(self) -> Tensor:
        """All images, normalised, in memory."""
        return (torch.from_numpy(np.load(self._pixels)).float() / 255 - MEAN) / STD


def network(task: Task, num_classes: int, seed: int) -> tuple[nn.Module, list[nn.Module]]:
    """The network with its first parameters frozen, and the BatchNorm layers that stay in eval mode."""
    torch.manual_seed(seed)
    made = getattr(torchvision.models, task.backbone)(num_classes=num_classes)
    missing = made.load_state_dict(torch.load(task.weights, weights_only=True), strict=False)
    assert set(missing.missing_keys) == {"fc.weight", "fc.bias"}
    names = [name for name, _ in made.named_parameters() if not name.startswith("fc.")]
    frozen = set(names[: freeze_point(task.backbone, task.freeze)])
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(name not in frozen)
    still = [m for n, m in made.named_modules() if isinstance(m, nn.BatchNorm2d) and f"{n}.weight" in frozen]
    return made, still


def accuracy(net: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], bf16: bool) -> float:
    """Share of right answers."""
    net.eval()
    hits, count = torch.zeros((), dtype=torch.int64), 0
    for images, labels in batches:
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            hits = hits.to(images.device) + (net(images).argmax(1) == labels).sum()
        count += len(labels)
    return int(hits) / count


def naive(task: Task, table: Table, seed: int) -> float:
    """What people write first: ImageFolder, DataLoader, fp32, the whole network forward in every step."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    transform = transforms.Compose(
        [
            transforms.Resize(64),
            transforms.CenterCrop(64),
            transforms.ToTensor(),
            transforms.Normalize(MEAN.flatten().tolist(), STD.flatten().tolist()),
        ]
    )
    folder = ImageFolder(task.root, transform)
    place = {Path(path).name + Path(path).parent.name: i for i, (path, _) in enumerate(folder.samples)}
    mine = [place[Path(name).name + Path(name).parent.name] for name in table.names()]

    def loader(split: str) -> Any:
        rows = [mine[i] for i in table.index[split].tolist()]
        return DataLoader(Subset(folder, rows), batch_size=task.batch_size, shuffle=split == "train", num_workers=2)

    net, still = network(task, table.num_classes, seed)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=task.lr, momentum=0.9)
    train, val = loader("train"), loader("val")
    for _ in range(task.epochs):
        net.train()
        for norm in still:
            norm.eval()
        for images, labels in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        accuracy(net, iter(val), bf16=False)
    return accuracy(net, iter(loader("test")), bf16=False)


def tuned(
    task: Task,
    table: Table,
    seed: int,
    *,
    channels_last: bool = False,
    images: Tensor | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> float:
    """The same at its best: bf16, decoded images in memory, the frozen part without gradients, a fused optimiser.

    Args:
        images: those of the table, where they are on the device already.
        on_epoch: called behind the validation of each epoch.
    """
    images = (table.decoded() if images is None else images).to(task.device)
    labels = table.labels.to(task.device)
    net, still = network(task, table.num_classes, seed)
    net_: Any = net.to(task.device)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
        net_ = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=task.lr, momentum=0.9, fused=True)

    def stem(x: Tensor) -> Tensor:
        out: Tensor = net_.maxpool(net_.relu(net_.bn1(net_.conv1(x))))
        return out

    blocks = [stem, *net_.layer1, *net_.layer2, *net_.layer3, *net_.layer4]
    tops = [nn.ModuleList([net_.conv1, net_.bn1]), *blocks[1:]]
    cut = 0
    while cut < len(blocks) and not any(p.requires_grad for p in tops[cut].parameters()):
        cut += 1

    def forward(x: Tensor) -> Tensor:
        with torch.no_grad():
            for block in blocks[:cut]:
                x = block(x)
        for block in blocks[cut:]:
            x = block(x)
        out: Tensor = net_.fc(torch.flatten(net_.avgpool(x), 1))
        return out

    forward_: Callable[[Tensor], Tensor] = torch.compile(forward) if task.compiled else forward
    index = {split: rows.to(task.device) for split, rows in table.index.items()}

    def batches(split: str) -> Iterator[tuple[Tensor, Tensor]]:
        for part in index[split].split(256):
            yield images[part], labels[part]

    train = index["train"]
    for _ in range(task.epochs):
        net.train()
        for norm in still:
            norm.eval()
        for part in train[torch.randperm(len(train)).to(task.device)].split(task.batch_size):
            optimizer.zero_grad()
            with torch.autocast(images.device.type, torch.bfloat16):
                outputs = forward_(images[part])
            nn.functional.cross_entropy(outputs.float(), labels[part]).backward()
            optimizer.step()
        accuracy(net, batches("val"), bf16=True)
        on_epoch()
    return accuracy(net, batches("test"), bf16=True)


def bare(task: Task, table: Table, seed: int) -> float:
    """What the machine allows: forward, backward and step on batches that are there, with nothing else at all."""
    from resnet_tl.config import TrialConfig
    from resnet_tl.model.network import assemble
    from resnet_tl.training.objective import optimizer_for

    state = torch.load(task.weights, weights_only=True)
    trial = TrialConfig(
        backbone="resnet18", weights="x", optimizer="sgd", lr=task.lr, epochs=1, batch_size=task.batch_size,
        freeze=task.freeze, precision="bf16",
    )  # fmt: skip
    net = assemble(trial, num_outputs=table.num_classes, channels=3, seed=seed, state=state, input_size=(64, 64))
    net.train()
    optimizer = optimizer_for(net, trial)
    images = table.decoded()
    ready = [(images[part], table.labels[part]) for part in table.index["train"].split(task.batch_size)]
    started = time.perf_counter()
    for _ in range(task.epochs):
        for inputs, labels in ready:
            net.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                outputs = net(inputs)
            nn.functional.cross_entropy(outputs.float(), labels).backward()
            optimizer.step()
    return time.perf_counter() - started


def lightning(task: Task, table: Table, seed: int) -> float:
    """Lightning's Trainer over decoded images in memory, bf16."""
    import logging
    import warnings

    import lightning as L
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    images = table.decoded()
    net, still = network(task, table.num_classes, seed)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def on_train_epoch_start(self) -> None:
            for norm in still:
                norm.eval()

        def training_step(self, batch: Any, _: int) -> Tensor:
            loss: Tensor = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            hits = (self.net(batch[0]).argmax(1) == batch[1]).float().mean()
            self.log("val/accuracy", hits, batch_size=len(batch[1]))

        test_step = validation_step

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=task.lr, momentum=0.9)

    def loader(split: str) -> Any:
        part = table.index[split]
        size = task.batch_size if split == "train" else 256
        return DataLoader(TensorDataset(images[part], table.labels[part]), batch_size=size, shuffle=split == "train")

    trainer = L.Trainer(
        max_epochs=task.epochs, accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Module(), loader("train"), loader("val"))
    return accuracy(net, iter(loader("test")), bf16=True)


def huggingface(task: Task, table: Table, seed: int) -> float:
    """Hugging Face's Trainer over decoded images in memory, bf16."""
    import tempfile

    from torch.utils.data import DataLoader, TensorDataset
    from transformers import Trainer, TrainingArguments

    images = table.decoded()
    net, still = network(task, table.num_classes, seed)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def train(self, mode: bool = True) -> "Model":
            super().train(mode)
            for norm in still:
                norm.eval()
            return self

        def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(pixel_values)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def rows(split: str) -> list[dict[str, Tensor]]:
        return [{"pixel_values": images[i], "labels": table.labels[i]} for i in table.index[split].tolist()]

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=task.epochs, per_device_train_batch_size=task.batch_size,
            per_device_eval_batch_size=256, learning_rate=task.lr, bf16=True, use_cpu=True, seed=seed,
            save_strategy="no", eval_strategy="epoch", report_to=[], disable_tqdm=True,
            lr_scheduler_type="constant", logging_strategy="no",
        )  # fmt: skip
        optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=task.lr, momentum=0.9)
        trainer = Trainer(
            model=Model(), args=arguments, train_dataset=rows("train"), eval_dataset=rows("val"),
            optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)),
        )  # fmt: skip
        trainer.train()
    part = table.index["test"]
    return accuracy(net, iter(DataLoader(TensorDataset(images[part], table.labels[part]), batch_size=256)), bf16=True)


PEERS = {
    "naive": naive,
    "tuned": tuned,
    "tuned, channels last": lambda task, table, seed: tuned(task, table, seed, channels_last=True),
    "Lightning": lightning,
    "Hugging Face Trainer": huggingface,
}


def main() -> None:
    """Runs one task."""
    task = Task(**json.loads(sys.argv[1]))
    torch.set_num_threads(task.threads)
    table = Table(task)
    num_images = len(table.index["train"]) * task.epochs * task.fits
    if task.name == "bare":
        bare(Task(**(json.loads(sys.argv[1]) | {"epochs": 1})), table, 0)  # the first steps choose kernels
        seconds = bare(task, table, 0)
        print(json.dumps({"seconds": seconds, "images_per_s": num_images / seconds}))
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spent = []

    def objective(trial: optuna.Trial) -> float:
        started = time.perf_counter()
        score = PEERS[task.name](task, table, trial.number)
        spent.append(time.perf_counter() - started)
        return score

    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=task.fits)
    seconds = sum(spent)
    print(json.dumps({"seconds": seconds, "images_per_s": num_images / seconds, "accuracy": study.best_value}))


if __name__ == "__main__":
    main()
