"""Results are the same from the ledger and from the CSV file that was written of it."""

from dataclasses import replace
from pathlib import Path

from sweeps.definition.hypotheses import parse_hypothesis
from sweeps.records import RunState, SeedRun, TrialRecord
from sweeps.reporting.answers import answers
from sweeps.reporting.reading import from_csv, from_ledger
from sweeps.reporting.results import SCORES
from sweeps.reporting.write import write_csv
from sweeps.storage.database import SqliteDatabase
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
