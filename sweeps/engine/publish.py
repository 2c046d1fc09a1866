"""Puts the report and pictures of a study on MLflow, beside its trials."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sweeps.engine import tracker


def publish(out: Path, tracking_uri: str | None, study: str, files: Sequence[Path]) -> str | None:
    """Stores files on the run `report` of the study's experiment; one run, whose files are replaced.

    Returns:
        None, or why it was not done: no result depends on it.
    """
    if tracking_uri is None and not (out / "mlruns" / "mlflow.db").exists():
        return f"there is no {out / 'mlruns' / 'mlflow.db'}"
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri or tracker.default_uri(out))
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            return f"MLflow has no experiment {study}"
        found = client.search_runs([experiment.experiment_id], "tags.kind = 'report'", max_results=1)
        if found:
            run_id = found[0].info.run_id
        else:
            run_id = client.create_run(experiment.experiment_id, run_name="report", tags={"kind": "report"}).info.run_id
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id)
    except (MlflowException, OSError) as error:
        return str(error).splitlines()[0]
    return None
