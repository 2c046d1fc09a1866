"""python -m sweeps.ui: MLflow's browser UI on what studies have left there, and the address that shows a study.

    python -m sweeps.ui [study=NAME] [run.out=FOLDER] [port=5000] [open=true] [run.tracking_uri=URI]

study=NAME     one study alone; otherwise every one that is there gets a line
run.out        the folder that studies were run in (default: the current one)
port           where it answers, on this machine alone (127.0.0.1; nobody is asked for a login)
open=true      open the address in the browser, too
run.tracking_uri   where studies are tracked, if it is not mlruns/mlflow.db; of a server the addresses are printed only

Its trials are listed by rank, with mean, standard deviation and n of what the study aims at, and the parameters that it
searches. Ctrl-C ends it. Optuna's own dashboard reads studies.db as it is:

    pip install optuna-dashboard && optuna-dashboard sqlite:///studies.db
"""

import os
import signal
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from resnet_tl.address import parse
from resnet_tl.command import command, entry, flags, require
from resnet_tl.data.cache import default_cache
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, nearest, parse_words
from sweeps.tracking.credentials import hand_over
from sweeps.tracking.mlflow_views import run_link, trials_link, view_tags

if TYPE_CHECKING:
    from sweeps.tracking.mlflow_database import Place
    from sweeps.tracking.mlflow_server import Shown

LITERAL = ("study", "run.out", "run.tracking_uri")
PORT = 5000


@command()
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    from sweeps.tracking.mlflow_database import Place
    from sweeps.tracking.mlflow_server import HOST, serving

    values = parse_words(words, literal=LITERAL)
    require(values, (*LITERAL, "port", "open"), ())
    flags(values, ("open",))
    port = values.get("port", PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ConfigError(f"`port` must be a number from 1 to 65535, but got {port!r}.")
    given = parse(values["run.tracking_uri"], "run.tracking_uri") if "run.tracking_uri" in values else None
    hand_over(given)
    out = expand(values.get("run.out", "."), "run.out").resolve()
    place = Place(out=out, cache=default_cache(), given=given)
    if place.is_server:
        if "port" in values:
            raise ConfigError(f"`port` does not go with a server, but got {place.shown}; it has its own.")
        _show(values, place.uri, out, is_ours=False)
        return 0
    _end_in_order()
    for name in ("no_proxy", "NO_PROXY"):  # a proxy knows nothing of this machine's own address
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    try:
        _register(place, out, values.get("study"))
        with serving(place, port) as server:
            server.wait_ready()
            _show(values, server.base, out, is_ours=True)
            print("Ctrl-C ends it.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print()
    return 0


def _register(place: "Place", out: Path, study: str | None) -> None:
    """Makes the best networks of studies models of MLflow: here, since for a study that runs it would take too long."""
    from sweeps.reporting.reading import from_ledger
    from sweeps.reporting.verdict import leads_on_fresh_seeds
    from sweeps.storage.database import database_of
    from sweeps.tracking.mlflow_models import register

    for network in sorted((out / "mlruns" / "best").glob("*")):
        if study not in (None, network.name) or not (network / "origin.txt").exists():
            continue
        fingerprint, seed = (network / "origin.txt").read_text().split()
        is_confirmed = None
        if (database := database_of(out)).exists():
            ledger = database.read()
            try:
                if network.name in [record.name for record in ledger.studies()]:
                    is_confirmed = leads_on_fresh_seeds(from_ledger(ledger, network.name, out)) == fingerprint
            finally:
                ledger.close()
        why = register(place, network.name, network, fingerprint=fingerprint, seed=int(seed), is_confirmed=is_confirmed)
        if why:
            print(f"The best network of {network.name} is no model of MLflow: {why}.")


def _end_in_order() -> None:
    """SIGTERM and the end of the terminal end it as Ctrl-C does, so that the server does not outlive it."""

    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), end)


def _show(values: dict[str, Any], base: str, out: Path, *, is_ours: bool) -> None:
    """Prints where studies are seen, and opens the first of them."""
    from sweeps.tracking.mlflow_server import find_studies

    studies = find_studies(base)
    if "study" in values:
        names = [study.name for study in studies]
        if values["study"] not in names:
            hint = nearest(values["study"], names) if names else "it has none."
            raise ConfigError(f"`study=` must name a study that MLflow has, but got {values['study']}; {hint}")
        studies = [study for study in studies if study.name == values["study"]]
    links = []
    for study in studies:
        has_view = study.has_view or (is_ours and _give_view(base, study, out))
        links.append(trials_link(base, study.experiment, has_view=has_view))
        print(f"{study.name}\n  trials  {links[-1]}")
        if study.report:
            print(f"  report  {run_link(base, study.experiment, study.report)}")
    if not studies:
        print(f"MLflow answers at {base}, but has no study.")
    if values.get("open"):
        webbrowser.open(links[0] if links else base)


def _give_view(base: str, study: "Shown", out: Path) -> bool:
    """Adds our views to an experiment of an earlier version, if the ledger knows its study."""
    from sweeps.storage.database import database_of
    from sweeps.tracking.mlflow_server import add_views

    database = database_of(out)
    if not database.exists():
        return False
    ledger = database.read()
    try:
        found = next((record for record in ledger.studies() if record.name == study.name), None)
    finally:
        ledger.close()
    if found is not None:
        add_views(base, study, view_tags(found))
    return found is not None


if __name__ == "__main__":
    entry(main)
