"""Which tables, pictures and answers of a study could show nothing even if all of it were done.

So that this is known before anything is trained, they are made once of the trials that the study lists, with scores
drawn at random, and thrown away.
"""

import random
from itertools import islice

from resnet_tl.errors import ConfigError
from sweeps.definition.aims import SIZES
from sweeps.definition.config import Definition
from sweeps.definition.hypotheses import canonical
from sweeps.definition.outputs.registry import FIGURES, Spec
from sweeps.reporting import figures
from sweeps.reporting.answers import answers
from sweeps.reporting.results import SCORES, Results, Trial, scores_on
from sweeps.reporting.tables import make
from sweeps.statistics.planned import LEAST_PAIRS

MOST_TRIALS = 300
"""More are not rehearsed: what fails with few trials or values does not fail there, and a start must stay quick."""
ELSEWHERE = frozenset(
    [
        "ablation",
        "checklist",
        "classes",
        "confirmed",
        "confusion",
        "curves",
        "hypotheses",
        "imagenet",
        "pretrain",
        "reliability",
        "variance",
    ]
)
"""Kinds that need more than trials with scores, or torchvision, which takes seconds to load."""


def undrawable(definition: Definition) -> list[str]:
    """One sentence for each table, picture or answer that the study asks for and no result could give.

    Trials that a sampler proposes are not known beforehand, so nothing is said of those studies.
    """
    study = definition.study
    asked: list[tuple[str, Spec]] = [("table", spec) for spec in study.tables if spec.kind not in ELSEWHERE]
    if {spec.kind for spec in study.figures} != set(FIGURES.kinds):  # of `all` those that there can be are meant
        asked += [("picture", spec) for spec in study.figures if spec.kind not in ELSEWHERE]
    compared = [item for item in study.hypotheses if item.parameter is not None]
    points = list(islice(definition.points(), MOST_TRIALS + 1)) if study.is_listed and (asked or compared) else []
    if not points or len(points) > MOST_TRIALS:
        return []
    draws = random.Random(0)
    beside = scores_on(definition.data.shifted or ())
    trials = tuple(
        Trial(
            number=number,
            values={n: canonical(value) for n, value in definition.trial(params).model_dump(mode="json").items()},
            seeds=study.seeds,
            states=("complete",) * len(study.seeds),
            columns={
                name: tuple(draws.random() for _ in study.seeds)
                for name in (*SCORES, *beside, "best_epoch", "max_epoch", "wall_s")
            },
            sizes=dict.fromkeys(SIZES, 1),
        )
        for number, params in enumerate(points)
    )
    results = Results(
        study=study.name, trials=trials, metric=study.metric, aims=study.aims, columns=beside, seeds=study.seeds
    )
    found = []
    for noun, spec in asked:
        try:
            if noun == "table":
                make(results, spec)
            else:
                figures.draw(results, spec)
        except ConfigError as error:
            found.append(f"the report will have no {noun} {spec.kind}, whatever comes out: {error}")
    for item in answers(results, compared, study.space):
        if item.note and len(study.seeds) < LEAST_PAIRS:
            found.append(
                f"a hypothesis about {item.hypothesis.parameter} will have no answer, whatever comes out: {item.note}, "
                f"but the study has {len(study.seeds)}."
            )
        elif item.note and item.note.startswith("no trial has"):
            found.append(
                f"a hypothesis about {item.hypothesis.parameter} will have no answer, whatever comes out: {item.note}. "
                "Let the space hold all values that it compares, or replace study.hypotheses."
            )
        elif item.note and not item.num_trials:
            found.append(
                f"a hypothesis about {item.hypothesis.parameter} will have no answer, whatever comes out: {item.note}, "
                f"since another parameter changes with it. Let the space try the values of "
                f"{item.hypothesis.parameter} with all else the same."
            )
    if study.pruner and compared:
        found.append(
            "a hypothesis that needs a trial which the pruner (study.pruner) stops will stay undecided, since not all "
            "of it is there; without a pruner all of them can be answered."
        )
    return found
