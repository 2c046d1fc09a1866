"""Documents that people write: marked places are filled, nothing else is touched, broken markers are named."""

import contextlib
from pathlib import Path
from random import Random

import pytest

from resnet_tl.errors import DataError
from sweeps.report import main
from sweeps.reporting import markers

CSV = """trial,seed,state,lr,val/accuracy,test/accuracy
0,0,complete,1e-3,0.7,0.71
0,1,complete,1e-3,0.72,0.73
1,0,complete,1e-2,0.8,0.81
1,1,complete,1e-2,0.82,0.83
"""
OPEN, CLOSE = "<!-- sweeps: results=reports/r.csv table=lists -->", "<!-- /sweeps -->"
FILLED = """
| Learning rate | Test Acc (%) |
| --- | --- |
| 1e-3 | [71.00, 73.00] |
| 1e-2 | [81.00, **83.00**] |

<sub>Study r, seeds 0, 1.</sub>
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "r.csv").write_text(CSV)
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_marked_places_are_filled_and_nothing_else_is_touched(home: Path) -> None:
    before = f"# Mine\r\n  text | with *marks*\t\n\n{OPEN}\nold\n{CLOSE}\n\n{OPEN}\n{CLOSE}\nend, no newline"
    (home / "docs" / "a.md").write_bytes(before.encode())
    assert main(["docs=docs"]) == 0
    filled = f"{OPEN}\n{FILLED}\n{CLOSE}"
    after = (home / "docs" / "a.md").read_bytes().decode()
    assert after == f"# Mine\r\n  text | with *marks*\t\n\n{filled}\n\n{filled}\nend, no newline"
    assert main(["docs=docs"]) == 0
    assert (home / "docs" / "a.md").read_bytes().decode() == after, "filling again changes nothing"
    assert main(["docs=docs", "check=true"]) == 0


def test_a_check_finds_what_no_longer_matches_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{OPEN}\n{CLOSE}\n"
    (home / "README.md").write_text(text)
    assert main(["docs=[README.md]"]) == 0
    (home / "reports" / "r.csv").write_text(CSV.replace("0.83", "0.84"))
    kept = (home / "README.md").read_text()
    capsys.readouterr()
    assert main(["docs=[README.md]", "check=true"]) == 1
    told = capsys.readouterr().out
    assert "-| 1e-2 | [81.00, **83.00**] |" in told
    assert "+| 1e-2 | [81.00, **84.00**] |" in told
    assert (home / "README.md").read_text() == kept


def test_an_example_in_fenced_code_is_no_marker(home: Path) -> None:
    text = f"```\n{OPEN}\n```\n\n~~~~\n```\n{OPEN}\n~~~~\nWrite `{OPEN}` and `{CLOSE}`.\n"
    (home / "README.md").write_text(text)
    assert main(["docs=README.md"]) == 0
    assert (home / "README.md").read_text() == text


def test_code_within_a_line_opens_no_fence(home: Path) -> None:
    (home / "README.md").write_text(f"```x``` is code\n{OPEN}\n{CLOSE}\n")
    assert main(["docs=README.md", "check=true"]) == 1, "the marker is seen"


def test_line_ends_stay_what_they_are(home: Path) -> None:
    (home / "README.md").write_bytes(f"a\r\n{OPEN}\r\n{CLOSE}\r\n".encode())
    assert main(["docs=README.md"]) == 0
    text = (home / "README.md").read_bytes().decode()
    assert text.count("\n") == text.count("\r\n") > 5


def test_a_document_that_is_no_text_is_named(home: Path) -> None:
    (home / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"README.md must be text in UTF-8"):
        main(["docs=README.md"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OPEN, "line 1: the marker must be closed"),
        (f"{OPEN}\n```\n{CLOSE}\n```\nmy text\n", "line 1: the marker must be closed"),
        (CLOSE, "line 1: `<!-- /sweeps -->` must follow a marker"),
        (f"\n{OPEN}\n{OPEN}\n{CLOSE}", "line 3: a marker must be closed first, but that of line 2"),
        ("<!-- sweeps: table=lists -->\n" + CLOSE, "line 1: a marker must have either `study=` or `results=`"),
        ("<!-- sweeps: study=a -->\n" + CLOSE, "either `table=` or `figure=`"),
        ("<!-- sweeps: study=a table=list -->\n" + CLOSE, "line 1: .*did you mean `lists`"),
        ("<!-- sweeps: study=a tabel=lists -->\n" + CLOSE, "did you mean `table`"),
        ("<!-- sweeps: study=a table -->\n" + CLOSE, "key=value"),
        ("<!-- sweeps: study=a table=pivot rows=lrr -->\n" + CLOSE, "pivot.rows must be a parameter"),
        (f"text {OPEN}\n{CLOSE}", "line 1: a marker must stand alone on its line"),
        ("<!-- sweep s -->\n<!-- Sweeps study=a -->", "line 2: a marker must stand alone"),
        (f"{OPEN}\n<!-- /sweep -->\n<!-- / sweeps-->", "line 1: the marker must be closed|line 3"),
    ],
)
def test_a_broken_marker_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        markers.find(text, "doc.md")


def test_one_broken_document_leaves_all_as_they_are(home: Path) -> None:
    (home / "docs" / "a.md").write_text(f"{OPEN}\n{CLOSE}\n")
    (home / "docs" / "b.md").write_text("<!-- sweeps: results=reports/none.csv table=lists -->\n" + CLOSE)
    with pytest.raises(ValueError, match=r"b.md, line 1: .*none.csv"):
        main(["docs=docs"])
    assert (home / "docs" / "a.md").read_text() == f"{OPEN}\n{CLOSE}\n"


def test_a_picture_must_have_been_drawn(home: Path) -> None:
    (home / "docs" / "a.md").write_text(OPEN.replace("table=lists", "figure=seeds") + "\n" + CLOSE)
    with pytest.raises(ValueError, match="the picture .*r.seeds.svg is not there"):
        main(["docs=docs"])
    assert main(["results=reports/r.csv", "figures=seeds", "table=lists"]) == 0
    assert main(["docs=docs"]) == 0
    assert "](../reports/r.seeds.svg)" in (home / "docs" / "a.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["docs=nowhere"], "must name files or folders that exist"),
        (["docs=docs"], "holds none"),
        (["docs=docs", "table=flat"], "`table` does not go with docs="),
        (["study=a", "check=true"], "`check` goes with docs="),
        (["study=a", "docs=docs"], "Give one of"),
        (["study=a", "format=[a]"], "`format` must be one of"),
        (["study=a", "format={a: 1}"], "`format` must be one of"),
    ],
)
def test_words_that_make_no_sense_are_refused(home: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(words)


def test_options_of_a_table_do_not_go_with_a_picture() -> None:
    with pytest.raises(DataError, match="`rows` is an option of tables"):
        markers.find("<!-- sweeps: study=a figure=heatmap rows=lr -->\n<!-- /sweeps -->", "doc.md")


def test_a_value_that_looks_like_a_marker_can_be_filled_in_again(home: Path) -> None:
    rows = "lr,weights,val/accuracy,test/accuracy\n1e-3,<!-- /sweeps -->,0.7,0.71\n1e-2,a|b --> `c`,0.8,0.81\n"
    (home / "reports" / "r.csv").write_text(rows)
    (home / "README.md").write_text(f"{OPEN}\n{CLOSE}\nmine\n")
    assert main(["docs=README.md"]) == 0
    filled = (home / "README.md").read_text()
    assert main(["docs=README.md", "check=true"]) == 0
    assert filled.endswith(f"\n{CLOSE}\nmine\n")
    assert filled.count("/sweeps --") == 2


def test_odd_markers_are_filled_or_refused() -> None:
    random = Random(0)
    words = ("<!--", "-->", "sweeps:", "/sweeps", "study=a", "results=b.csv", "table=lists", "table=pivot", "rows=lr",
             "rows=[a]", "figure=seeds", "footer=maybe", "'", '"', "```", "~~~", "`", "\\", "=", "table={a: 1}", "|",
             "\x00", "\u2028", "<!-- sweeps: study=a table=lists -->", "<!-- /sweeps -->", "")  # fmt: skip
    for _ in range(2000):
        lines = (" ".join(random.choices(words, k=random.randrange(1, 8))) for _ in range(random.randrange(1, 6)))
        with contextlib.suppress(DataError):
            markers.find("\n".join(lines), "doc.md")
