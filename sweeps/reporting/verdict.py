"""The answer of a study in words, never stronger than the tests of the tables below it."""

from collections.abc import Sequence

from sweeps.records import count
from sweeps.reporting.cells import gap, gap_interval, interval, label, p_value, score, unit, what_would_show
from sweeps.reporting.chart import title_of
from sweeps.reporting.inline import Inline, bold
from sweeps.reporting.results import Results, Trial, ranking, sign
from sweeps.reporting.samples import advice, knows_images, sample, summary
from sweeps.reporting.standings import Other, Standings, standings

MOST_NAMED = 5
"""Trials that are named; of more their number is told."""


def verdict(results: Results) -> list[Inline]:
    """Sentences, each a line; none where there is no complete trial."""
    ranked = ranking(results)
    if not ranked:
        return []
    best, metric = ranked[0], results.headline
    lines: list[Inline] = [_best(results, best, metric)]
    if best.mean(metric) is not None:
        lines += _commonest(results, best, metric)
    lines += _cut_short(best)
    found = standings(results, results.trials, metric) if best.mean(metric) is not None else None
    if found is not None and found.best is best:
        lines += _others(results, found)
        lines += _first(results, found)
    if best.mean(metric) is not None:
        lines += advice(sample(results, best, metric))
    compared = set(map(id, ranked))
    left_out = [trial for trial in results.trials if id(trial) not in compared]
    ahead = [trial for trial in left_out if results.sort_key(trial) < results.sort_key(best)]
    if ahead:  # complete, with other seeds than most
        lines[0] = (f"Of the {count(len(ranked), 'trial')} with the same {count(len(best.seeds), 'seed')}: ", lines[0])
        highest = min(ahead, key=results.sort_key)
        lines.append(
            f"Not compared, since it has {count(len(highest.seeds), 'seed')}, but with a better mean {results.metric}: "
            f"{title_of(results, highest)}."
        )
    if left_out:
        states = ", ".join(dict.fromkeys(t.state if t.state != "complete" else "other seeds" for t in left_out))
        lines.append(f"Without a comparison: {count(len(left_out), 'trial')} ({states}).")
    return lines


def leads_on_fresh_seeds(results: Results) -> str | None:
    """The trial with the best mean on the fresh seeds of a confirmation, by fingerprint; None where there is none, or
    where some are still to come."""
    confirm = results.about.confirm if results.about else None
    fresh = [trial.fresh for trial in results.trials if trial.fresh]
    if (
        confirm is None
        or any(len(trial.seeds) < len(confirm.seeds) for trial in fresh)
        or len(fresh) < min(confirm.top, sum(trial.state == "complete" for trial in results.trials))
    ):
        return None
    again = [(results.sort_key(trial.fresh), trial.fingerprint) for trial in results.trials if trial.fresh]
    (has_none, *_), leader = min(again, default=((True,), None))
    return None if has_none else leader


def _best(results: Results, trial: Trial, metric: str) -> Inline:
    if trial.mean(metric) is None:
        metric = results.metric
    told = summary(results, trial, metric)
    where = metric.partition("/")[0]
    only = len(results.trials) == 1
    text: list[Inline] = ["The only trial" if only else ("Best by ", results.metric)]
    text += [": ", bold(title_of(results, trial))]
    text.append(f", {label(metric).lower()} {score(metric, told.mean)}")
    if told.low is None or told.high is None:
        text.append(" (one seed, so nothing is known of chance)." if told.n == 1 else ".")
        return tuple(text)
    ends = interval(metric, told).replace("–", " to ")
    table = results.on_images(trial, metric) if knows_images(results, metric) else None
    if table is None:
        text.append(f" (95% interval {ends} with other seeds, on these {where} images).")
    else:
        text.append(
            f" (95% interval {ends} on new images, from {count(told.n, 'seed')} and {table.values_SN.shape[1]:,} "
            f"{where} images{'; a little too good, since they chose it' if results.folds else ''})."
        )
    return tuple(text)


def _commonest(results: Results, trial: Trial, metric: str) -> list[Inline]:
    """Where the best is not shown to be better than a rule without any network."""
    split, _, name = metric.partition("/")
    counts = results.about.data.counts.get(split) if results.about else None
    if name != "accuracy" or not counts:
        return []
    label, most = max(counts.items(), key=lambda item: item[1])
    share = most / sum(counts.values())
    told = summary(results, trial, metric)
    if (told.low if told.low is not None else told.mean) > share:
        return []
    return [
        f"That is not shown to be better than naming the commonest class, {label}, every time: {score(metric, share)}."
    ]


def _cut_short(trial: Trial) -> list[Inline]:
    """Where training ended while it was still getting better."""
    ends = list(zip(trial.columns.get("best_epoch", ()), trial.columns.get("max_epoch", ()), strict=True))
    at_end = sum(best == most for best, most in ends if most is not None and most > 1)
    if 2 * at_end <= len(ends):
        return []
    return [
        f"In {at_end} of its {count(len(ends), 'seed run')} the last epoch was the best: more epochs may do better."
    ]


def _others(results: Results, found: Standings) -> list[Inline]:
    alike = [other for other in found.others if other.standing != "worse"]
    worse = [other for other in found.others if other.standing == "worse"]
    lines: list[Inline] = []
    if alike and found.others[0].standing == "too few seeds":
        lines.append(
            f"{count(len(alike), 'other')} cannot be told from it with so few seeds, whatever they scored."
            if len(alike) > 1
            else "The other one cannot be told from it with so few seeds, whatever it scored."
        )
    elif alike:
        cheap = sorted(alike, key=lambda other: (other.trial.mean("wall_s") is None, other.trial.mean("wall_s") or 0.0))
        timed = all(other.trial.mean("wall_s") is not None for other in cheap)
        named = "; ".join(title_of(results, other.trial) for other in cheap[:MOST_NAMED])
        more = f"; and {len(cheap) - MOST_NAMED} more" if len(cheap) > MOST_NAMED else ""
        order = ", cheapest first" if timed and len(cheap) > 1 else ""
        lines.append(f"Not distinguishable from it: {count(len(alike), 'other')}{order}: {named}{more}.")
    else:
        lines.append("All others that can be compared are worse.")
    if worse and alike:
        lines.append(f"Worse than it: {count(len(worse), 'other')}.")
    second = found.others[0]
    leads = sign(found.metric) * second.difference.mean > 0
    if second.standing == "not distinguishable" and leads:
        lines.append(
            f"The second, {title_of(results, second.trial)}, scored better on {found.metric.partition('/')[0]} "
            f"({gap(found.metric, second.difference.mean)}); the best was chosen by {results.metric}."
        )
    elif second.difference.mean == 0:
        lines.append(f"The first two have the same {label(found.metric).lower()}.")
    elif second.standing == "not distinguishable":
        enough = what_would_show(second.difference.needed(1), found.metric)
        lines.append(
            f"A comparison of the first two alone, were their difference as large as it looks, would take {enough} (a "
            "rough estimate)."
            if enough
            else "The first two are so close that neither more seeds alone nor more images alone would separate them."
        )
    return lines


def _first(results: Results, found: Standings) -> list[Inline]:
    """Whether the search was worth it: its first trial is often what one would have taken without."""
    first = results.trials[0]
    other: Sequence[Other] = [other for other in found.others if other.trial is first]
    if len(found.others) < 2 or not other:
        return []
    told = other[0]
    if told.difference.n == 1:
        return []
    name = title_of(results, first)
    size = f"{gap_interval(found.metric, told.difference)}{unit(found.metric)}"
    if told.standing == "worse":
        return [f"The first trial ({name}) is worse than the best: {size}."]
    return [
        f"The first trial ({name}) is not shown to be worse than the best: {size} (p {p_value(told.p)}, which allows "
        "for the best having been picked, as the interval does not)."
    ]
