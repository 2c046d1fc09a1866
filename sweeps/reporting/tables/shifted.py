"""`shifted`: what the networks of each trial are worth under other conditions."""

from collections.abc import Sequence

from resnet_tl.errors import ConfigError
from resnet_tl.metrics import metric_of
from sweeps.definition.outputs.tables.shifted import Options
from sweeps.records import count
from sweeps.reporting.cells import MISSING, gap, label, score, unit
from sweeps.reporting.inline import Inline
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import knows_images
from sweeps.reporting.table import Column, Table, assemble, interval_column, mean_column, notes, parameters
from sweeps.statistics.images import between_sets
from sweeps.statistics.planned import OnImages


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each trial, by its rank on val: test, and for each set its score and the difference to test."""
    if not results.shifted:
        raise ConfigError(
            "The table shifted needs sets of images under other conditions: data.shifted={night: FOLDER}, say."
        )
    if not results.has(results.on_test) and any(trial.states for trial in results.trials):
        raise ConfigError(f"The table shifted needs {results.on_test}, with which the other sets are compared.")
    trials = sorted(trials, key=results.sort_key)
    test, metric = results.on_test, results.metric.partition("/")[2]
    columns = parameters(results, trials, without=(options.by,))
    columns.append(Column(header="n", cells=[str(len(trial.states)) for trial in trials]))
    columns.append(mean_column(trials, test, spread=True))
    whole = [trial for trial in trials if trial.state == "complete"]
    scored = [name for name in results.shifted if all(t.mean(f"{name}/{metric}") is not None for t in whole)]
    if not scored:
        raise ConfigError(
            f"The table shifted needs {metric_of(test).short} on {' or '.join(results.shifted)} for every trial, which "
            "is not there: on images of one class there is no AUROC, say."
        )
    for name in scored:
        own = f"{name}/{metric}"
        columns += [
            mean_column(trials, own, spread=True),
            interval_column(results, trials, own),
            Column(
                header=f"{label(own)} less that on test (95% CI)",
                cells=[_change(results, trial, own, test) for trial in trials],
            ),
        ]
    return [assemble(columns, None, [*_told(results, whole, scored, metric), *notes(results, trials)])]


def _change(results: Results, trial: Trial, own: str, test: str) -> str:
    """The difference of a trial's scores on two sets, with its interval where it has one."""
    here, there = trial.mean(own), trial.mean(test)
    if trial.state != "complete" or here is None or there is None:
        return MISSING
    tables = _tables(results, trial, own, test)
    if tables is None:
        return f"{gap(own, here - there)} [{MISSING}]"
    shifted, plain = tables
    parts = between_sets(
        shifted.values_SN,
        plain.values_SN,
        (shifted.clusters_N, plain.clusters_N),
        bounds=shifted.bounds,
        effective=(shifted.effective, plain.effective),
    )
    half = parts.half()
    return f"{gap(own, here - there)} [{gap(own, here - there - half)}, {gap(own, here - there + half)}]"


def _tables(results: Results, trial: Trial, own: str, test: str) -> tuple[OnImages, OnImages] | None:
    """What each image of both sets got; None where that is not known, or of one seed."""
    if len(trial.seeds) < 2 or not (knows_images(results, own) and knows_images(results, test)):
        return None
    shifted, plain = results.on_images(trial, own), results.on_images(trial, test)
    return None if shifted is None or plain is None else (shifted, plain)


def _commonest(results: Results, scored: Sequence[str], metric: str) -> list[Inline]:
    """What a network gets that says the same of every image, which is what one does that conditions have blinded."""
    counts = {} if results.about is None else results.about.data.counts
    known = {name: max(counts[name].items(), key=lambda item: item[1]) for name in scored if name in counts}
    if metric != "accuracy" or not known:
        return []
    shares = [
        f"{score(f'{name}/accuracy', many / sum(counts[name].values()))} on {name} ({label_of})"
        for name, (label_of, many) in known.items()
    ]
    return [f"Naming the commonest class every time would give {', '.join(shares)}."]


def _told(results: Results, whole: Sequence[Trial], scored: Sequence[str], metric: str) -> list[Inline]:
    known = {} if results.about is None else results.about.data.num_images
    sizes = [f"{name} ({count(known[name], 'image')})" if name in known else name for name in scored]
    worse = "below 0 is a drop" if metric_of(metric).better == "max" else "above 0 is worse"
    told: list[Inline] = [
        f"The same networks on test and on {', '.join(sizes)}; nothing was chosen by these sets. Differences are "
        f"paired by seed{unit(results.on_test)}; {worse}."
    ]
    told += _commonest(results, scored, metric)
    if any(_tables(results, trial, f"{scored[0]}/{metric}", results.on_test) for trial in whole):
        told.append("Intervals are for fresh seeds and fresh images of both sets, copies and groups counted once.")
    elif whole:
        told.append("Of one seed, or where it is not known what each image got, differences have no interval.")
    return told
