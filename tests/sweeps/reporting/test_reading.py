"""Results are the same from the ledger and from the CSV file that was written of it."""

import contextlib
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from resnet_tl.errors import ConfigError, DataError
from sweeps.definition.hypotheses import parse_hypothesis
from sweeps.records import RunState, SeedRun, TrialRecord
from sweeps.reporting.answers import answers
from sweeps.reporting.markdown import markdown
from sweeps.reporting.reading import from_csv, from_ledger
from sweeps.reporting.report import report
from sweeps.reporting.results import SCORES
from sweeps.reporting.write import write_csv
from sweeps.storage.sqlite_database import SqliteDatabase
from tests.conftest import trial
from tests.sweeps.reporting.studies import study


def run(fingerprint: str, seed: int, score: float) -> SeedRun:
    return SeedRun(
        study="s", fingerprint=fingerprint, seed=seed, state=RunState.COMPLETE, max_epoch=1, best_epoch=1,
        metrics=dict.fromkeys(SCORES, score), wall_s=1.0, reason=None,
        started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:00:02+00:00", commit=None,
    )  # fmt: skip


def test_an_option_without_effect_counts_nowhere_from_either_source(tmp_path: Path) -> None:
    """The width of a linear head is written in the ledger and empty in the file, as momentum is for adam.

    The dropout of the last head is its own, while nothing is written for the others.
    """
    hypotheses = (
        {"compare": {"head": ["linear", "mlp_relu", "mlp_leaky_dropout"]}, "expect": "mlp_relu"},
        {"compare": {"optimizer": ["sgd", "adam"]}, "expect": "difference"},
    )
    space = {"head": {"values": ["linear", "mlp_relu", "mlp_leaky_dropout"]}, "optimizer": {"values": ["sgd", "adam"]}}
    about = study(name="s", space=space, seeds=(0, 1, 2), hypotheses=hypotheses, base={"backbone": "resnet18"})
    ledger = SqliteDatabase(tmp_path).open()
    ledger.put_study(about)
    points = [
        (head, optimizer) for head in ("linear", "mlp_relu", "mlp_leaky_dropout") for optimizer in ("sgd", "adam")
    ]
    ledger.put_trials(
        "s",
        [
            TrialRecord(
                number=number,
                fingerprint=f"f{number}",
                params={"head": head, "optimizer": optimizer},
                config=trial(head=head, optimizer=optimizer),
            )
            for number, (head, optimizer) in enumerate(points)
        ],
    )
    ledger.put([run(f"f{n}", seed, 0.5 + n / 20 + seed / (50 + n)) for n in range(6) for seed in range(3)])
    known = from_ledger(ledger, "s", tmp_path)
    write_csv(known, tmp_path / "s.csv")
    ledger.close()
    read = from_csv(tmp_path / "s.csv")
    assert read.varying() == known.varying() == ["head", "optimizer"]
    asked = [parse_hypothesis(item) for item in hypotheses]
    told = answers(read, asked)
    assert told == answers(known, asked)
    assert [answer.num_trials for answer in told] == [2, 3]
    (tmp_path / "s.about.json").unlink()
    alone = from_csv(tmp_path / "s.csv")
    assert alone.varying() == ["head", "optimizer"]
    assert [replace(answer, note=None) for answer in answers(alone, asked)] == [replace(a, note=None) for a in told]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr,test/accuracy\n.inf,0.5\n", "line 2, lr: '.inf': a number must be finite"),
        ("lr,test/accuracy\n1,0.5\n-.INF,0.5\n", "line 3, lr: '-.INF'"),
        ("lr,test/accuracy\n.nan,0.5\n", "line 2, lr: '.nan'"),
        ("lr,test/accuracy\n" + "9" * 5000 + ",0.5\n", "one of 5000 digits"),
        ("lr,test/accuracy\n1,.inf\n", "line 2, test/accuracy: '.inf' must be a finite number"),
        ("trial,test/accuracy\n1e300,0.5\n", "line 2, trial: 1e300 must be a whole number of at most"),
        ("trial,seed,test/accuracy\n0,-1,0.5\n", "line 2, seed: -1 must be 0 or more"),
        ("lr,test/accuracy\n1,0.5,3\n", "line 2: 3 cells for 2 columns"),
        ("lr,test/accuracy\n1\n", "line 2: 1 cells for 2 columns"),
        ("lr,lr,test/accuracy\n1,2,0.5\n", "The column 'lr' must stand there once"),
        ("", "its first line is empty"),
        ("weights,test/accuracy\na\x1b[31m,0.5\n", "line 2, weights: .* must be printable text"),
        ("study,test/accuracy\n../../x,0.5\n", "must hold no slash"),
        ("study,test/accuracy\n" + "x" * 300 + ",0.5\n", "must be at most 100 bytes long, but got 'xxx"),
        ("lr,test/loss\n1,1.7e308\n1,1.7e308\n", "line 2, test/loss: 1.7e308 must be a number of at most 1e.100"),
        ("lr,test/loss,wall_s\n1,0.5,1e308\n", "line 2, wall_s: 1e308 must be a number of at most 1e.100"),
        ("a\x00b,test/accuracy\n1,0.5\n", "is not known"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path / "r.csv")


def test_text_in_a_cell_stays_text(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('weights,test/accuracy\n"[a, b]",0.5\n{x: 1},0.6\n@y: z,0.7\na # b,0.8\n')
    read = from_csv(tmp_path / "r.csv")
    assert [trial.values["weights"] for trial in read.trials] == ["[a, b]", "{x: 1}", "@y: z", "a # b"]


def test_a_file_with_a_long_name_is_refused_before_pictures_are_named_by_it(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 240}.csv"
    path.write_text("lr,test/accuracy\n1,0.5\n")
    with pytest.raises(DataError, match="must have a name of at most 100 bytes"):
        from_csv(path)


def test_a_number_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "epochs,lr,momentum,freeze,seed,test/accuracy\n10,1,0,1,0,0.5\n10.0,1.0,0.0,1.0,1,0.6\n1e1,1e0,.0,1,2,0.7\n"
    )
    (one,) = from_csv(path).trials
    assert one.seeds == (0, 1, 2)
    assert {name: repr(one.values[name]) for name in ("epochs", "lr", "momentum", "freeze")} == {
        "epochs": "10", "lr": "1.0", "momentum": "0.0", "freeze": "1.0",
    }  # fmt: skip


def test_a_loss_beyond_all_bounds_is_short(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("lr,test/loss\n1,12345678901234567890123.5\n2,0.25\n")
    assert "| 1.235e22 |" in markdown(report(from_csv(tmp_path / "r.csv")))


def test_odd_csv_files_are_reports_or_refused(tmp_path: Path) -> None:
    random = Random(0)
    odd = ("", "x", "nan", ".inf", "1e999", "-1", "[a]", "{a: 1}", "0.5", "true", "~", "$x_", "-->", "| a", '"', "\n",
           ",", "\x00", "9" * 400, "complete", "s/confirm", "../x", "\xe9", "resnet18")  # fmt: skip
    for _ in range(300):
        rows = [["trial", "seed", "state", "lr", "head", "val/accuracy", "test/accuracy", "wall_s", "study"]]
        rows += [
            [str(t), str(s), "complete", "0.1", "linear", "0.5", "0.6", "1.0", "s"] for t in (0, 1) for s in (0, 1)
        ]
        for _ in range(random.choice([1, 1, 2, 3])):
            row = random.choice(rows)
            row[random.randrange(len(row))] = random.choice(odd)
        path = tmp_path / "r.csv"
        path.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
        with contextlib.suppress(DataError, ConfigError):
            markdown(report(from_csv(path)))
