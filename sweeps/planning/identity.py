"""Whether a study is still the one that the ledger holds under its name, and what differs if not."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from resnet_tl.errors import ConfigError, shown
from sweeps.records import NAMING, StudyRecord


def require_same(stored: StudyRecord, now: StudyRecord, reason: str | None) -> None:
    """Refuses a definition that would alter numbers which the ledger holds under this name.

    Names, prose, tables and the number of trials may change, seeds and values may be added.

    Args:
        stored: the study as it last ran.
        now: as it is asked for.
        reason: why planning refused, if it did.

    Raises:
        ConfigError: with the fields that differ, and how to go on.
    """
    reasons = [reason] if reason else []
    if stored.naming != NAMING:
        reasons.append(
            "It was written by an older version of this program, which named trials by another rule: status and "
            "reports read it, but it cannot be extended."
        )
    for key in ("method", "metric", "direction"):
        if getattr(stored, key) != getattr(now, key):
            reasons.append(f"`study.{key}` was {getattr(stored, key)}, but is {getattr(now, key)} now.")
    gone = [seed for seed in stored.seeds if seed not in now.seeds]
    if gone:
        reasons.append(f"`study.seeds` lacks {gone}, which the ledger's means include; seeds can only be added.")
    if not reasons:
        return
    fields = differences(stored, now)
    raise ConfigError(
        f"The study {now.name} is in the ledger with another definition, and its numbers must not be mixed.",
        *reasons,
        *([f"These fields differ:\n{shown(fields)}"] if fields else []),
        f"Bring the old definition back, or run this one under a new name:  study.name={now.name}_2",
    )


def differences(stored: StudyRecord, now: StudyRecord) -> list[str]:
    """One line for each field that decides numbers and differs, under the name by which the user knows it."""
    before, after = _fields(stored), _fields(now)
    lines = []
    for name in [*before, *(name for name in after if name not in before)]:
        was, is_now = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if was != is_now:
            lines.append(f"{name}: {_shown(was)} in the ledger, {_shown(is_now)} now")
    return lines


_ABSENT = object()


def _shown(value: Any) -> str:
    return "not set" if value is _ABSENT else str(value)


def _fields(study: StudyRecord) -> dict[str, Any]:
    data = study.data
    content = {
        "study": {"method": study.method, "metric": study.metric, "direction": study.direction, "seeds": study.seeds}
        | {"space": study.space},
        "trial": study.base,
        "weights": study.base_weights,
        "data": dict(data.options) | {"classes": data.classes},
        "images": {
            "count": data.num_images,
            "of test": data.test_name,
            "with their splits": data.images_name,
            "as presented": data.presentation_name,
        },
        "pretrain": {name: asdict(stage) for name, stage in study.pretrain.items()},
        "environment": asdict(study.environment),
    }
    return dict(_flat(content, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Values by dotted name; a key that is a number is one with its text, as JSON has it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{_key(key)}" if name else _key(key))
    else:
        yield name, _plain(value)


def _key(key: Any) -> str:
    try:
        return f"{float(key):g}"
    except (TypeError, ValueError):
        return str(key)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
