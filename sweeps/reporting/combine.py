"""Several studies as one, to compare their trials."""

from collections.abc import Sequence
from dataclasses import replace

from resnet_tl.errors import ConfigError, shown
from sweeps.definition.differences import differences
from sweeps.reporting.results import Origin, Results, Trial
from sweeps.statistics.planned import OnImages


class _Joined:
    """What each image got in the trials of several studies."""

    def __init__(self, several: Sequence[Results]) -> None:
        self._several = [
            ({(trial.fingerprint, seeds) for trial in results.trials for seeds in _seeds(trial)}, results.images)
            for results in several
        ]

    def on_images(self, trial: Trial, column: str) -> OnImages | None:
        """What each image brings to a score; None where that is not known."""
        for known, images in self._several:
            if images is not None and (trial.fingerprint, trial.seeds) in known:
                return images.on_images(trial, column)
        return None

    def order(self) -> str | None:
        """Names the images in their order."""
        return next((images.order() for _, images in self._several if images is not None), None)


def _seeds(trial: Trial) -> list[tuple[int, ...]]:
    return [trial.seeds, *([trial.fresh.seeds] if trial.fresh else [])]


def _images(several: Sequence[Results]) -> _Joined | None:
    """Only where all studies have the same images in the same order, so that trials are paired image by image."""
    orders = {None if results.images is None else results.images.order() for results in several}
    return None if len(orders) > 1 or None in orders else _Joined(several)


def combine(several: Sequence[Results]) -> Results:
    """All trials of several studies, with the study as one more parameter; a trial that two of them share once.

    Raises:
        ConfigError: they are not scored on the same test images, or not about the same metric, so that their scores
            mean different things.
    """
    names = [results.study for results in several]
    problems = []
    if len(set(names)) < len(names):
        problems.append(f"Studies to compare must be different, but got {', '.join(names)}.")
    unknown = [results.study for results in several if results.about is None]
    if unknown:
        problems.append(f"What data {', '.join(unknown)} is about must be known, but NAME.about.json is not there.")
    records = [results.about for results in several if results.about]
    first = records[0] if records else None
    for other in records[1:]:
        if first is not None and other.data.test_name != first.data.test_name:
            fields = differences(first, other, called=(f"in {first.name}", f"in {other.name}"))
            about_data = [line for line in fields if line.startswith(("data.", "images."))]
            problems.append(
                f"Studies to compare must be scored on the same test images, but those of {first.name} and "
                f"{other.name} differ, so that their scores say nothing of which configuration is better. What differs "
                "in the data:\n" + shown(about_data)
            )
    for name in dict.fromkeys(name for record in records for name in record.data.shifted):
        those = [record for record in records if name in record.data.shifted]
        if len({record.data.shifted[name] for record in those}) > 1:
            problems.append(
                f"Sets under other conditions must be the same images where they have one name, but those called "
                f"{name} differ between {' and '.join(record.name for record in those)}."
            )
    metrics = {results.study: results.metric for results in several}
    if len(set(metrics.values())) > 1:
        told = ", ".join(f"{study} by {metric}" for study, metric in metrics.items())
        problems.append(f"Studies to compare must select by the same metric, but: {told}.")
    folds = {results.study: results.folds for results in several}
    if len(set(folds.values())) > 1:
        told = ", ".join(f"{study} with {number or 'none'}" for study, number in folds.items())
        problems.append(f"Studies to compare must have as many folds, or they learn from fewer images, but: {told}.")
    if problems:
        raise ConfigError(*problems)
    trials: list[Trial] = []
    where: dict[str, int] = {}
    for results in several:
        for trial in results.trials:
            same = where.get(trial.fingerprint or "")
            if same is not None and trial.seeds == trials[same].seeds:
                both = {"study": f"{trials[same].values['study']}, {results.study}"}
                fresh = trials[same].fresh or trial.fresh
                if fresh is not None:
                    fresh = replace(fresh, number=same, values=fresh.values | both)
                trials[same] = replace(trials[same], values=trials[same].values | both, fresh=fresh)
                continue
            if trial.fingerprint:
                where[trial.fingerprint] = len(trials)
            number, named = len(trials), {"study": results.study} | trial.values
            fresh = replace(trial.fresh, number=number, values=named) if trial.fresh else None
            trials.append(replace(trial, number=number, values=named, fresh=fresh))
    origin = Origin(
        dates=tuple(sorted({date for results in several for date in results.origin.dates})),
        commits=tuple(sorted({commit for results in several for commit in results.origin.commits})),
    )
    return replace(
        several[0],
        study="+".join(names),
        trials=tuple(trials),
        columns=tuple(dict.fromkeys(column for results in several for column in results.columns)),
        seeds=None,
        aims=several[0].aims if len({results.aims for results in several}) == 1 else (),
        tables=(),
        figures=(),
        hypotheses=(),
        about=None,
        origin=origin,
        details=None,
        images=_images(several),
    )
