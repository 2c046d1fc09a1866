"""The images of a study as MLflow shows inputs of runs: a data set with a name, a digest and its numbers."""

import json
from typing import Any

from sweeps.records import DataRecord

SOURCE_TYPE = "images"
"""MLflow's own types are places that it could load from; where our images lie is no business of a tracker."""


def dataset_input(data: DataRecord) -> Any:
    """An input for `MlflowClient.log_inputs`: named by the source, with the hash of all images and their splits."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.source,
        digest=data.images_name[:36],  # MLflow takes no longer ones
        source_type=SOURCE_TYPE,
        source=json.dumps({"source": data.source, **data.options}, default=str),
        profile=json.dumps({"classes": len(data.classes), **{f"{s} images": n for s, n in data.num_images.items()}}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
