"""What is given to others: the wheel, which runs from anywhere, and the version, which git knows."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def call(*words: str, cwd: Path, **changes: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        list(words), cwd=cwd, capture_output=True, text=True, check=False, env=environment | changes, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    """Files of the project that belong into it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "resnet_tl", "sweeps"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is no repository of git")
    return sorted(name for name in listed.stdout.split() if (ROOT / name).exists())


def copied(folder: Path) -> Path:
    """The tree as it would be committed, without a repository, so that nothing is built here."""
    for name in [*tracked(), "pyproject.toml", "setup.py", "README.md", "LICENSE"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def built(tree: Path, kind: str) -> Path:
    """A distribution of a tree, made as pip makes it, but with the setuptools that is here."""
    out = tree.parent / f"out-{kind}"
    out.mkdir()
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    call(sys.executable, "-c", code, cwd=tree)
    (made,) = out.iterdir()
    return made


@pytest.mark.slow
def test_a_wheel_runs_from_anywhere_with_study_files_inside(tmp_path: Path) -> None:
    """By way of an sdist, as it may be built where there is no git."""
    sdist = built(copied(tmp_path / "tree"), "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (tree,) = (tmp_path / "unpacked").iterdir()
    wheel = built(tree, "wheel")
    assert wheel.name.startswith(sdist.name.removesuffix(".tar.gz") + "-py3")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert inside == set(tracked())

    call(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(call(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call(
        sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel),
        cwd=tmp_path,
    )  # fmt: skip
    anywhere = tmp_path / "anywhere"
    anywhere.mkdir()
    told = call(
        str(python.parent / "sweeps"), "run", "run.dry_run=true", f"run.cache={tmp_path / 'cache'}", cwd=anywhere
    )
    assert told.startswith("quickstart: ")
    assert "seconds a seed run" in told
    where = call(str(python), "-c", "import resnet_tl, sweeps; print(sweeps.__file__)", cwd=anywhere)
    assert where.startswith(str(site))
    assert "resnet34_lr" in call(str(python), "-m", "sweeps.run", "--list", cwd=anywhere)
    described = call(
        str(python.parent / "resnet-tl"), "describe", "trial.backbone=resnet18", "data.size=64", cwd=anywhere
    )
    assert "layer4" in described
    assert list(anywhere.iterdir()) == []


def test_the_version_is_of_the_tag_and_what_came_after(tmp_path: Path) -> None:
    def version() -> str:
        return call(sys.executable, "setup.py", "--version", cwd=tmp_path).splitlines()[-1]

    def git(*words: str) -> str:
        who = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        return call("git", *words, cwd=tmp_path, **who).strip()

    (tmp_path / "setup.py").write_bytes((ROOT / "setup.py").read_bytes())
    assert version() == "0.1.0.dev0"
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert version() == f"0.1.0.dev1+g{git('rev-parse', '--short', 'HEAD')}"
    git("tag", "v1.4.2")
    git("tag", "other")
    assert version() == "1.4.2"
    git("commit", "-q", "--allow-empty", "-m", "second")
    assert version() == f"1.4.3.dev1+g{git('rev-parse', '--short', 'HEAD')}"
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: x\nVersion: 7.0\n\nVersion: no\n")
    assert version() == "7.0"


def test_the_citation_says_what_the_distribution_says() -> None:
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(told)
    assert told["authors"] == [{"name": "The resnet-sweeps developers"}]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'license = "{told["license"]}"' in pyproject
    assert 'name = "The resnet-sweeps developers"' in pyproject
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]
