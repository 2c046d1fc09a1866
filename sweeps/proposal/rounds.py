"""Holds the time that was announced: one seed runs first, and what it took says how many still fit."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from resnet_tl.option_text import expand
from sweeps.definition.compose import compose
from sweeps.engine.driver import drive
from sweeps.proposal import budget as budgets
from sweeps.proposal.budget import Budget, Work
from sweeps.proposal.proposal import Proposal
from sweeps.proposal.propose import NEXT, Proposed, Request
from sweeps.proposal.study_file import FRESH_SEEDS, FRESH_TRIALS
from sweeps.records import RunState
from sweeps.reporting.results import Trial
from sweeps.storage.database import database_of

LATE = 0.25
"""Share of the announced time by which a first look may be late: for a third seed it is, and for more it says so."""
FEWEST_SEEDS = 2
"""That a first look is run with, whatever it takes: one seed shows no spread."""
AGAIN_LOADS = 3.0
"""To start the study again for the other seeds, in times of loading libraries."""
MOST_SEEDS = 10
"""Where the first one was quicker than it was reckoned."""
MOST_PACE = 3.0
NEXT_TIMES = 20
"""How many times the time of the first study the one behind it gets."""


def run_first_seed(proposed: Proposed, request: Request, *, command: str, console: Console) -> float:
    """Runs all trials with seed 0, and what comes before them; returns the seconds that a further seed would take.

    Raises:
        UserError: it cannot be run; whatever else ended it.
    """
    definition = compose([f"study={request.out}", "study.seeds=[0]", *request.run_words])
    outcome = drive(definition, command=command, console=console)
    if outcome.ended_by is not None:
        raise outcome.ended_by
    ledger = database_of(expand(definition.run.out, "run.out"), None).read()
    try:
        runs = [run for run in ledger.seed_runs(definition.study.name) if run.state != RunState.FAILED]
    finally:
        ledger.close()
    budget, work, load_s = proposed.proposal.budget, proposed.work, proposed.speed.load_s
    # a heads' group and what a fit does beside its epochs are in the plan alone
    fits_s = budgets.fits_s(work, load_s) / work.workers
    return max(fits_s, sum(run.wall_s for run in runs) / work.workers + fits_s) if runs else budget.seed_s


def seeds_that_fit(budget: Budget, *, seed_s: float, left_s: float, load_s: float) -> int:
    """How many seeds the study gets in all, the first included.

    Args:
        seed_s: what a further one takes.
        left_s: of the time that was announced.
    """
    begun_s = budget.seconds - left_s - seed_s
    # what is still to be started and ended is as much quicker or slower than it was reckoned as the start was
    pace = min(MOST_PACE, max(1 / MOST_PACE, begun_s / budget.begin_s))
    spare_s = left_s - pace * (budget.end_s + AGAIN_LOADS * load_s)
    fitting, late = (1 + int(max(0.0, seconds) / seed_s) for seconds in (spare_s, spare_s + LATE * budget.seconds))
    return max(FEWEST_SEEDS, min(budgets.SEEDS[0], late), min(MOST_SEEDS, fitting))


def next_proposal(proposed: Proposed, best: Trial) -> Proposal:
    """The study to go on with: around the best recipe, with more time."""
    first, work = proposed.proposal, proposed.work
    is_plain = best.values.get("weights") == "none"
    freeze = "none" if is_plain else str(best.values.get("freeze", "none"))
    num_trials = 6
    num_tail = {"none": 0, "all": 0}.get(freeze, num_trials)
    longer = Work(
        num_train=work.num_train,
        num_val=work.num_val,
        num_all=work.num_all,
        workers=work.workers,
        num_whole=num_trials if freeze == "none" else 0,
        num_tail=num_tail,
        stores_features=freeze != "none",
        has_stage=work.has_stage and not is_plain,
        checks_labels=False,
        num_fresh=FRESH_TRIALS * FRESH_SEEDS,
    )
    minutes = NEXT_TIMES * first.minutes
    budget = budgets.choose(
        longer,
        proposed.speed,
        most_s=60 * minutes,
        batch_size=first.batch_size,
        sides=first.survey.short_sides,
    )
    return replace(first, name=f"{first.name}{NEXT}", best=best.values, budget=budget, minutes=minutes)


def next_file(out: Path) -> Path:
    """Where the study to go on with is written: beside the first, in place of no other file."""
    names = (f"{out.stem}_next{number}{out.suffix}" for number in ("", *range(2, 1000)))
    return next(path for path in map(out.with_name, names) if not path.exists())
