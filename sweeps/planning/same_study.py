"""Whether a study is still the one that the ledger holds under its name."""

from resnet_tl.errors import ConfigError, shown
from sweeps.definition.differences import differences
from sweeps.records import NAMING, StudyRecord

_OF_SETS = (
    "Sets of `data.shifted` are scored with the networks that are trained beside them. To score stored networks, "
    "one at a time: python -m resnet_tl.evaluate checkpoint=… data.source=… data.root=FOLDER split=all"
)


def require_same(stored: StudyRecord, now: StudyRecord, reason: str | None) -> None:
    """Refuses a definition that would alter numbers which the ledger holds under this name.

    Names, prose, tables and the number of trials may change, seeds and values may be added; so may the further aims of
    a study whose sampler hears of no result.

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
    if now.method == "bayes" and stored.metric == now.metric and stored.aims != now.aims:
        before, after = (f"[{', '.join((study.metric, *study.aims))}]" for study in (stored, now))
        reasons.append(f"`study.metric` was {before}, but is {after} now; bayes proposes trials by all of its aims.")
    if stored.folds != now.folds:
        reasons.append(f"`study.folds` was {stored.folds or 'none'}, but is {now.folds or 'none'} now.")
    gone = [seed for seed in stored.seeds if seed not in now.seeds]
    if gone:
        every = ",".join(map(str, [*stored.seeds, *(seed for seed in now.seeds if seed not in stored.seeds)]))
        reasons.append(
            f"`study.seeds` lacks {gone}, which the ledger's means include; seeds can only be added. Give "
            f"study.seeds=[{every}], or write them into the study's file."
        )
    if not reasons:
        return
    fields = differences(stored, now, called=("in the ledger", "now"))
    raise ConfigError(
        f"The study {now.name} is in the ledger with another definition, and its numbers must not be mixed.",
        *reasons,
        *([f"These fields differ:\n{shown(fields)}"] if fields else []),
        *([_OF_SETS] if dict(stored.data.shifted) != dict(now.data.shifted) else []),
        f"Bring the old definition back, or run this one under a new name:  study.name={now.name}_2",
    )
