"""The command line that classifies images."""

import csv
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.inference.predict import predict
from resnet_tl.inference.rows import MOST_LINES, Lines
from tests.conftest import Run
from tests.resnet_tl.trained import Trained


def test_results_stand_in_the_csv_and_bad_images_are_named_at_the_end(three: Trained, run: Run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for path in sorted(Path(str(three.config.root)).rglob("*.png"))[::10]:
        (tmp_path / "new" / f"{path.parent.name} {path.name}").write_bytes(path.read_bytes())
    (tmp_path / "new" / "broken.png").write_bytes(b"no image")
    done = run("resnet_tl.predict", f"checkpoint={three.checkpoint}", "images=new", "out=p.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "1 of 7 images cannot be classified:",
        "  new/broken.png is not an image of a known format",
    ]
    rows = list(csv.DictReader((tmp_path / "p.csv").open(newline="", encoding="utf-8")))
    paths = [Path(row["image"]) for row in rows]
    assert paths == sorted(p.relative_to(tmp_path) for p in (tmp_path / "new").iterdir() if p.name != "broken.png")
    classes, expected_NK = predict(three.checkpoint, [tmp_path / path for path in paths])
    found_NK = np.array([[float(row[f"p({name})"]) for name in classes] for row in rows])
    assert np.allclose(found_NK, expected_NK, rtol=1e-5)
    assert [row["class"] for row in rows] == [classes[best] for best in expected_NK.argmax(1)]
    assert len(done.stdout.splitlines()) == 7, "all lines go into a pipe, and where the CSV is"


def test_an_array_is_classified_like_the_files_it_was_made_of(three: Trained, run: Run, tmp_path: Path) -> None:
    from PIL import Image

    paths = sorted(Path(str(three.config.root)).rglob("*.png"))[::12]
    np.save(tmp_path / "x.npy", np.stack([np.asarray(Image.open(path)) for path in paths]))
    done = run("resnet_tl.predict", f"checkpoint={three.checkpoint}", "images=x.npy", "out=p.csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="", encoding="utf-8")))
    assert [row[0] for row in rows[1:]] == [f"x.npy[{n}]" for n in range(5)]
    assert np.allclose(np.array(rows)[1:, 2:].astype(float), predict(three.checkpoint, paths)[1], rtol=1e-5)


def test_a_terminal_gets_the_first_lines_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    for on_terminal, expected in ((True, MOST_LINES + 3), (False, MOST_LINES + 50)):
        lines = Lines(("cat", "dog"), 8, on_terminal=on_terminal)
        for number in range(MOST_LINES + 50):
            lines.add(f"{number}.png", np.log([0.25, 0.75] if number % 3 else [0.9, 0.1]))
        lines.finish("p.csv")
        told = capsys.readouterr().out.splitlines()
        assert len(told) == expected
        assert told[0] == "0.png     cat  90.0%"
        if on_terminal:
            assert told[-3:] == [
                "… and 50 more images; p.csv has all of them. Predicted in all:", "  dog  100", "  cat  50",
            ]  # fmt: skip


def test_pictures_are_drawn_for_images_that_can_be_read(three: Trained, run: Run, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(Path(str(three.config.root)).rglob("*.png"))[::20]):
        (tmp_path / "new" / str(number)).mkdir(parents=True)
        (tmp_path / "new" / str(number) / "x.png").write_bytes(path.read_bytes())
    (tmp_path / "new" / "broken.png").write_bytes(b"no image")
    words = [f"checkpoint={three.checkpoint}", "images=new", "explain=gradcam", "contact=true"]
    done = run("resnet_tl.predict", *words, "out_dir=pictures")
    assert done.returncode == 1
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        *(f"{number}__x.png.gradcam.png" for number in range(3)), "contact-0001.png",
    }  # fmt: skip
    assert "Pictures with heat are in pictures, 3 of them." in done.stdout


def test_options_that_contradict_are_refused_together(run: Run) -> None:
    done = run("resnet_tl.predict", "checkpoint=x", "images=y", "explain=lime", "contact=true", "out=no/p.csv")
    assert done.returncode == 2
    for part in ("`explain` must be gradcam or none, but got lime", "`out_dir=FOLDER` must be given",
                 "`out` must be in a folder that exists"):  # fmt: skip
        assert part in done.stderr
