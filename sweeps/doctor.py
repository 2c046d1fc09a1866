"""python -m sweeps.doctor: finds what does not fit together, and mends it.

    python -m sweeps.doctor [repair=true] [run.out=FOLDER] [run.cache=FOLDER] [run.storage=URI]

Looked at are the databases, each study of the ledger (networks that are gone or unknown, what killed starts left,
MLflow), and the cache, all of which is read and compared with its hashes. Studies that are running are left out.

repair=true    mends what can be mended; no result is ever removed

Exit status 1 where something is left to be mended.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.command import command, entry, require
from resnet_tl.data.cache import default_cache
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.option_text import expand, parse_words
from sweeps.definition.config import parse_storage

if TYPE_CHECKING:
    from sweeps.engine.examination import Finding
    from sweeps.storage.database import Database

PATHS = ("run.out", "run.cache", "run.storage")


@command()
def main(words: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    from sweeps.storage.database import database_of

    values = parse_words(words, literal=PATHS)
    require(values, (*PATHS, "repair"), ())
    repair = values.get("repair", False)
    if not isinstance(repair, bool):
        raise ConfigError(f"`repair` must be true or false, but got {repair!r}.")
    out = expand(values.get("run.out", "."), "run.out").absolute()
    cache = expand(values["run.cache"], "run.cache").absolute() if "run.cache" in values else default_cache()
    database = database_of(out, parse_storage(values.get("run.storage")))
    left = found = 0
    for finding in _findings(database, out, cache, mends=repair):
        found += 1
        mended = ""
        if finding.mend is not None and repair:
            try:
                finding.mend()
                mended = "mended: "
            except (UserError, OSError) as error:
                mended = f"could not be mended ({error}): "
        left += mended != "mended: "
        can = "repair=true " if finding.mend is not None and not repair else ""
        print(f"{finding.where}: {finding.what}\n    {mended}{can}{finding.remedy}")
    print("All is well." if not found else f"{found} found, {found - left} mended.")
    return 1 if left else 0


def _findings(database: "Database", out: Path, cache: Path, *, mends: bool) -> Iterator["Finding"]:
    from sweeps.engine.examination import examine_cache, examine_databases, examine_study
    from sweeps.tracking.mlflow_database import Place

    place = Place(out=out, cache=cache, given=None)
    damaged = list(examine_databases(out, place))
    yield from damaged
    if damaged:
        return  # all else is read from them
    if database.exists():
        ledger = database.read()
        try:
            studies = ledger.studies()
        finally:
            ledger.close()
        for study in studies:
            try:
                with database.lock(study.name):
                    yield from examine_study(study, out=out, database=database, place=place, mends=mends)
            except ConfigError as error:
                print(f"{study.name}: left out, since {error}")
    else:
        print(f"{database.shown} holds no ledger; the cache alone is looked at.")
    yield from examine_cache(cache)


if __name__ == "__main__":
    entry(main)
