"""What the pages say: commands run as they stand, links lead somewhere, the reference is the code's."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweeps.definition.compose import compose

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "experiments").glob("*.md")),
]
RUN = ("tutorial", "resuming", "tables", "ensembles", "predicting", "training", "asking", "coming_from", "quickstart")
"""Pages whose commands are run, in an order in which each has what it needs; those of other pages need other machines,
or hours, and have tests of their own."""
SMALLER = {
    "data.size=224": "data.size=32", "trial.epochs=10": "trial.epochs=1", "trial.epochs=6": "trial.epochs=2",
    "size: 64": "size: 32", "epochs: 5": "epochs: 1", "weights: imagenet": "weights: none",
    "sweeps.run\n": "sweeps.run trial.epochs=1 study.seeds=[0]\n",
    "resnet_tl.fit trial.backbone=resnet18": "resnet_tl.fit trial.backbone=resnet18 trial.weights=none",
}  # fmt: skip
"""What the test makes of commands and study files, so that it takes seconds of training and no network."""
WANDB = """
program: train.py
method: grid
metric: {name: val/accuracy, goal: maximize}
parameters:
  lr: {values: [0.001, 0.01]}
  optimizer: {value: sgd}
  backbone: {value: resnet18}
  weights: {value: none}
  epochs: {value: 1}
  batch_size: {value: 16}
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def smaller(text: str) -> str:
    for old, new in SMALLER.items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with images, a document and a sweep of W&B."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for folder, each in (("my_images", 20), ("other_images", 6)):
        for label, name in enumerate(("ants", "bees")):
            (home / folder / name).mkdir(parents=True)
            for number in range(each):
                pixels = random.integers(0, 200, (40, 40, 3), dtype=np.uint8)
                pixels[:, :, label] //= 3
                Image.fromarray(pixels).save(home / folder / name / f"{number}.png")
    shutil.copytree(home / "other_images" / "ants", home / "new_photos")
    (home / "sweep.yaml").write_text(WANDB)
    (home / "my_study.yaml").write_text(smaller(blocks(ROOT / "docs" / "tutorial.md", "yaml")[0]))
    (home / "my_document.md").write_text("# Mine\n\n" + blocks(ROOT / "docs" / "tutorial.md", "markdown")[0])
    return home


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_run_as_they_stand(home: Path, name: str) -> None:
    scripts = [smaller(block) for block in blocks(ROOT / "docs" / f"{name}.md", "bash")]
    assert scripts
    (home / "bin").mkdir(exist_ok=True)
    python = home / "bin" / "python"
    if not python.exists():
        python.symlink_to(sys.executable)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(home / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input="\n".join(scripts), cwd=home, env=environment, capture_output=True,
        text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if name == "tutorial":
        assert "| Freeze" in (home / "my_document.md").read_text()
        assert (home / "predictions.csv").exists()


def test_the_study_of_the_readme_is_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "readme.yaml").write_text(blocks(ROOT / "README.md", "yaml")[0])
    monkeypatch.chdir(home)
    assert len(list(compose(["study=readme.yaml"]).points())) == 6


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_of_pages_name_programs_that_there_are() -> None:
    for page in PAGES:
        for name in re.findall(r"python -m ((?:sweeps|resnet_tl)\.\w+)", page.read_text(encoding="utf-8")):
            assert (ROOT / f"{name.replace('.', '/')}.py").exists(), f"{page.name}: {name}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_reference_is_what_the_code_says() -> None:
    place = ROOT / "docs" / "site" / "hooks.py"
    spec = importlib.util.spec_from_file_location("hooks", place)
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == hooks.reference(), "run: python docs/site/hooks.py"
