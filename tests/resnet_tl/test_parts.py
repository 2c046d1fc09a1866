"""Parts of other distributions that cannot be used are named with their distribution, before anything else happens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_tl.config import TrialConfig
from resnet_tl.head_spec import HEADS
from resnet_tl.identity import canonical, own_parts
from resnet_tl.parts import GROUPS, identities, installed, require_sound
from tests.conftest import trial

ROOT = Path(__file__).resolve().parents[2]
SPEC = "from resnet_tl.head_spec import HeadSpec\nHEAD = HeadSpec(width=8)\n"


def bring(site: Path, distribution: str, group: str, name: str, code: str, attribute: str = "HEAD") -> None:
    """A distribution as an installer leaves it."""
    module = distribution.replace("-", "_")
    info = site / f"{module}-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{attribute}\n")
    (site / f"{module}.py").write_text(code)


def told(site: Path, code: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )


def refused(site: Path) -> str:
    """What a command says that needs no part at all."""
    path = os.pathsep.join([str(site), str(ROOT)])
    words = [sys.executable, "-m", "resnet_tl", "describe", "trial.backbone=resnet18", "data.size=32"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_without_parts_of_others_nothing_has_another_name() -> None:
    require_sound()
    for group in GROUPS:
        assert identities(group) == {}
    assert installed() == {}
    assert "own" not in canonical(trial(), num_classes=3, channels=3)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("gelu", "import not_there", "cannot be used: ModuleNotFoundError: No module named 'not_there'"),
        ("gelu", "1 / 0", "cannot be used: ZeroDivisionError: division by zero"),
        ("gelu", "OTHER = 1", "cannot be used: AttributeError: "),
        ("gelu", "HEAD = 7", "cannot be used: TypeError: it must be a `HeadSpec`, but is int"),
        ("linear", SPEC, "must have a name of its own, but that one is built in"),
        ("my-head", SPEC, "must have a name of small letters, digits and `_`"),
        ("gelu", f"from resnet_tl.config import TrialConfig\n{SPEC}", "put other parts into a module of their own"),
    ],
)
def test_a_part_that_cannot_be_used_is_an_error_that_names_its_distribution(
    tmp_path: Path, name: str, code: str, said: str
) -> None:
    bring(tmp_path, "acme-heads", "resnet_tl.heads", name, code)
    error = refused(tmp_path)
    assert f"The head {name!r} of the distribution acme-heads 1.5 (acme_heads:HEAD) " in error
    assert said in error
    assert "pip uninstall acme-heads" in error


def test_a_part_must_not_bring_about_the_options_that_have_it_among_their_choices(tmp_path: Path) -> None:
    bring(tmp_path, "acme-heads", "resnet_tl.heads", "gelu", f"import resnet_tl.config\n{SPEC}")
    done = told(tmp_path, "import resnet_tl.head_spec, resnet_tl.parts\nresnet_tl.parts.require_sound()")
    assert "put other parts into a module of their own" in done.stderr


def test_two_distributions_cannot_bring_one_name(tmp_path: Path) -> None:
    bring(tmp_path, "acme-heads", "resnet_tl.heads", "gelu", SPEC)
    bring(tmp_path, "other-heads", "resnet_tl.heads", "gelu", SPEC)
    assert "'gelu' of the distribution other-heads 1.5" in refused(tmp_path)
    assert "but acme-heads 1.5" in refused(tmp_path)


@pytest.mark.parametrize(
    ("group", "code"),
    [
        ("resnet_tl.metrics", "from resnet_tl.metrics import METRICS\nHEAD = METRICS['loss']\n"),  # of another name
        ("resnet_tl.backbones", SPEC),
    ],
)
def test_each_registry_refuses_what_is_none_of_its_parts(tmp_path: Path, group: str, code: str) -> None:
    bring(tmp_path, "acme", group, "mine", code)
    assert f"The {GROUPS[group]} 'mine' of the distribution acme 1.5 (acme:HEAD) cannot be used" in refused(tmp_path)


def test_a_broken_source_or_table_is_told_where_its_registry_is_read(tmp_path: Path) -> None:
    bring(tmp_path, "acme-source", "resnet_tl.sources", "mine", "HEAD = object()")
    read = (
        "from resnet_tl.config import DataConfig\nfrom resnet_tl.data.sources import SOURCES\n"
        "DataConfig(source='digits')"
    )
    assert "'mine' of the distribution acme-source 1.5" in told(tmp_path, read).stderr
    bring(tmp_path / "more", "acme-table", "sweeps.tables", "mine", "Options = int\ndef draw(*words): ...\nHEAD = 1")
    read = "from sweeps.definition.outputs.registry import TABLES\nTABLES.spec('summary', 'study.tables')"
    assert "The table 'mine' of the distribution acme-table 1.5" in told(tmp_path / "more", read).stderr


def test_in_python_a_broken_part_is_told_before_a_configuration_is_read(tmp_path: Path) -> None:
    bring(tmp_path, "acme-heads", "resnet_tl.heads", "gelu", "import not_there")
    done = told(tmp_path, "from resnet_tl import DataConfig\nDataConfig(source='digits')")
    assert "The head 'gelu' of the distribution acme-heads 1.5" in done.stderr


def test_help_is_there_even_beside_a_broken_part(tmp_path: Path) -> None:
    bring(tmp_path, "acme-heads", "resnet_tl.heads", "gelu", "import not_there")
    done = told(tmp_path, "import sys; sys.argv = ['x', '--help']\nfrom sweeps.status import main\nsys.exit(main())")
    assert done.returncode == 0, done.stderr


def test_a_head_trains_by_its_own_gradient_which_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand in the kernel, whole by torch in the module: the same numbers for a function that neither knows."""
    import torch

    from resnet_tl.head_spec import HeadSpec
    from resnet_tl.model.head_module import Head, init_head
    from resnet_tl.training.head_kernel import Heads

    spec = HeadSpec(width=7, activation="torch.nn.functional:gelu")
    head = Head(spec, 5, 3)
    init_head(head, 0)
    features = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1))
    targets = torch.eye(3)[torch.arange(6) % 3].expand(2, 6, 3)
    share = torch.full((2, 6, 1), 1 / 6)
    found, _, _ = Heads([head, head], bf16=False, device=torch.device("cpu")).gradients(features, targets, share, None)
    loss = -(targets[0] * head(features[0]).log_softmax(-1)).sum(-1).mean()
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(found[name][0].reshape(parameter.shape), parameter.grad, atol=1e-6), name


def test_the_name_of_a_configuration_has_the_code_of_its_parts(tmp_path: Path) -> None:
    read = (
        "from resnet_tl.identity import canonical\nfrom resnet_tl.config import TrialConfig\n"
        "base = dict(backbone='resnet18', weights='none', optimizer='sgd', lr=1, epochs=1, batch_size=8)\n"
        "for head in ('gelu', 'linear'):\n"
        "    print(canonical(TrialConfig(**base, head=head), num_classes=3, channels=3).get('own'))"
    )
    bring(tmp_path, "acme-heads", "resnet_tl.heads", "gelu", SPEC)
    first, other = told(tmp_path, read).stdout.splitlines()
    assert first.startswith("{'head': 'gelu of acme-heads 1.5, code ")
    assert other == "None"
    (tmp_path / "acme_heads.py").write_text(SPEC.replace("8", "9"))
    assert told(tmp_path, read).stdout.splitlines()[0] != first


def test_own_parts_are_none_of_what_is_built_in() -> None:
    assert own_parts(TrialConfig.model_validate(trial().model_dump() | {"head": next(iter(HEADS))})) == {}
