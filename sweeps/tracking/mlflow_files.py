"""Files that MLflow keeps beside its runs: links to our own store, the report of a study, networks of others."""

import logging
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_tl.files import sha256_of
from resnet_tl.identity import digest
from sweeps.tracking.credentials import one_line
from sweeps.tracking.mlflow_database import REPORT_NAME, Place
from sweeps.tracking.mlflow_views import REPORT

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow's UI shows as a description."""

MOST_CHARACTERS = 5000
"""Of a tag: MLflow takes 8,000 bytes, and cuts longer ones without a word."""


def local_path(uri: str) -> Path | None:
    """Where artifacts are, if that is a folder of this machine."""
    parsed = urllib.parse.urlparse(uri)
    if parsed.scheme not in ("file", ""):
        return None
    return Path(urllib.request.url2pathname(parsed.path))


def report_name(files: Sequence[Path], answer: str) -> str:
    """Names the content of a report with its pictures."""
    return digest([answer, *(path.name for path in files), *(sha256_of(path) for path in files)])


def publish(place: Place, study: str, files: Sequence[Path], answer: str) -> str | None:
    """Stores the report of a study on its own run, of which there is one and whose files are replaced.

    Args:
        files: the report, and its pictures.
        answer: what the study found, as markdown; the description of the run.

    Returns:
        None, or why it was not done: no result depends on it.
    """
    if place.is_ours and not place.path.exists():
        return f"there is no {place.path}"
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    try:
        place.relocate()
        client = MlflowClient(place.uri)
        run = own_run(client, study)
        client.set_tag(run.info.run_id, DESCRIPTION, answer[:MOST_CHARACTERS])
        for path in files:
            client.log_artifact(run.info.run_id, str(path))
        client.set_tag(run.info.run_id, REPORT_NAME, report_name(files, answer))  # last: all of it is there
        client.set_terminated(run.info.run_id)
    except Exception as error:  # whatever MLflow and its databases raise, the study is done
        return one_line(error)
    return None


def own_run(client: Any, study: str) -> Any:
    """The run of a study itself, which is nobody's parent; made where there is none.

    Raises:
        LookupError: MLflow has no such experiment.
    """
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        raise LookupError(f"MLflow has no experiment {study}")
    found = client.search_runs([experiment.experiment_id], f"tags.kind = '{REPORT}'", max_results=1)
    if found:
        return found[0]
    return client.create_run(experiment.experiment_id, run_name=study, tags={"kind": REPORT, "study": study})


def fetch_checkpoint(place: Place, uri: str, destination: Path) -> None:
    """Copies the checkpoint of a run, `runs:/ID`, into a folder of this machine; all of it or nothing.

    Raises:
        OSError: there is no such run, or it has no checkpoint.
    """
    if place.is_ours and not place.path.exists():
        raise OSError(f"there is no {place.path}")
    place.relocate()
    from mlflow.tracking import MlflowClient

    run_id = uri.removeprefix("runs:/").split("/")[0]
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as making:
        try:
            fetched = MlflowClient(place.uri).download_artifacts(run_id, "checkpoint", making)
        except Exception as error:  # MLflow's own, and those of the database or the server beneath
            raise OSError(one_line(error)) from None
        shutil.rmtree(destination, ignore_errors=True)
        Path(fetched).rename(destination)
