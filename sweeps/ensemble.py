"""python -m sweeps.ensemble: networks of a finished study put together, from their stored predictions.

    python -m sweeps.ensemble study=NAME [method=METHOD] [members=WHICH] [out=FOLDER] [run.out=FOLDER]
                                        [run.storage=URI]

study=NAME        a study of the ledger in run.out (default: the current folder), or in run.storage, a PostgreSQL
                  database; or its file, which soups, bagging and boosting need, since they look at the images: with the
                  words that it ran with (data.root=…, trial.weights=…, run.cache=…), as the last line of its report's
                  “What was done” has them
method=METHOD     all        (default) a row for each of them
                  mean       the mean of the members' probabilities
                  greedy     networks selected one after the other, with replacement, by the study's metric on val
                             (Caruana et al. 2004)
                  stacking   a logistic model of the members' log probabilities with an L2 penalty, fitted to val; its
                             score on val is that of nested cross-validation
                  soup       one network whose parameters are the mean of the members' (Wortsman et al. 2022), of those
                             with the architecture and the starting weights of the best of them; heads with hidden units
                             must be of one seed. BatchNorm statistics that trained are measured anew on train
                  greedy_soup  the same of those that do not make it worse on val, added one by one
                  bagging    trains members of its own, as the best trial, each on training images drawn with
                             replacement: seed runs of a study NAME/bagging, which goes on where it was
                  boosting   the same one after the other, each on images that the ones before it got wrong more often
                             (SAMME: Zhu et al. 2009)
members=WHICH     best       the seeds of the best trial on val: what mean and soup take unless they are told
                  all        the seeds of all complete trials: what the others have to choose from unless they are told
                  3          the seeds of the three best trials on val; of bagging and boosting, how many they train
                             (default: 5)
out=FOLDER        with one method: writes the ensemble, with its networks, for
                      python -m resnet_tl.predict checkpoint=FOLDER images=…

Prints the ensembles beside the best trial's single networks, all chosen on val and scored once on test. The table is a
kind of its own in reports, too: `tables: [ensembles]` in a study file.
"""

import contextlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.address import without_secrets
from resnet_tl.command import command, entry, require
from resnet_tl.errors import ConfigError, UserError, shown
from resnet_tl.option_text import expand, nearest, parse_words
from sweeps.definition.config import parse_storage

if TYPE_CHECKING:
    from resnet_tl.data.prepare import Prepared
    from sweeps.definition.config import Definition
    from sweeps.records import StudyRecord, TrialRecord
    from sweeps.reporting.ensembles import Ensemble, Impossible, Library, Members
    from sweeps.reporting.results import Results

WORDS = ("study", "method", "members", "out", "run.out", "run.storage")
"""All others go on to the study's file."""


@command(needs_words=True)
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    own = [word for word in words if word.partition("=")[0] in WORDS]
    values = parse_words(own, literal=("study", "out", "run.out", "run.storage"))
    require(values, WORDS, ("study",))
    rest = [word for word in words if word not in own]
    from sweeps.definition.check import TOP_LEVEL

    slips = [key for word in rest if "." not in (key := word.partition("=")[0]) and key not in TOP_LEVEL]
    if slips:
        raise ConfigError(*(f"`{key}` is not an option; {nearest(key, WORDS)}" for key in slips))
    from sweeps.reporting.ensembles import METHODS, OWN
    from sweeps.reporting.soups import SOUPS

    method = values.get("method", "all")
    methods = (*METHODS, *SOUPS, *OWN)
    if method not in ("all", *methods):
        known = ("all", *methods)
        raise ConfigError(
            f"`method` must be one of {', '.join(known)}, but got {method}; {nearest(str(method), known)}"
        )
    members = _members(values)
    if method in OWN and isinstance(members, str):
        raise ConfigError(f"`members` must be the number of members that {method} trains, but got {members}.")
    folder = expand(values["out"], "out") if "out" in values else None
    if folder is not None:
        if method == "all":
            raise ConfigError(f"`out=` writes one ensemble, so method= must be one of {', '.join(methods)}.")
        _require_free(folder)
    definition = _definition(values, rest)
    name = values["study"] if definition is None else definition.study.name
    out = expand(values.get("run.out", "." if definition is None else str(definition.run.out)), "run.out")
    storage = parse_storage(values.get("run.storage")) if definition is None else definition.run.storage
    from sweeps.reporting.ensembles import Impossible, Library
    from sweeps.reporting.markdown import markdown
    from sweeps.reporting.reading import from_ledger
    from sweeps.reporting.tables.ensembles import table_of
    from sweeps.storage.database import database_of

    with contextlib.ExitStack() as opened:
        ledger = database_of(out, storage).read()
        opened.callback(ledger.close)
        results = from_ledger(ledger, name, out)
        asked = _Asked(
            library=Library(results),
            members=members,
            definition=definition,
            about=results.about,
            trials=tuple(ledger.trials(name)),
            command=shlex.join(["python", "-m", "sweeps.ensemble", *map(without_secrets, words)]),
            opened=opened,
        )
        found = asked.make(methods if method == "all" else (method,))
        if method != "all" and isinstance(found[0], Impossible):
            raise ConfigError(f"method={method} is not possible here: {found[0].why}.")
        sys.stdout.write(markdown([table_of(results, asked.library, found)]))
        if folder is not None:
            (one,) = found
            assert not isinstance(one, Impossible)
            _write(folder, one, results, asked.library)
    return 0


def _definition(values: dict[str, Any], rest: Sequence[str]) -> "Definition | None":
    """What the study's file says, with the words that it ran with; None where `study=` is but a name of the ledger.

    Raises:
        ConfigError: it is a name, and there are such words; or they are no options of a study.
    """
    from sweeps.definition.compose import compose, shipped

    given = values["study"]
    is_file = Path(given).suffix in (".yaml", ".yml") or given in {listed.name for listed in shipped()}
    if not is_file and rest:
        raise ConfigError(
            f"`{rest[0].partition('=')[0]}` goes with the study's file, which says how its images are read, but "
            f"`study` is {given}, a name of the ledger; give study=FILE.yaml and the words that the study ran with."
        )
    if not is_file:
        return None
    own = [f"{name}={values[name]}" for name in ("study", "run.out", "run.storage") if name in values]
    return compose([*own, *rest])


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What ensembles are made of."""

    library: "Library"
    members: "Members | None"
    definition: "Definition | None"
    about: "StudyRecord | None"
    trials: "tuple[TrialRecord, ...]"
    """Of the study."""
    command: str
    """As the user gave it."""
    opened: contextlib.ExitStack
    """Closes what has to stay open until all is written."""

    def make(self, methods: Sequence[str]) -> "list[Ensemble | Impossible]":
        """One ensemble for each method, or why there is none."""
        from sweeps.reporting.ensembles import METHODS, Impossible, make

        found: list[Ensemble | Impossible] = []
        for method in methods:
            if method in METHODS:
                found.append(make(self.library, method, self.members))
                continue
            try:
                found.append(self._with_images(method, alone=len(methods) == 1))
            except UserError as error:
                if len(methods) == 1:
                    raise
                found.append(Impossible(method=method, why=str(error).rstrip(".")))
        return found

    def _with_images(self, method: str, *, alone: bool) -> "Ensemble | Impossible":
        from sweeps.reporting.ensembles import OWN, Impossible
        from sweeps.reporting.soups import make_soup

        own, definition = method in OWN, self.definition
        if definition is None:
            what = "members of its own are trained on" if own else "soups look at"
            why = f"{what} the images, and the ledger does not know where they are; give study=FILE.yaml"
            return Impossible(method=method, why=why)
        if not definition.space.names.isdisjoint(("size", "crop")):
            what = "its members" if own else "soups are networks that"
            why = f"{what} see the images in one way, and this study searches their size or crop"
            return Impossible(method=method, why=why)
        if own:
            return self._own(method, definition, train=alone)
        print(f"{method}: averaging networks and asking them about every image, a minute or more …", file=sys.stderr)
        return make_soup(self.library, method, self.members, self._images)

    def _own(self, method: str, definition: "Definition", *, train: bool) -> "Ensemble | Impossible":
        """An ensemble of members that are trained for it, which takes time: only where it alone is asked for."""
        from rich.console import Console

        from sweeps.engine.own_members import NUM_MEMBERS, OwnMembers
        from sweeps.reporting.ensembles import Impossible, Library, of_own
        from sweeps.reporting.reading import from_ledger
        from sweeps.storage.database import database_of

        library = self.library
        (trial,) = [trial for trial in self.trials if trial.number == library.best.number]
        own = OwnMembers(definition, trial, method)
        there = own.num_trained()
        if not train and there < 2:
            why = (
                f"it trains {NUM_MEMBERS} members of its own (members= says how many), about "
                f"{library.best.mean('wall_s') or 0.0:.2g} s each; method={method} does"
            )
            return Impossible(method=method, why=why)
        count = there if not train else self.members if isinstance(self.members, int) else NUM_MEMBERS
        assert self._images  # those of the study, before anything is trained on them
        trained = own.train(count, command=self.command, console=Console(soft_wrap=True))
        out = expand(definition.run.out, "run.out").resolve()
        ledger = database_of(out, definition.run.storage).read()
        self.opened.callback(ledger.close)
        members = Library(from_ledger(ledger, trained.study, out), of_members=True)
        return of_own(library, members, method, trained.weights, trained.ended)

    @cached_property
    def _images(self) -> "Prepared":
        """The images of the study, which must be those that its predictions are of."""
        from resnet_tl.config import real_images
        from resnet_tl.data.cache import default_cache
        from resnet_tl.data.prepare import prepare

        assert self.definition is not None
        cache = self.definition.run.cache
        data = prepare(real_images(self.definition.data), expand(str(cache), "run.cache") if cache else default_cache())
        if data.fingerprint != self.library.data_fingerprint():
            raise ConfigError(
                f"The images must be those that study {self.library.study} ran on, but {self._what_differs()}; "
                "give the file and the words that it ran with."
            )
        return data

    def _what_differs(self) -> str:
        from sweeps.engine.prepared_study import data_options

        assert self.definition is not None
        then = {} if self.about is None else dict(self.about.data.options)
        now = data_options(self.definition.data)
        names = [name for name in (*then, *now) if then.get(name) != now.get(name)]
        told = [
            f"data.{name} was {then.get(name, 'not set')} and is {now.get(name, 'not set')}"
            for name in dict.fromkeys(names)
        ]
        return ", ".join(told) or "others are there now"


def _members(values: dict[str, Any]) -> "Members | None":
    given = values.get("members")
    if given is None or given in ("best", "all"):
        return given
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"`members` must be best, all or a number of trials from 1 up, but got {given}.")
    return given


def _require_free(folder: Path) -> None:
    """Only an ensemble is replaced by another one: a network may be anybody's."""
    from resnet_tl.inference.ensemble import is_ensemble

    if folder.exists() and not is_ensemble(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"`out` must be a new folder, an empty one or an ensemble to replace, but {folder} is not.")


def _write(folder: Path, one: "Ensemble", results: "Results", library: "Library") -> None:
    """Writes an ensemble with all its networks."""
    assert results.details is not None
    assert results.about is not None
    from resnet_tl.files import replacing_folder

    if one.store is not None:
        one.store(folder.absolute())
        print(f"\nThe network is in {folder}. Use it with")
        print(f"  python -m resnet_tl.predict checkpoint={folder} images=…")
        return
    ways = {tuple(member.trial.values.get(name) for name in ("size", "crop")) for member in one.members}
    if len(ways) > 1:
        raise ConfigError(
            "The networks of an ensemble that is written must read images alike, but these differ in size or crop; "
            "choose members of one way, such as members=best."
        )
    from_library = one.own or library
    places = [from_library.network(member) for member in one.members]
    missing = [
        f"trial {member.trial.number}, seed {member.seed}"
        for member, place in zip(one.members, places, strict=True)
        if place is None
    ]
    if missing:
        raise ConfigError(
            f"The networks of these members are not kept, so that the ensemble cannot be written:\n{shown(missing)}\n"
            "A study keeps them with run.keep=all; under a new name it can run again with it."
        )
    from resnet_tl.inference.ensemble import Average, EnsembleCard, MemberCard, member_folder, write_card
    from resnet_tl.inference.export import export
    from resnet_tl.model.checkpoint import read_card
    from sweeps.reporting.ensembles import metrics_of

    weights = one.rule.weights_M if isinstance(one.rule, Average) else (None,) * len(one.members)
    with replacing_folder(folder.absolute()) as making:
        cards = []
        for number, (member, place, weight) in enumerate(zip(one.members, places, weights, strict=True)):
            assert place is not None
            inside = member_folder(making, number)
            export(place, inside)
            cards.append(
                MemberCard(
                    study=from_library.study,
                    trial=member.trial.number,
                    seed=member.seed,
                    weight=weight,
                    tensors_sha256=read_card(inside).tensors_sha256,
                )
            )
        card = EnsembleCard(
            method=one.method,
            classes=results.about.data.classes,
            members=tuple(cards),
            how=one.how,
            metrics=metrics_of(library, one),
        )
        write_card(making, card, one.rule)
        size = sum(path.stat().st_size for path in making.rglob("*") if path.is_file())
    print(f"\nThe ensemble is in {folder} ({size / 1e6:.0f} MB, networks included). Use it with")
    print(f"  python -m resnet_tl.predict checkpoint={folder} images=…")


if __name__ == "__main__":
    entry(main)
