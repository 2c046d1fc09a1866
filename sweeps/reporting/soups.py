"""Soups of a finished study: networks averaged in their parameters, chosen on val.

Axes: N images, K classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.data.prepare import Prepared
from resnet_tl.files import write_text
from resnet_tl.inference.ensemble import Average
from resnet_tl.metrics import METRICS, Floats
from sweeps.reporting.ensembles import Ensemble, Impossible, Library, Member, Members
from sweeps.statistics.ensembles import NotPossible, score, scores_M

if TYPE_CHECKING:
    from torch import Tensor

    from resnet_tl.inference.soup import Soups

SOUPS: Mapping[str, Members] = {"soup": "best", "greedy_soup": "all"}
"""The methods, with the members that they have to choose from unless they are told."""


def make_soup(library: Library, method: str, members: Members | None, data: Prepared) -> Ensemble | Impossible:
    """A uniform or a greedy soup, or why there is none.

    Raises:
        CheckpointError: a network is damaged, or its starting weights cannot be had.
    """
    try:
        candidates = library.candidates(SOUPS[method] if members is None else members)
        alike, folders = _alike(library, candidates)
        from resnet_tl.inference.soup import Soups

        soups = Soups(folders, data)
        places = tuple(range(len(alike))) if method == "soup" else _greedy(library, alike, soups)
    except NotPossible as error:
        return Impossible(method=method, why=str(error))
    state = soups.state(places)
    return _made(library, method, [alike[place] for place in places], len(candidates), soups, state)


def _alike(library: Library, candidates: tuple[Member, ...]) -> tuple[list[Member], list[Path]]:
    """Those that can be averaged with the best of them on val, which comes first, and their checkpoints.

    Raises:
        NotPossible: there are no two of them.
    """
    from resnet_tl.inference.soup import difference, is_convex
    from resnet_tl.model.checkpoint import read_card

    folders = [library.network(member) for member in candidates]
    if any(folder is None for folder in folders):
        many = sum(folder is None for folder in folders)
        raise NotPossible(
            f"the networks of {many} of {len(candidates)} seed runs are not kept; run.keep=all keeps them"
        )
    values_M = scores_M(library.metric, library.probabilities(candidates, "val"), library.labels("val"))
    upwards = 1 if METRICS[library.metric].better == "max" else -1
    order = sorted(range(len(candidates)), key=lambda place: -upwards * values_M[place])
    cards = {place: read_card(folder) for place, folder in enumerate(folders) if folder is not None}
    first = cards[order[0]]
    if first.trial["weights"] == "none":
        raise NotPossible("each seed drew starting weights of its own (trial.weights: none)")
    hidden = not is_convex(first)
    found = [
        place
        for place in order
        if difference(first, cards[place]) is None and not (hidden and cards[place].seed != first.seed)
    ]
    if len(found) < 2:
        why = (
            "hidden units of heads that different seeds drew do not correspond, so networks of one seed are needed, "
            f"and no other one of seed {first.seed} has this head and these starting weights"
            if hidden
            else "no other network has the same architecture and starting weights as the best one"
        )
        raise NotPossible(f"{why}; members=all has all trials to choose from")
    return [candidates[place] for place in found], [folder for place in found if (folder := folders[place]) is not None]


def _greedy(library: Library, alike: list[Member], soups: "Soups") -> tuple[int, ...]:
    """Adds one network after the other, the best on val first, and keeps those that do not make the soup worse there.

    Source: Wortsman et al. 2022, recipe 1.
    """
    upwards = 1 if METRICS[library.metric].better == "max" else -1

    def value(places: tuple[int, ...]) -> float:
        val_NK: Floats = soups.probabilities(soups.state(places), "val")
        return upwards * score(library.metric, val_NK, library.labels("val"))

    places: tuple[int, ...] = (0,)
    reached = value(places)
    for place in range(1, len(alike)):
        found = value((*places, place))
        if found >= reached:
            places, reached = (*places, place), found
    return places


def _made(
    library: Library,
    method: str,
    members: list[Member],
    num_candidates: int,
    soups: "Soups",
    state: "dict[str, Tensor]",
) -> Ensemble:
    probabilities = {split: soups.probabilities(state, split) for split in ("val", "test")}
    chosen = (
        "all that can be averaged with the best of them"
        if method == "soup"
        else f"added one by one, the best on val first, where val/{library.metric} did not fall"
    )
    how = (
        f"One network whose parameters are the mean of {len(members)} networks of study {library.study}, {chosen} "
        "(Wortsman et al. 2022); BatchNorm statistics that trained are measured anew on train."
    )

    def store(folder: Path) -> None:
        metrics = {
            f"{split}/{library.metric}": score(library.metric, p_NK, library.labels(split))
            for split, p_NK in probabilities.items()
        }
        soups.save(state, folder, metrics)
        named = "".join(f"trial {member.trial.number} seed {member.seed}\n" for member in members)
        write_text(folder / "origin.txt", f"{how}\n{named}")

    M = len(members)
    return Ensemble(
        method=method,
        members=tuple(members),
        num_candidates=num_candidates,
        rule=Average(weights_M=(1 / M,) * M),
        probabilities=probabilities,
        how=how,
        weights=f"1/{M} each, in one network",
        store=store,
    )
