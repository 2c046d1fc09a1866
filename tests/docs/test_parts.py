"""The examples of parts that other distributions bring: installed, and run together in a small study."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "parts"
STUDY = """
study:
  name: parts
  question: Do parts of others run?
  method: grid
  metric: val/top2
  seeds: [0, 1]
  space: {head: {values: [gelu, linear]}}
  tables: [worst, summary]
trial: {backbone: resnet10, weights: none, freeze: all, optimizer: sgd, lr: 0.01, epochs: 2, batch_size: 8}
data: {source: npz, root: images.npz, size: 32}
run: {workers: 2, cache: cache}
"""


def python(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(home / "site"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `site` has all five examples, as pip installs them."""
    home = tmp_path_factory.mktemp("parts")
    shutil.copytree(EXAMPLES, home / "parts")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", "site"]
    folders = [f"parts/{folder.name}" for folder in sorted(EXAMPLES.iterdir())]
    done = python(home, "pip", "install", *options, *folders)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Path:
    shutil.copytree(installed / "site", tmp_path / "site")
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = draws.integers(0, 90, (60, 32, 32, 3)) + 80 * labels[:, None, None, None]
    np.savez(tmp_path / "images.npz", images=images.astype(np.uint8), labels=labels)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def fingerprints(home: Path, study: str) -> list[str]:
    """Of each trial, in order."""
    rows = csv.DictReader((home / "reports" / f"{study}.csv").open())
    return list(dict.fromkeys(row["fingerprint"] for row in rows))


def changed(home: Path, name: str, module: str) -> None:
    """Another code of a module, at the same version."""
    path = home / "site" / f"{module}.py"
    path.write_text(path.read_text() + f"\n# {name}\n")


@pytest.mark.slow
def test_the_examples_run_in_a_study_and_never_with_numbers_of_other_code(home: Path) -> None:
    done = python(home, "sweeps.run", "study=study.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    report = (home / "reports" / "parts.md").read_text()
    assert "## Unluckiest seeds\n\n| Trial | Seed | Test acc |" in report
    rows = list(csv.DictReader((home / "reports" / "parts.csv").open()))
    assert [row["head"] for row in rows] == ["gelu", "gelu", "linear", "linear"]
    assert all(0.5 <= float(row["test/top2"]) <= 1 for row in rows)
    assert all(row["backbone"] == "resnet10" for row in rows if "backbone" in row)

    again = python(home, "sweeps.run", "study=study.yaml")
    assert "nothing was trained" in again.stdout, again.stdout + again.stderr
    best = home / "mlruns" / "best" / "parts"
    predicted = python(home, "resnet_tl.predict", f"checkpoint={best}", f"images={best / 'samples'}")
    assert predicted.returncode == 0, predicted.stderr

    (info,) = (home / "site").glob("gelu_head-*.dist-info")
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(metadata.replace("Version: 1.0", "Version: 1.1"))
    refused = python(home, "sweeps.run", "study=study.yaml")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "environment.parts.head gelu: gelu-head 1.0, code" in refused.stderr
    assert "gelu-head 1.1, code" in refused.stderr
    forked = python(home, "sweeps.run", "study=study.yaml", "study.name=forked")
    assert forked.returncode == 0, forked.stderr
    names = {key: fingerprints(home, key) for key in ("parts", "forked")}
    assert names["parts"][0] != names["forked"][0], "of the head that may be another"
    assert names["parts"][1] == names["forked"][1], "of the linear one, whose results are taken over"
    (info / "METADATA").write_text(metadata)

    for module in ("top2_metric", "resnet10"):
        before = (home / "site" / f"{module}.py").read_text()
        changed(home, "edited", module)
        refused = python(home, "sweeps.run", "study=study.yaml", "run.dry_run=true")
        assert refused.returncode == 2, (module, refused.stdout, refused.stderr)
        assert (
            f"environment.parts.{'metric top2' if module == 'top2_metric' else 'backbone resnet10'}" in refused.stderr
        )
        if module == "resnet10":
            predicted = python(home, "resnet_tl.predict", f"checkpoint={best}", f"images={best / 'samples'}")
            assert predicted.returncode == 2
            assert "needs the backbone that it was trained with, resnet10 of resnet10 1.0" in predicted.stderr
        (home / "site" / f"{module}.py").write_text(before)


@pytest.mark.slow
def test_every_example_is_short_and_without_it_its_name_is_unknown(home: Path) -> None:
    for path in EXAMPLES.glob("*/*.py"):
        code = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert len(code) <= 25, path
    shutil.rmtree(home / "site")
    refused = python(home, "sweeps.run", "study=study.yaml", "run.dry_run=true")
    assert refused.returncode == 2
    for name in ("gelu", "resnet10", "worst", "top2"):
        assert name in refused.stderr
    assert "Traceback" not in refused.stderr
