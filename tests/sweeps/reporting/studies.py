"""What a study says of itself, for reports in tests."""

from dataclasses import replace
from typing import Any

from sweeps.records import NAMING, DataRecord, EnvironmentRecord, StudyRecord

STUDY = StudyRecord(
    name="s", created="", naming=NAMING, question="Is 1 < 2_?", about="", hypotheses=(), hypotheses_changed=None,
    method="grid", metric="val/accuracy", direction="maximize", seeds=(0, 1), space={}, base={}, base_weights=None,
    pretrain={}, tables=(), figures=(), confirm=None, num_trials=1, command="run", out=".",
    data=DataRecord(
        source="d", options={}, classes=("a",), num_images=dict.fromkeys(("train", "val", "test"), 3), test_name="t",
        images_name="i", presentation_name="p",
    ),
    environment=EnvironmentRecord(numerics=0, torch="2", torchvision="0", device="cpu", threads=1),
)  # fmt: skip


def study(**changes: Any) -> StudyRecord:
    """A study with some of it changed."""
    return replace(STUDY, **changes)
