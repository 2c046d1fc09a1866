"""`variance`: where the chance in a score comes from."""

import math
from collections.abc import Sequence

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.variance import Options
from sweeps.reporting.cells import label, score
from sweeps.reporting.chart import title_of
from sweeps.reporting.inline import Inline
from sweeps.reporting.results import Results, Trial, ranking
from sweeps.reporting.samples import advice, chance, knows_images, sample
from sweeps.reporting.table import Table
from sweeps.statistics.images import Components, components_of


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """Of the best trial's score, and of its difference to the second, the share that each source of chance has."""
    metric = results.headline
    ranked = [trial for trial in ranking(results) if trial.mean(metric) is not None]
    if not ranked or len(ranked[0].seeds) < 2 or not knows_images(results, metric):
        raise ConfigError(
            "The table variance needs a complete trial of two seeds or more, of which it is known what each image got."
        )
    tables = [results.on_images(trial, metric) for trial in ranked[:2]]
    best = tables[0]
    assert best is not None
    found = [components_of(best.values_SN, best.clusters_N)]
    header: list[Inline] = ["Source of chance", f"Standard error of {label(metric).lower()}", "Share of its variance"]
    seeds = "seeds, each with its own cut" if results.folds else "seeds"
    names = [seeds, "test images" if metric.startswith("test/") else "images", "seeds with images"]
    second = tables[1] if len(tables) > 1 else None
    if second is not None:
        found.append(components_of(best.values_SN.astype(float) - second.values_SN, best.clusters_N))
        header += ["Standard error of the lead", "Share of the lead's variance"]
    rows = []
    for name, parts in zip(names, zip(*(_parts(each) for each in found), strict=True), strict=True):
        rows.append(
            (name, *(cell for part, each in zip(parts, found, strict=True) for cell in _cells(metric, part, each)))
        )
    rows.append(("in all", *(cell for each in found for cell in _cells(metric, each.total, each))))
    of_lead: Inline = (
        (", and of its lead over the second, ", title_of(results, ranked[1])) if second is not None else ""
    )
    told: list[Inline] = [
        ("Of the best, ", title_of(results, ranked[0]), of_lead, "."),
        chance(results, ranked[:1], metric, what="Standard errors"),
        "Seeds with images: what a seed does to single images, beyond how good it and they are. Shares are estimates, "
        "0 where one would be below; an interval of few seeds is longer than ± 2 standard errors.",
        *advice(sample(results, ranked[0], metric)),
    ]
    return [Table(title=None, header=tuple(header), rows=tuple(rows), notes=tuple(told))]


def _parts(components: Components) -> tuple[float, float, float]:
    return components.seeds, components.images, components.together


def _cells(metric: str, variance: float, components: Components) -> tuple[str, str]:
    share = f"{variance / components.total:.0%}" if components.total else "/"
    return score(metric, math.sqrt(variance)), share
