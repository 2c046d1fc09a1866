"""Whether intervals made from one half of a large test set hold what the other half shows: reports/new_images.md.

    python -m benchmarks.new_images [out=FOLDER]     needs the Debian package openclipart-png; about ten minutes

Heads are trained on the features of a frozen ResNet-18, with thirty seeds each. Two hundred times a few of the seeds
and half of the test images (whole clusters of copies and of drawings of one name) are taken, and an interval is made
of them; the other half of the images, with all other seeds, gives another mean with an interval of its own. Where both
are right, the two means differ by no more than √(h₁² + h₂²) in 95 of 100 draws.

Axes: S seeds, N images.
"""

import itertools
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sweeps.statistics.images import difference, interval, parts_of
from sweeps.statistics.stats import summarise

SOURCE = Path("/usr/share/openclipart/png")
KINDS = ["animals", "food", "geography", "people", "recreation", "signs_and_symbols", "special", "transportation"]
LEARNT = ["buildings", "computer", "office", "plants", "tools"]
ALL_SEEDS = 30
DRAWS = 200
SEEDS = (3, 5, 10)
GROUP = "/[^/A-Za-z]*([A-Za-z]+[^A-Za-z/]*[A-Za-z]*)[^/]*$"
DATA = {"source": "image_folder", "size": 64, "skip_bad": True, "group_key": GROUP}
STUDY = {
    "study": {
        "name": "new_images", "question": "Do intervals hold for new images?", "method": "grid",
        "metric": "val/accuracy", "seeds": list(range(ALL_SEEDS)),
        "space": {"head": {"values": ["linear", "mlp_relu"]}, "lr": {"values": [1e-3, 1e-2]}},
    },
    "trial": {
        "backbone": "resnet18", "weights": "others", "optimizer": "sgd", "freeze": "all", "epochs": 10,
        "batch_size": 32,
    },
    "data": DATA | {"root": "study", "val_fraction": 0.08, "test_fraction": 0.82},
    "pretrain": {
        "others": {
            "trial": {"backbone": "resnet18", "optimizer": "sgd", "lr": 1e-2, "epochs": 8, "batch_size": 32},
            "data": DATA | {"root": "learnt"},
        }
    },
}  # fmt: skip

Table = NDArray[np.bool_]


def lay_out(folder: Path, kinds: list[str]) -> None:
    """Links drawings into class folders."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((SOURCE / kind).rglob("*.png")):
            link = (
                folder / kind / ("_in_".join(reversed(path.relative_to(SOURCE / kind).with_suffix("").parts)) + ".png")
            )
            if not link.exists():
                link.symlink_to(path.resolve())


def tables(out: Path) -> tuple[list[Table], NDArray[np.int64]]:
    """Which test images are right in each seed run, for each trial [S, N], and which of them depend on each other."""
    from sweeps.reporting.reading import from_ledger
    from sweeps.run import main as run
    from sweeps.storage.database import database_of

    lay_out(out / "study", KINDS)
    lay_out(out / "learnt", LEARNT)
    content = yaml.safe_load(yaml.safe_dump(STUDY))
    content["data"]["root"] = str(out / "study")
    content["pretrain"]["others"]["data"]["root"] = str(out / "learnt")
    (out / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert run([f"study={out / 'study.yaml'}", f"run.out={out}"]) == 0
    ledger = database_of(out).read()
    try:
        results = from_ledger(ledger, "new_images", out)
        found = [results.on_images(trial, "test/accuracy") for trial in results.trials]
    finally:
        ledger.close()
    known = [table for table in found if table is not None]
    assert len(known) == len(results.trials)
    assert known[0].clusters_N is not None
    return [table.values_SN for table in known], known[0].clusters_N


def halves(clusters_N: NDArray[np.int64], draws: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two halves of the images, no cluster in both."""
    names = draws.permutation(np.unique(clusters_N))
    first = np.isin(clusters_N, names[: len(names) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def held(values_SN: Table, clusters_N: NDArray[np.int64], seeds: int, draws: np.random.Generator) -> list[bool]:
    """Whether one half and the other agree: our interval's rule, the rule over seeds alone, without clusters."""
    ours: list[bool] = []
    order = draws.permutation(len(values_SN))
    one_N, other_N = halves(clusters_N, draws)
    few = np.ix_(order[:seeds], one_N)
    rest = np.ix_(order[seeds:], other_N)
    gap = float(values_SN[few].mean() - values_SN[rest].mean())
    for clusters in ((clusters_N[one_N], clusters_N[other_N]), (None, None)):
        low, high = interval(values_SN[few], clusters[0], bounds=(0.0, 1.0))
        # the interval is not symmetric: what counts is the side on which the other half lies
        mean = float(values_SN[few].mean())
        half = (mean - low) if gap > 0 else (high - mean)
        ours.append(abs(gap) <= math.hypot(half, parts_of(values_SN[rest], clusters[1]).half()))
    ours.append(abs(gap) <= math.hypot(*(_on_seeds(values_SN[place]) for place in (few, rest))))
    return ours


def _on_seeds(values_SN: NDArray[Any]) -> float:
    """Half of the Student-t interval; 0 where all seeds agree, of which there is none."""
    told = summarise(values_SN.mean(1).tolist())
    return 0.0 if told.high is None else told.high - told.mean


def held_difference(
    a_SN: Table, b_SN: Table, clusters_N: NDArray[np.int64], seeds: int, draws: np.random.Generator
) -> list[bool]:
    """The same of a difference of two trials, paired by seed and image."""
    order = draws.permutation(len(a_SN))
    one_N, other_N = halves(clusters_N, draws)
    few, rest = np.ix_(order[:seeds], one_N), np.ix_(order[seeds:], other_N)
    found = []
    gaps_SN = a_SN.astype(float) - b_SN
    gap = float(gaps_SN[few].mean() - gaps_SN[rest].mean())
    for clusters in ((clusters_N[one_N], clusters_N[other_N]), (None, None)):
        parts = [
            difference(a_SN[place], b_SN[place], own, bounds=(0.0, 1.0)).half()
            for place, own in zip((few, rest), clusters, strict=True)
        ]
        found.append(abs(gap) <= math.hypot(*parts))
    found.append(abs(gap) <= math.hypot(*(_on_seeds(gaps_SN[place]) for place in (few, rest))))
    return found


def page(known: list[Table], clusters_N: NDArray[np.int64]) -> str:
    """The report."""
    N, G = known[0].shape[1], len(np.unique(clusters_N))
    means = ", ".join(f"{100 * table.mean():.1f}" for table in known)
    lines = [
        "# Do intervals hold on new images?",
        "",
        f"{len(KINDS)} kinds of clip art, a frozen ResNet-18 that has learnt {len(LEARNT)} other kinds, {len(known)} "
        f"heads of {ALL_SEEDS} seeds each (test accuracy {means}%), {N:,} test images in {G:,} clusters (copies, and "
        f"drawings of one name). {DRAWS} draws of half of the clusters and of a few seeds; the other half, with all "
        "other seeds, shows another mean. Percent of the draws in which the two agree within √(h₁² + h₂²), which is 95 "
        "where both intervals are right (standard error 1.5 for one trial). Made by `python -m benchmarks.new_images`.",
        "",
        "| What | Seeds | Fresh seeds and images | The same without clusters | Seeds alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    for seeds in SEEDS:
        draws = np.random.default_rng(seeds)
        shares = np.mean([held(t, clusters_N, seeds, draws) for t in known for _ in range(DRAWS)], axis=0)
        lines.append(f"| a mean | {seeds} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    for seeds in SEEDS:
        draws = np.random.default_rng(100 + seeds)
        shares = np.mean(
            [
                held_difference(a, b, clusters_N, seeds, draws)
                for a, b in itertools.combinations(known, 2)
                for _ in range(DRAWS)
            ],
            axis=0,
        )
        lines.append(f"| a difference | {seeds} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the study, draws, and writes the page."""
    given = next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith("out=")), None)
    with tempfile.TemporaryDirectory() as made:
        known, clusters_N = tables(Path(given or made).absolute())
        Path("reports/new_images.md").write_text(page(known, clusters_N), encoding="utf-8")


if __name__ == "__main__":
    main()
