"""python -m sweeps.init: looks at a folder of images, says what it found, and writes a study that runs as it is.

    python -m sweeps.init my_images
    python -m sweeps.init my_images out=my_study.yaml minutes=30
    python -m sweeps.init my_images run=true

my_images         a folder with one folder for each class, or with splits (train, val, test) that hold these; or
                  one with x_train.npy and y_train.npy
out=study.yaml    the file to write; one that exists is left alone
replace=true      writes a file that exists anew
minutes=3         the time that size, epochs and seeds are chosen for
run=true          runs the study at once, then looks for wrong labels; says before how long that takes
weights=NAME      imagenet, rotations (a stage learns from your own images, without labels), none, or a file; without it
                  ImageNet's where they can be had, else rotations, which is said
backbone=NAME     resnet18, or on a GPU resnet50, unless given
data.x=VALUE      an option of the images, data.labels=labels.csv or data.skip_bad=true, say; it goes into the file
run.out=FOLDER    as for sweeps.run, and so are run.cache, run.workers and run.device
"""

import contextlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resnet_tl.architecture import BACKBONES
from resnet_tl.command import command, entry, flags
from resnet_tl.config import LITERAL_OPTIONS
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, nearest, parse_words

if TYPE_CHECKING:
    from sweeps.proposal.propose import Proposed, Request

OWN = ("out", "run", "minutes", "weights", "backbone", "replace")
RUN = ("run.out", "run.cache", "run.workers", "run.device")
INTERRUPTED = 130
"""Exit status."""


@command(needs_words=True)
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    began_s = time.monotonic()
    request, values = _request(words)
    from sweeps.proposal.propose import propose, require_free, told, write

    require_free(request.out, replace_it=bool(values.get("replace", False)))
    print(f"Looking at {request.root}, and timing some training steps …", flush=True)
    proposed = propose(request)
    write(proposed.proposal, request)
    print("\n".join(told(proposed)))
    budget = proposed.proposal.budget
    print(f"Wrote       {request.out}  (a comment at each value says why)")
    if not budget.fits:
        print(
            f"warning: {request.minutes:g} minutes are not enough here for 3 seeds, {budget.epochs} epochs and "
            f"{budget.size} pixels; it takes about {budget.seconds / 60:.1f}"
        )
    shown = shlex.join([f"study={request.out}", *request.run_words])
    if not values.get("run", False):
        print(f"Look        python -m sweeps.run {shown} run.dry_run=true")
        print(f"Run         python -m sweeps.run {shown}      (about {budget.seconds / 60:.1f} minutes)")
        return 0
    return _run(proposed, request, words, began_s)


def _run(proposed: "Proposed", request: "Request", words: Sequence[str], began_s: float) -> int:
    """Runs the study within the time, looks for wrong labels and copies, and writes the report of the first look."""
    from rich.console import Console

    from sweeps.proposal import rounds
    from sweeps.proposal.first_look import finish
    from sweeps.proposal.labels import NotChecked, check_labels
    from sweeps.proposal.propose import write

    budget = proposed.proposal.budget
    ends_s = time.monotonic() + budget.seconds
    print(f"\nThis takes about {_minutes(budget.seconds)} from now on.\n", flush=True)
    command = shlex.join(["python", "-m", "sweeps.init", *words])
    console = Console(soft_wrap=True)
    study = [f"study={request.out}", *request.run_words]
    interrupted = f"\nWhat is done is kept; the study goes on with  python -m sweeps.run {shlex.join(study)}"
    try:
        seed_s = rounds.run_first_seed(proposed, request, command=command, console=console)
    except KeyboardInterrupt:
        print(interrupted)
        raise
    num_seeds = rounds.seeds_that_fit(
        budget, seed_s=seed_s, left_s=ends_s - time.monotonic(), load_s=proposed.speed.load_s
    )
    if num_seeds != budget.num_seeds:
        print(
            f"One seed takes {seed_s:.0f} s by now, so there will be {num_seeds} seeds in place of {budget.num_seeds}."
        )
        write(replace(proposed.proposal, budget=budget.with_seeds(num_seeds)), request)
    over_s = time.monotonic() + (num_seeds - 1) * seed_s + budget.end_s - ends_s
    if over_s > rounds.LATE * budget.seconds:
        print(f"The machine is slower than it was: it will take about {_minutes(budget.seconds + over_s)} in all.")
    print(f"\nRunning     python -m sweeps.run {shlex.join(study)}", flush=True)
    status = _ended([sys.executable, "-m", "sweeps.run", *study])
    if status == INTERRUPTED:
        print(interrupted)
    if status not in (0, 1):
        return status
    print("\nLooking for labels that may be wrong …", flush=True)
    try:
        doubts = check_labels(proposed, request, command=command, console=Console(quiet=True))
    except KeyboardInterrupt:  # the rest of the first look takes seconds, and rests on all that was waited for
        status, doubts = INTERRUPTED, NotChecked(why="it was interrupted")
    written = finish(proposed, request, doubts, study_words=study)
    print("\n".join(written))
    took_s = time.monotonic() - ends_s + budget.seconds
    print(f"Took        {_minutes(took_s)}; announced were {_minutes(budget.seconds)}")
    return status


def _ended(command: Sequence[str]) -> int:
    """Runs a command in a process of its own until that has ended in order; returns its exit status.

    Ctrl-C comes to it from the terminal as well, and it must not be killed at what it does then. SIGTERM comes to this
    process alone and is passed on.
    """
    child = subprocess.Popen(command)
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def _minutes(seconds: float) -> str:
    """As a person says it."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def _request(words: Sequence[str]) -> "tuple[Request, dict[str, Any]]":
    """Reads the command line.

    Raises:
        ConfigError: all that is wrong with it, at once.
    """
    from sweeps.proposal.propose import Request

    folders = [
        word
        for word in words
        if "=" not in word or not (word.startswith("data.") or word.partition("=")[0] in (*OWN, *RUN))
    ]
    named = [word for word in folders if "=" in word and not expand(word, "the folder").exists()]
    problems = [
        f"`{key}` is not an option; {nearest(key, (*OWN, *RUN, 'data.labels'))}"
        for key in (word.partition("=")[0] for word in named)
    ]
    roots = [word for word in folders if word not in named]
    if len(roots) != 1:
        problems.append(f"One folder of images must be given, but got {', '.join(roots) if roots else 'none'}.")
    values = parse_words(
        [word for word in words if word not in folders], literal=(*LITERAL_OPTIONS, "out", "weights", *RUN)
    )
    for name in ("data.root", "data.source", "data.size", "data.url"):
        if name in values:
            problems.append(f"`{name}` is chosen here, from the folder that is given; leave it out.")
    if any(key == "data.synthetic" or key.startswith("data.synthetic.") for key in values):
        problems.append(
            "`data.synthetic` is nothing for a first look; leave it out, and add it to the file for a later study."
        )
    minutes = values.get("minutes", 3)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0.5 <= minutes <= 10_000:
        problems.append(f"`minutes` must be a number from 0.5 to 10000, but got {minutes}.")
    backbone = values.get("backbone")
    if backbone is not None and backbone not in BACKBONES:
        problems.append(f"`backbone` must be one of {', '.join(BACKBONES)}, but got {backbone}.")
    if problems:
        raise ConfigError(*problems)
    flags(values, ("run", "replace"))
    return Request(
        root=roots[0],
        out=expand(values.get("out", "study.yaml"), "out"),
        data={key.removeprefix("data."): value for key, value in values.items() if key.startswith("data.")},
        run_words=[word for word in words if word.partition("=")[0] in RUN],
        minutes=float(minutes),
        weights=values.get("weights"),
        backbone=backbone,
    ), values


if __name__ == "__main__":
    entry(main)
