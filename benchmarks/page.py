"""Writes reports/benchmarks.md with its picture from the figures of `benchmarks.run`."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

SEED_RUNS = {"heads": 240, "tails": 72}
EPOCHS = 20
SHORTER = ("naive", "Lightning", "Hugging Face Trainer")

Figures = dict[str, list[float]]


def shown(values: list[float], digits: int = 3) -> str:
    """Median with the least and the most of the repetitions."""
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{_number(middle, digits)} (n=1)"
    low, high = _number(min(values), digits), _number(max(values), digits)
    return f"{_number(middle, digits)} ({low}–{high}, n={len(values)})"


def _number(value: float, digits: int) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def ratio(above: float, below: float) -> str:
    """How many times."""
    return f"{_number(above / below, 3)}×"


class Page:
    """The report, section by section."""

    def __init__(self, done: dict[str, Any]) -> None:
        self.figures: Figures = done["figures"]
        self.machine: dict[str, str] = done["machine"]
        self.commits: list[str] = done["commits"]
        self.num_images: dict[str, int] = done["num_images"]
        self.num_files: int = done["num_files"]
        self.lines: list[str] = []

    def median(self, name: str) -> float:
        """Of a figure's repetitions."""
        return statistics.median(self.figures[name])

    def say(self, *lines: str) -> None:
        """Adds lines."""
        self.lines += lines

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """Adds a table."""
        self.say("", "| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |")
        self.say(*("| " + " | ".join(row) + " |" for row in rows), "")

    # -- sections -------------------------------------------------------------------------------------------------

    def head(self) -> None:
        """What was measured, and where."""
        counts = self.num_images
        self.say(
            "# Benchmarks",
            "",
            f"{self.machine['processor']}; {self.machine['versions']}; commit {' and '.join(self.commits)}, "
            f"{self.machine['date']}. Made by `make bench`.",
            "",
            f"Images: {self.num_files:,} files of Debian's clip art in nine classes, of which {sum(counts.values()):,} "
            f"are usable ({counts['train']} train, {counts['val']} val, {counts['test']} test), at 64 pixels. A "
            "ResNet-18 that starts from weights made here, batch 32, SGD. Everybody has the same weights file, "
            "splits, size, epochs and BatchNorm policy, and bf16, but for the naive loop, which has fp32.",
            "",
            "Figures are medians with the range of the repetitions, which took turns. Ours are whole commands, from "
            "typing to the report: loading libraries, planning, computing features, training, ledger, Optuna and "
            "MLflow. Those of the others are fits alone, with libraries loaded and, except for the naive loop, images "
            "decoded; their sweeps are one fit times the number of fits, since 240 of them take more than an hour. "
            "Decoding and pretraining, which all need once, are in none of the figures.",
        )

    def heads(self) -> None:
        """The frozen backbone."""
        cold, warm = self.figures["heads/ours cold"], self.figures["heads/ours warm"]
        count = SEED_RUNS["heads"]
        rows = [
            ["ours, cold", shown(cold), "", "1"],
            ["ours, features in the cache", shown(warm), "", ratio(statistics.median(cold), statistics.median(warm))],
        ]
        for name in ("tuned", "tuned, channels last", "naive", "Lightning", "Hugging Face Trainer"):
            one = self.figures[f"heads/{name}, one fit"]
            whole = statistics.median(one) * count
            rows.append([name, f"{whole:,.0f}", shown(one), ratio(whole, statistics.median(cold))])
        self.say("", "## A frozen backbone: 24 configurations × 10 seeds × 20 epochs, linear head", "")
        self.table(["", "Seconds for the sweep", "Seconds for one fit", "Against ours, cold"], rows)
        passes, learnt = sum(self.num_images.values()), self.num_images["train"] + self.num_images["val"]
        self.say(
            f"Forward passes through the backbone: {passes:,}, which is exactly views × images (1 × {passes:,}); each "
            f"run of the sweep asserts it. The loops make {count * EPOCHS * learnt:,}. "
            "One fit of the naive loop, of Lightning and of Hugging Face is ten times a fit of two epochs."
        )
        rows = [
            [kind, shown(self.figures[f"step/{kind}, µs"]), shown(self.figures[f"step/{kind}, reading alone, µs"])]
            for kind in ("fp32", "bf16")
        ]
        self.say("", "One step of one head among 40 (512 features, 9 classes, batch 32), one thread:")
        self.table(["", "µs", "of which reading the features, µs"], rows)

    def tails(self) -> None:
        """Part of the last stage."""
        self.say("", "## Part of the last stage trained: 24 configurations × 3 seeds × 20 epochs", "")
        rows = []
        for freeze in ("0.9", "0.7"):
            if f"tails {freeze}/tuned, one fit" not in self.figures:
                continue
            cold = self.figures[f"tails {freeze}/ours cold"]
            one = self.figures[f"tails {freeze}/tuned, one fit"]
            whole = statistics.median(one) * SEED_RUNS["tails"]
            warm = self.figures.get(f"tails {freeze}/ours warm")
            times = ratio(whole, statistics.median(cold))
            rows.append([freeze, shown(cold), shown(warm) if warm else "", shown(one), f"{whole:,.0f}", times])
        self.table(
            ["Freeze", "Ours, cold, s", "Warm, s", "Tuned, one fit, s", "Tuned, the sweep, s",
             "Tuned against ours, cold"],
            rows,
        )  # fmt: skip
        step, work, most = (self.median(f"tail/{name}") for name in ("ms a step", "GFLOP", "most GFLOP/s"))
        self.say(
            f"One step at freeze 0.7, one thread: {shown(self.figures['tail/ms a step'])} ms for {work:.3g} GFLOP of "
            f"convolutions and products, {work / step * 1000:.0f} GFLOP/s; a product of two 2048 × 2048 matrices in "
            f"bf16 reaches {most:.0f}, so the step is at {work / step * 1000 / most:.2f} of what the arithmetic alone "
            "would allow. The rest is weights, gradients and momentum passing through memory."
        )

    def whole(self) -> None:
        """Nothing frozen."""
        self.say("", "## Nothing frozen", "")
        bare = self.median("fit/bare")
        names = ["bare", "ours, training alone", "ours", "tuned", "tuned, channels last", *SHORTER]
        rows = [
            [name, shown(self.figures[f"fit/{name}"]), f"{self.median(f'fit/{name}') / bare:.2f}",
             ratio(self.median("fit/ours"), self.median(f"fit/{name}"))]
            for name in names
        ]  # fmt: skip
        self.say(
            "One fine-tune of 4 epochs (the last three rows: 2) on two threads. `bare` is forward, backward and step "
            "of our network on tensors in memory, and nothing else, after an epoch that chooses kernels; `ours, "
            "training alone` leaves out the first epoch, validation and final scores, which `ours` and the others have:"
        )
        self.table(["", "Images/s", "Of bare", "Ours against it"], rows)
        ours = self.median("whole/ours")
        rows = [["ours: 2 workers × 1 thread", shown(self.figures["whole/ours"]), "1"]]
        rows += [
            [name, shown(self.figures[f"whole/{name}"]), ratio(self.median(f"whole/{name}"), ours)]
            for name in ("tuned", "tuned, channels last", "naive")
        ]
        self.say("A sweep of 6 full fine-tunes of 3 epochs (the naive loop: one of one epoch, times 18):")
        self.table(["", "Seconds", "Against ours"], rows)

    def orchestration(self) -> None:
        """Seed runs of nothing."""
        self.say("", "## Orchestration alone: seed runs that train nothing", "")
        rows = []
        for count in (100, 1000, 3000):
            get = {
                k: self.figures[f"noop {count}/{k}"]
                for k in ("wall_s", "cpu_s", "first_100_s", "last_100_s", "peak_mb")
            }
            each = 1000 * statistics.median(get["wall_s"]) / count
            rows.append([f"{count:,}", *(shown(values) for values in get.values()), f"{each:.3g}"])
        self.table(
            ["Seed runs", "Wall, s", "Processor, s", "First 100, s", "Last 100, s", "Driver's peak, MB", "ms each"],
            rows,
        )
        glue = 1000 * self.median("glue/one seed run")
        self.say(
            "Ledger, Optuna and MLflow (one epoch, 28 metrics, 27 parameters each) are all in it, and two seconds of "
            f"loading. The same calls to Optuna and MLflow written by hand, one by one: {glue:.3g} ms a seed run."
        )

    def growth(self) -> None:
        """Cost as a study grows."""
        if not any(name.startswith("growth/") for name in self.figures):
            return
        self.say("", "## Growth, on a frozen backbone", "")
        rows = [
            [name.removeprefix("growth/"), shown(values)]
            for name, values in self.figures.items()
            if name.startswith("growth/")
        ]
        self.table(["20 epochs", "Seconds"], rows)

    def memory(self) -> None:
        """Against what a dry run announces."""
        self.say("", "## Memory", "")
        rows = [
            [
                name,
                *(
                    f"{self.median(f'memory/{name}, {what}'):.2f}"
                    for what in ("announced GB", "worker GB", "driver GB")
                ),
            ]
            for name in ("frozen", "freeze 0.7", "nothing frozen")
        ]
        self.table(["", "A dry run announces at most, GB", "Largest worker, GB", "Driver, GB"], rows)

    def reports(self) -> None:
        """The report of a large study."""
        self.say("", "## A report over 10,000 seed runs of 50 epochs each, with all seven pictures", "")
        rows = [
            [form, shown(self.figures[f"report/{form}, s"]), shown(self.figures[f"report/{form}, MB"])]
            for form in ("markdown", "html")
        ]
        self.table(["", "Seconds", "Peak, MB"], rows)

    def where_not(self) -> None:
        """Where there is nothing to gain."""
        self.say(
            "",
            "## Where we are not faster",
            "",
            "- With nothing frozen, or with augmentation that has no end (rotation, random crops, mixup, cutmix), "
            "nothing can be shared: the gain is that of two processes in place of two threads and, on a CPU, of small "
            "maps as matrix products, as above; with maps larger than 3 × 3 everywhere (from about 100 pixels on) "
            "only the first is left.",
            "- `torch.compile` is not offered: measured earlier on such a processor, it cost 25 to 77 s and gained "
            "nothing.",
            "- No GPU was at hand; nothing here says how any of this compares on one.",
        )


def write(done: dict[str, Any], reports: Path) -> None:
    """Writes the page and its picture."""
    page = Page(done)
    for section in (
        page.head,
        page.heads,
        page.tails,
        page.whole,
        page.orchestration,
        page.growth,
        page.reports,
        page.memory,
        page.where_not,
    ):
        section()
    picture = reports / "benchmarks.svg"
    _draw(page, picture)
    at = page.lines.index("") + 1
    page.lines[at:at] = ["![How many times the seconds of ours others need](benchmarks.svg)", ""]
    text = "\n".join(page.lines) + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    (reports / "benchmarks.md").write_text(text, encoding="utf-8")
    (reports / "benchmarks.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


def _draw(page: Page, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot

    bars = [("nothing frozen, 6 fits", page.median("whole/tuned") / page.median("whole/ours"))]
    for freeze in ("0.7", "0.9"):
        if f"tails {freeze}/tuned, one fit" not in page.figures:
            continue
        whole = page.median(f"tails {freeze}/tuned, one fit") * SEED_RUNS["tails"]
        bars.append((f"freeze {freeze}, 72 fits", whole / page.median(f"tails {freeze}/ours cold")))
    whole = page.median("heads/tuned, one fit") * SEED_RUNS["heads"]
    bars.append(("freeze 1.0, 240 fits", whole / page.median("heads/ours cold")))
    figure, axes = pyplot.subplots(figsize=(7, 2.4), layout="constrained")
    drawn = axes.barh([name for name, _ in bars], [value for _, value in bars], color="#0072B2")
    axes.bar_label(drawn, [f"{value:.3g}×" for _, value in bars], padding=4)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(0.8, 3 * bars[-1][1])
    axes.set_xlabel("seconds of the tuned loop / seconds of ours, cold (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), Path("reports"))
