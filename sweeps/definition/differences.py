"""What of two studies differs, field by field, under the names by which users know them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from sweeps.records import StudyRecord


def differences(one: StudyRecord, other: StudyRecord, *, called: tuple[str, str]) -> list[str]:
    """One line for each field that decides numbers and differs.

    Args:
        called: how a line names the two sides, `in the ledger` and `now` say.
    """
    before, after = _fields(one), _fields(other)
    names = [*before, *(name for name in after if name not in before)]
    differ = [name for name in names if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    plain = [name for name in differ if name not in _EXPLAINED_BY]
    # what only names content by its hash comes last, and not at all where an option says why it is another
    hashes = [name for name in differ if name in _EXPLAINED_BY and not {*differ} & {*_EXPLAINED_BY[name]}]
    return [
        f"{name}: {_shown(before.get(name, _ABSENT))} {called[0]}, {_shown(after.get(name, _ABSENT))} {called[1]}"
        for name in [*plain, *hashes]
    ]


_WHICH_IMAGES = ("data.source", "data.labels", "data.classes")
_SPLITS = ("data.split_seed", "data.val_fraction", "data.test_fraction", "data.group_key", "data.group_missing")
_PRESENTATION = ("size", "resize", "crop", "channels", "bits", "balanced", "truncated")
_EXPLAINED_BY = {
    "images.of test": (*_WHICH_IMAGES, *_SPLITS),
    "images.with their splits": (*_WHICH_IMAGES, *_SPLITS),
    "images.as presented": (
        "images.with their splits",
        *_WHICH_IMAGES,
        *(f"data.{name}" for name in _PRESENTATION),
    ),
    "weights": ("trial.weights", "trial.backbone"),
}
"""Fields that are hashes of content, with what else differs where that is another."""
_ABSENT = object()


def _shown(value: Any) -> str:
    """A value as a study file has it, without the quotes of a program."""
    if value is _ABSENT:
        return "not set"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return (
        {True: "true", False: "false", None: "null"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def _fields(study: StudyRecord) -> dict[str, Any]:
    data = study.data
    # further aims decide no number but of a sampler that hears of them
    metric = (study.metric, *study.aims) if study.aims and study.method == "bayes" else study.metric
    content = {
        "study": {"method": study.method, "metric": metric, "direction": study.direction, "seeds": study.seeds}
        | ({"folds": study.folds} if study.folds else {})
        | {"space": study.space},
        "trial": study.base,
        "weights": study.base_weights,
        "data": dict(data.options) | {"classes": data.classes},
        "images": {
            "count": data.num_images,
            "of test": data.test_name,
            "with their splits": data.images_name,
            "as presented": data.presentation_name,
        }
        | ({"under other conditions": data.shifted} if data.shifted else {}),
        "pretrain": {
            name: {"trial": stage.trial, "seed": stage.seed, "data": stage.data}
            for name, stage in study.pretrain.items()
        },
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
