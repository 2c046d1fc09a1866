"""What others may import from the package, as they would."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_images

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, cwd: Path = ROOT) -> str:
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_torch() -> None:
    assert python("import resnet_tl; print('torch' in sys.modules)") == "False"
    assert python("from resnet_tl import TrialConfig, DataConfig, prepare; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("before", ["", "import resnet_tl.training.seed_run, resnet_tl.inference.predict\n"])
def test_its_names_are_functions(before: str) -> None:
    code = "import inspect\nfrom resnet_tl import evaluate, fit, predict, prepare\nimport resnet_tl\n"
    code += (
        "print(*(inspect.isfunction(f) for f in (evaluate, fit, predict, prepare, resnet_tl.fit, resnet_tl.evaluate)))"
    )
    assert python(before + code) == "True True True True True True"


def test_a_wrong_name_is_an_attribute_error() -> None:
    import resnet_tl

    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = resnet_tl.fitt


@pytest.mark.parametrize("module", ["fit", "predict", "evaluate", "pretrain"])
def test_nobody_imports_a_command_line(module: str) -> None:
    for path in [p for folder in ("resnet_tl", "sweeps", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert f"resnet_tl.{module}" not in names, path


SCRIPT = """
from pathlib import Path

from resnet_tl import DataConfig, Environment, TrialConfig, fit, predict, prepare

data = prepare(DataConfig(source="image_folder", root="images", size=32), Path("cache"))
trial = TrialConfig(
    backbone="resnet18", weights="none", optimizer="adam", lr=1e-3, epochs=1, batch_size=8
)
result = fit(trial, data, seed=0, environment=Environment(device="cpu", threads=1), folder=Path("run"))
images = sorted(Path("images/dots").iterdir())
classes, probabilities_NK = predict(Path("run/checkpoint"), images)
print(result.state, *classes, probabilities_NK.shape)
"""


def test_a_script_prepares_fits_and_predicts(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    assert python(SCRIPT, cwd=tmp_path) == "complete bars dots rings (12, 3)"
