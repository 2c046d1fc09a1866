"""Measures everything side by side and writes reports/benchmarks.md, .json and a picture.

    make bench                               (or: python -m benchmarks.run [WORK_FOLDER])

Each figure of a peer is a whole fit in a fresh process, without the time to load libraries; each of ours is a whole
command, from typing it to its report, that included. Where a peer's sweep would take hours, one fit of it is
measured whole and multiplied, and the table says so. Repetitions take turns, so that a slow minute meets everybody.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.images import lay_out
from benchmarks.memory import peak_of

RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
SPACE = f"{{lr: {{values: {RATES}}}, momentum: {{values: [0.0, 0.9]}}, weight_decay: {{values: [0.0, 1e-4]}}}}"
STUDY = """
study:
  name: heads
  question: Which learning rate, momentum and weight decay?
  method: grid
  metric: val/accuracy
  direction: maximize
  seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  space: {lr: {values: [1e-3]}}
trial:
  {backbone: resnet18, weights: digits, optimizer: sgd, head: linear, freeze: 1.0, epochs: 20, batch_size: 32,
   precision: bf16}
data: {source: image_folder, root: images, size: 64, skip_bad: true}
run: {cache: cache, workers: 2, threads: 1}
pretrain:
  digits:
    trial: {backbone: resnet18, optimizer: sgd, lr: 0.005, epochs: 3, batch_size: 32}
    data: {source: digits, size: 32}
"""


@dataclass
class Bench:
    """One run of all measurements."""

    work: Path
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Keeps one repetition of a figure."""
        self.figures.setdefault(name, []).append(value)
        print(f"{time.strftime('%H:%M:%S')}  {name}: {value:.4g}", flush=True)

    def median(self, name: str) -> float:
        """Of all repetitions."""
        return statistics.median(self.figures[name])

    # -- what is run ----------------------------------------------------------------------------------------------

    def ours(self, *words: str, cold: bool = True, module: str = "sweeps.run") -> float:
        """Wall seconds of a whole command in a fresh output folder."""
        shutil.rmtree(self.work / "out", ignore_errors=True)
        if cold:
            shutil.rmtree(self.work / "cache" / "features", ignore_errors=True)
        started = time.perf_counter()
        done = self.python("-m", module, "study=bench.yaml", "run.out=out", *words)
        seconds = time.perf_counter() - started
        self.output = done.stdout
        return seconds

    def python(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs Python in the work folder."""
        here = str(Path(__file__).resolve().parent.parent)
        environment = os.environ | {"PYTHONPATH": here, "XDG_CACHE_HOME": str(self.work / "home")}
        done = subprocess.run(
            [sys.executable, *words], cwd=self.work, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def peer(self, name: str, **task: Any) -> dict[str, float]:
        """One task of a peer, in a process of its own."""
        whole = {"name": name, "data": str(self.data), "root": "images", "weights": "backbone.pth"} | task
        done = self.python("-m", "benchmarks.peers", json.dumps(whole))
        line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith('{"seconds"'))
        answer: dict[str, float] = json.loads(line)
        return answer

    # -- getting ready --------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Images, weights, decoded images; none of it is measured, since everybody needs it."""
        self.work.mkdir(parents=True, exist_ok=True)
        self.num_files = lay_out(self.work / "images")
        (self.work / "bench.yaml").write_text(STUDY)
        self.ours("study.name=ready", "study.seeds=[0]", "trial.freeze=none", "trial.epochs=1")
        decoded = [path.parent for path in (self.work / "cache" / "data").glob("*/data.json")]
        tables = {path: json.loads((path / "data.json").read_text())["prepared"] for path in decoded}
        self.data = next(path for path, table in tables.items() if table["channels"] == 3)
        self.num_images: dict[str, int] = tables[self.data]["num_images"]
        code = (
            "import sys, torch; from resnet_tl.model.weights import load;"
            "from resnet_tl.model.first_layer import fit_first_layer;"
            "w = load(sys.argv[1], 'resnet18'); s = w.state;"
            "s['conv1.weight'] = fit_first_layer(s['conv1.weight'], 3, std=w.std, rule='sum');"
            "torch.save(s, 'backbone.pth')"
        )
        checkpoint = next((self.work / "cache" / "pretrained").glob("*/checkpoint"))
        self.python("-c", code, str(checkpoint.resolve()))

    # -- the measurements -----------------------------------------------------------------------------------------

    def one_fine_tune(self, repeats: int) -> None:
        """(a) Nothing frozen, two threads: images trained a second."""
        epochs = 4
        for _ in range(repeats):
            whole, training = json.loads(self.python("-m", "benchmarks.alone", str(epochs)).stdout.splitlines()[-1])
            self.add("fit/ours", whole)
            self.add("fit/ours, training alone", training)
            for name in ("bare", "tuned", "tuned, channels last"):
                self.add(f"fit/{name}", self.peer(name, freeze=0.0, epochs=epochs)["images_per_s"])
        for name in ("naive", "Lightning", "Hugging Face Trainer"):
            self.add(f"fit/{name}", self.peer(name, freeze=0.0, epochs=2)["images_per_s"])

    def sweep_of_heads(self, repeats: int) -> None:
        """(b) 24 configurations x 10 seeds x 20 epochs on a frozen backbone."""
        words = [f"study.space={SPACE}"]
        for _ in range(repeats):
            self.add("heads/ours cold", self.ours(*words))
            assert f"for {sum(self.num_images.values()):,} images (centre)" in self.output
            self.add("heads/ours warm", self.ours(*words, cold=False))
            for name in ("tuned", "tuned, channels last"):
                self.add(f"heads/{name}, one fit", self.peer(name, freeze=1.0, epochs=20)["seconds"])
        for _ in range(2):
            for name in ("naive", "Lightning", "Hugging Face Trainer"):
                # the time of a fit is proportional to its epochs but for the first, so two stand for twenty
                self.add(f"heads/{name}, one fit", 10 * self.peer(name, freeze=1.0, epochs=2)["seconds"])

    def head_steps(self, repeats: int) -> None:
        """Microseconds for one head and one step, validation and metrics left out, against reading the features."""
        for _ in range(repeats):
            done = self.python("-m", "benchmarks.heads")
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                self.add(f"step/{name}", value)

    def sweep_of_tails(self, freeze: float, repeats: int) -> None:
        """(b) 24 configurations x 3 seeds x 20 epochs, part of the last stage trained."""
        words = [f"study.space={SPACE}", "study.seeds=[0,1,2]", f"trial.freeze={freeze}"]
        for _ in range(repeats):
            self.add(f"tails {freeze}/ours cold", self.ours(*words))
            assert f"for {sum(self.num_images.values()):,} images (centre)" in self.output
            if freeze > 0.8:  # computing the features takes a second; what is left is the same
                self.add(f"tails {freeze}/ours warm", self.ours(*words, cold=False))
            for _ in range(2):
                self.add(f"tails {freeze}/tuned, one fit", self.peer("tuned", freeze=freeze, epochs=20)["seconds"])

    def tail_steps(self, repeats: int) -> None:
        """Arithmetic of a step with part of the last block frozen, against what the core can do."""
        for _ in range(repeats):
            done = self.python("-m", "benchmarks.tail", "0.7")
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                self.add(f"tail/{name}", value)

    def sweep_of_whole(self, repeats: int) -> None:
        """(b) Six full fine-tunes of three epochs: nothing can be shared, two workers of one thread each."""
        words = ["study.space={lr: {values: [3e-4, 1e-3, 3e-3]}}", "study.seeds=[0,1]", "trial.freeze=none"]
        for _ in range(repeats):
            self.add("whole/ours", self.ours(*words, "trial.epochs=3"))
            for name in ("tuned", "tuned, channels last"):
                self.add(f"whole/{name}", self.peer(name, freeze=0.0, epochs=3, fits=6)["seconds"])
        self.add("whole/naive", 6 * 3 * self.peer("naive", freeze=0.0, epochs=1)["seconds"])

    def orchestration(self, repeats: int) -> None:
        """(c) Seed runs that train nothing."""
        for _ in range(repeats):
            for trials in (10, 100):
                shutil.rmtree(self.work / "noop", ignore_errors=True)
                done = self.python("-m", "benchmarks.noop", "noop", str(trials), "10")
                for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                    self.add(f"noop {trials * 10}/{name}", value)
        shutil.rmtree(self.work / "noop", ignore_errors=True)
        done = self.python("-m", "benchmarks.noop", "noop", "300", "10")
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            self.add(f"noop 3000/{name}", value)
        self.add("glue/one seed run", json.loads(self.python("-m", "benchmarks.glue").stdout.splitlines()[-1]))

    def growth(self) -> None:
        """(d) Cost as seeds, trials and images grow, on a frozen backbone."""
        for seeds in (1, 40):
            words = [f"study.space={SPACE}", f"study.seeds={list(range(seeds))}"]
            self.add(f"growth/24 trials x {seeds} seeds", self.ours(*words, cold=False))
        for trials in (96,):
            rates = [1e-4 * 1.05**n for n in range(trials)]
            self.add(
                f"growth/{trials} trials x 10 seeds",
                self.ours(f"study.space={{lr: {{values: {rates}}}}}", cold=False),
            )
        for most in (60,):
            lay_out(self.work / f"images{most}", most)
            name = [f"data.root=images{most}", f"study.space={SPACE}"]
            self.ours(*name, "run.dry_run=true")  # decodes
            self.add(f"growth/at most {most} files a class", self.ours(*name))

    def reports(self) -> None:
        """A report over ten thousand seed runs of fifty epochs each."""
        for _ in range(3):
            shutil.rmtree(self.work / "big", ignore_errors=True)
            done = self.python("-m", "benchmarks.report", "big", "10000", "50")
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                self.add(f"report/{name}", value)

    def memory(self) -> None:
        """Peak memory against what a dry run announces."""
        for name, words in {
            "frozen": [f"study.space={SPACE}"],
            "freeze 0.7": ["trial.freeze=0.7", "trial.epochs=2", "study.seeds=[0,1]"],
            "nothing frozen": ["trial.freeze=none", "trial.epochs=1", "study.seeds=[0,1]"],
        }.items():
            self.ours(*words, "run.dry_run=true", cold=False)
            said = next(line for line in self.output.splitlines() if line.startswith("memory: "))
            self.add(f"memory/{name}, announced GB", float(said.split()[3]))
            shutil.rmtree(self.work / "out", ignore_errors=True)
            here = str(Path(__file__).resolve().parent.parent)
            command = ["env", f"PYTHONPATH={here}", sys.executable, "-m", "sweeps.run", "study=bench.yaml"]
            peak = peak_of([*command, "run.out=out", *words], self.work)
            self.add(f"memory/{name}, worker GB", peak.worker / 1000)
            self.add(f"memory/{name}, driver GB", peak.driver / 1000)


def machine() -> dict[str, str]:
    """What it was measured on."""
    from importlib.metadata import version

    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    here = Path(__file__).resolve().parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=here, capture_output=True,
        text=True, check=False,
    ).stdout.strip()  # fmt: skip
    libraries = ("torch", "torchvision", "optuna", "mlflow", "lightning", "transformers")
    return {
        "processor": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, no GPU",
        "versions": ", ".join(f"{name} {version(name)}" for name in libraries),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    """Runs everything; a figure that was measured before stays, so that an interrupted run goes on."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/.work").absolute()
    bench = Bench(work)
    bench.prepare()
    parts: list[tuple[str, Callable[[], None]]] = [
        ("heads", lambda: bench.sweep_of_heads(5)),
        ("steps", lambda: bench.head_steps(5)),
        ("noop", lambda: bench.orchestration(1)),
        ("fit", lambda: bench.one_fine_tune(5)),
        ("tail", lambda: bench.tail_steps(5)),
        ("whole", lambda: bench.sweep_of_whole(4)),
        ("0.9", lambda: bench.sweep_of_tails(0.9, 2)),
        ("0.7", lambda: bench.sweep_of_tails(0.7, 2)),
        ("growth", bench.growth),
        ("reports", bench.reports),
        ("memory", bench.memory),
    ]
    stored = work / "figures.json"
    done: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {"parts": [], "figures": {}}
    bench.figures = done["figures"]
    for name, measure in parts:
        if name not in done["parts"]:
            measure()
            done |= {"parts": [*done["parts"], name], "figures": bench.figures}
            commits = list(dict.fromkeys([*done.get("commits", []), machine()["commit"]]))
            done |= {
                "machine": machine(),
                "commits": commits,
                "num_files": bench.num_files,
                "num_images": bench.num_images,
            }
            stored.write_text(json.dumps(done, indent=1))
    from benchmarks.page import write

    write(done, Path("reports"))


if __name__ == "__main__":
    main()
