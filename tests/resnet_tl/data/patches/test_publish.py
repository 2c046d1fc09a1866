from pathlib import Path

import pytest

from resnet_tl.data.patches import publish
from resnet_tl.data.patches.make import make_patches
from resnet_tl.errors import ConfigError
from tests.resnet_tl.data.patches.conftest import noise, options, save, write_marked


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_of_the_same_request_is_replaced(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    make_patches(options(root))
    (root / "out" / ".DS_Store").write_bytes(b"left by a file manager")
    (root / "images" / "benign" / "000_0.png").unlink()
    (root / "masks" / "benign" / "000_0.png").unlink()
    made = make_patches(options(root))
    assert len(made.rows) == 19
    assert sum(name.endswith(".png") and "/" in name for name in content(root / "out")) == 19
    assert sorted(path.name for path in root.iterdir()) == ["images", "masks", "out"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.txt", "1 files are not in the manifest:\n  notes.txt"),
        (".notes", "1 files are not in the manifest:\n  .notes"),
        ("contact-9.png", "not as they were written:\n  contact-9.png"),
        ("contact.png", "not as they were written:\n  contact.png"),
        ("train/benign/mine.png", "1 files are not in the manifest:\n  train/benign/mine.png"),
        ("PATCH", "1 patches differ from the sha256"),
        ("manifest.csv", "not as they were written:\n  manifest.csv"),
    ],
)
def test_a_set_that_was_changed_since_is_left_alone(tmp_path: Path, name: str, said: str) -> None:
    root = write_marked(tmp_path)
    made = make_patches(options(root))
    path = root / "out" / (made.rows[0].path if name == "PATCH" else name)
    before = path.read_bytes() if path.exists() else b""
    path.write_bytes(before + b"\n")
    held = content(root / "out")
    with pytest.raises(ConfigError, match="must be as this command left it") as caught:
        make_patches(options(root))
    assert said in str(caught.value)
    assert content(root / "out") == held


def test_a_missing_patch_is_no_reason_to_replace_but_a_change_too(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    made = make_patches(options(root))
    (root / "out" / made.rows[0].path).unlink()
    with pytest.raises(ConfigError, match="1 patches of the manifest are missing"):
        make_patches(options(root))


def test_other_options_or_another_folder_are_refused(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    make_patches(options(root))
    with pytest.raises(ConfigError, match="made with others(.|\n)*size: 16 there, 20 now"):
        make_patches(options(root, size=20))
    (root / "mine").mkdir()
    (root / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigError, match="holds something else"):
        make_patches(options(root, out=str(root / "mine")))
    assert (root / "mine" / "thesis.txt").read_text() == "all of it"
    (root / "file").write_text("a file")
    with pytest.raises(ConfigError, match="is a file"):
        make_patches(options(root, out=str(root / "file")))
    (root / "empty").mkdir()
    make_patches(options(root, out=str(root / "empty")))


def test_an_error_and_a_file_that_comes_meanwhile_leave_the_old_set(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    asked = options(root)
    make_patches(asked)
    held = content(root / "out")
    making = publish.publishing(root / "out", publish.request_of(asked))
    (making.__enter__() / "x").write_text("half")
    assert making.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    with (
        pytest.raises(ConfigError, match="late.txt"),
        publish.publishing(root / "out", publish.request_of(asked)),
    ):
        (root / "out" / "late.txt").write_text("mine")
    assert content(root / "out") == held | {"late.txt": b"mine"}
    assert sorted(path.name for path in root.iterdir()) == ["images", "masks", "out"]


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    make_patches(options(root))
    held = content(root / "out")
    (root / "out").rename(root / ".out.replaced")
    (root / ".out.making").mkdir()
    with pytest.raises(ConfigError, match="made with others"):
        make_patches(options(root, size=20))
    assert content(root / "out") == held, "the old set has its name again"
    (root / "out").rename(root / ".out.replaced")
    make_patches(options(root))
    (root / ".out.replaced").mkdir()  # killed after both renames
    make_patches(options(root))
    assert content(root / "out") == held
    assert sorted(path.name for path in root.iterdir()) == ["images", "masks", "out"]


def test_two_processes_do_not_make_one_folder(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    asked = options(root)
    with publish.publishing(root / "out", publish.request_of(asked)) as folder:
        with pytest.raises(ConfigError, match="another is making"):
            make_patches(asked)
        save(folder / "a.png", noise(0))


def test_a_link_keeps_leading_where_it_did(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    (root / "elsewhere").mkdir()
    (root / "out").symlink_to(root / "elsewhere")
    for _ in range(2):
        make_patches(options(root))
    assert (root / "out").is_symlink()
    assert (root / "elsewhere" / "manifest.csv").exists()
