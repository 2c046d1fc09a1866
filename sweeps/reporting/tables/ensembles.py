"""`ensembles`: networks of the study put together, beside the best single one.

Axes: S seeds, N images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from resnet_tl.metrics import metric_of
from sweeps.definition.outputs.tables.ensembles import Options
from sweeps.records import count
from sweeps.reporting import ensembles
from sweeps.reporting.cells import MISSING, gap_interval, interval, label, p_value, rounded, score, unit
from sweeps.reporting.ensembles import Ensemble, Impossible, Library
from sweeps.reporting.inline import Inline
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import chance, sample
from sweeps.reporting.table import Column, Table, assemble, mean_column, notes
from sweeps.statistics.ensembles import of_images
from sweeps.statistics.images import interval_of_one
from sweeps.statistics.planned import Paired, Sample, describe, paired
from sweeps.statistics.stats import LEVEL, holm, summarise

GREEDY = frozenset({"greedy", "greedy_soup"})
"""Methods that pick members one by one."""
MOST_NAMED = 12
"""Members that the notes name."""


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """A row for each method, the best trial's single networks above them."""
    library = Library(results)
    methods = ensembles.METHODS if options.method == "all" else (options.method,)
    found = [ensembles.make(library, method, options.members) for method in methods]
    return [table_of(results, library, found)]


def table_of(results: Results, library: Library, found: Sequence[Ensemble | Impossible]) -> Table:
    """The table of ensembles that have been made."""
    val, test = results.metric, results.on_test
    made = [one for one in found if isinstance(one, Ensemble)]
    single = _single(results, library)
    tests = {one.method: paired(_as_sample(library, one, single), single) for one in made}
    adjusted = _adjusted(tests)
    rows = [_first(results, library, single)]
    keys: list[tuple[float | None, float | None]] = [
        (rounded(val, library.best.mean(val) or 0.0), rounded(test, float(np.mean(single.values_S))))
    ]
    for one in found:
        if isinstance(one, Impossible):
            rows.append((one.method, *([MISSING] * 7)))
            keys.append((None, None))
            continue
        scores = ensembles.metrics_of(library, one)
        p = adjusted[one.method]
        rows.append(
            (
                one.method,
                _members(one),
                one.weights,
                score(val, scores[val]),
                score(test, scores[test]),
                _interval(library, one, single, test),
                gap_interval(test, tests[one.method]),
                MISSING if p is None else p_value(p),
            )
        )
        keys.append((rounded(val, scores[val]), rounded(test, scores[test])))
    header = (
        "Method",
        "Members",
        "Weights",
        label(val),
        label(test),
        f"{label(test)} 95% CI",
        f"{label(test)} against one network (95% CI)",
        "p",
    )
    better = metric_of(test).better
    columns = [Column(header=name, cells=[row[place] for row in rows]) for place, name in enumerate(header)]
    for place, own in ((3, 0), (4, 1)):
        columns[place] = replace(columns[place], keys=[key[own] for key in keys], better=better)
    return assemble(columns, "Ensembles", _notes(results, library, found, tests, adjusted))


def _first(results: Results, library: Library, single: Sample) -> tuple[Inline, ...]:
    best = library.best
    told = describe(single)
    val, test = (mean_column([best], column, spread=True).cells[0] for column in (results.metric, results.on_test))
    seeds = count(len(best.seeds), "seed")
    return (
        "one network",
        f"1 (trial {best.number}, mean of {seeds})",
        "",
        val,
        test,
        interval(results.on_test, told),
        "",
        "",
    )


def _single(results: Results, library: Library) -> Sample:
    """The best trial's networks on test, each by itself, from the predictions that ensembles are made from."""
    best, test = library.best, results.on_test
    p_SNK = library.probabilities(library.candidates("best"), "test")
    values_SN = np.stack([of_images(library.metric, p_NK, library.labels("test")) for p_NK in p_SNK])
    known = sample(results, best, test).on_images
    return Sample(
        values_S=tuple(float(own_N.mean()) for own_N in values_SN),
        on_images=None if known is None else replace(known, values_SN=values_SN),
    )


def _as_sample(library: Library, one: Ensemble, single: Sample) -> Sample:
    """An ensemble beside networks of several seeds: for each of these it is the same."""
    values_N = of_images(library.metric, one.probabilities["test"], library.labels("test"))
    S = len(single.values_S)
    known = single.on_images
    return Sample(
        values_S=(float(values_N.mean()),) * S,
        on_images=None if known is None else replace(known, values_SN=np.tile(values_N, (S, 1))),
    )


def _interval(library: Library, one: Ensemble, single: Sample, test: str) -> str:
    known = single.on_images
    if known is None:
        return MISSING
    values_N = of_images(library.metric, one.probabilities["test"], library.labels("test"))
    low, high = interval_of_one(values_N, known.clusters_N, bounds=known.bounds, effective=known.effective)
    return interval(test, replace(summarise([float(values_N.mean())]), n=2, low=low, high=high))


def _adjusted(tests: dict[str, Paired]) -> dict[str, float | None]:
    """P-values for all methods together; None where there is no test."""
    known = [name for name, told in tests.items() if told.p is not None]
    corrected = dict(zip(known, holm([tests[name].p or 0.0 for name in known]), strict=True))
    return {name: corrected.get(name) for name in tests}


def _members(one: Ensemble) -> str:
    if one.own is not None:
        return f"{len(one.members)} of its own"
    numbers = sorted({member.trial.number for member in one.members})
    of = f" of {one.num_candidates}" if one.num_candidates != len(one.members) else ""
    trials = f"trial {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} trials"
    return f"{len(one.members)}{of} ({trials})"


def _notes(
    results: Results,
    library: Library,
    found: Sequence[Ensemble | Impossible],
    tests: Mapping[str, Paired],
    adjusted: Mapping[str, float | None],
) -> list[Inline]:
    made = [one for one in found if isinstance(one, Ensemble)]
    told: list[Inline] = [*_verdict(results.on_test, tests, adjusted)]
    told += [f"No {one.method}: {one.why}." for one in found if isinstance(one, Impossible)]
    told.append(
        f"One network is one of trial {library.best.number}, the best by mean {results.metric}. Members, weights and "
        f"models are chosen on val; test is scored once, by what was chosen. {_of_val(made)}".rstrip()
    )
    if made:
        told.append(_chance(results, library, adjusted))
    told += [_named(one) for one in made if one.method in GREEDY]
    told += [
        f"{one.method.capitalize()}: {one.how}" + (f" It ended early: {one.ended}." if one.ended else "")
        for one in made
        if one.own is not None
    ]
    whole = {trial.number for trial in library.trials}
    told += notes(results, [trial for trial in results.trials if trial.number not in whole])
    return told


def _chance(results: Results, library: Library, adjusted: Mapping[str, float | None]) -> str:
    """What intervals and tests claim."""
    test = results.on_test
    best = [library.best]
    if len(library.best.seeds) == 1:
        return chance(results, best, test)
    together = " for all methods together (Holm)" if sum(p is not None for p in adjusted.values()) > 1 else ""
    said = chance(results, best, test, what="That of one network, and the differences of these ensembles from it,")
    return (
        f"The interval of an ensemble is for fresh images, with these very networks. {said} Differences are paired by "
        f"seed and image{unit(test)}; p at {LEVEL:g}{together}."
    )


def _of_val(made: Sequence[Ensemble]) -> str:
    methods = {one.method for one in made}
    said = []
    if methods & GREEDY:
        said.append("what was selected greedily is scored on val by the images that selected it, which is too good")
    if "stacking" in methods:
        said.append("stacking is scored on val by nested cross-validation")
    return "; ".join(said).capitalize() + "." if said else ""


def _verdict(test: str, tests: Mapping[str, Paired], adjusted: Mapping[str, float | None]) -> list[str]:
    """Which ensembles are better than one network, and which are not."""
    upwards = 1 if metric_of(test).better == "max" else -1
    sides: dict[str, list[str]] = {"better than": [], "worse than": [], "no better than": []}
    untested = []
    for name, told in tests.items():
        p = adjusted[name]
        if p is None:
            untested.append(name)
        elif p <= LEVEL:
            sides["better than" if upwards * told.mean > 0 else "worse than"].append(name)
        else:
            sides["no better than"].append(name)
    said = [
        f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {side} one network of the best trial"
        + (", as far as these images tell" if side == "no better than" else f" in {label(test).lower()}")
        for side, names in sides.items()
        if names
    ]
    if untested:
        said.append(f"whether {_listed(untested)} {'is' if len(untested) == 1 else 'are'} better cannot be tested")
    text = "; ".join(said)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _named(one: Ensemble) -> str:
    weights = getattr(one.rule, "weights_M", ())
    named = [
        f"trial {member.trial.number} seed {member.seed} ({weight:.0%})"
        for member, weight in zip(one.members[:MOST_NAMED], weights, strict=False)
    ]
    rest = len(one.members) - len(named)
    return f"Selected by {one.method}: {', '.join(named)}{f' and {rest} more' if rest else ''}."
