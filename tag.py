import json, time, os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
from mlflow.tracking import MlflowClient

c = MlflowClient("http://127.0.0.1:5055")
c.set_experiment_tag("1", "mlflow.experimentKind", "custom_model_development")
state = {
    "searchFilter": "tags.kind = 'trial'",
    "orderByKey": "metrics.`val/accuracy`",
    "orderByAsc": False,
    "selectedColumns": [
        "metrics.`val/accuracy`",
        "metrics.`val/accuracy_sd`",
        "metrics.`n`",
        "params.`weights`",
        "params.`freeze`",
        "params.`lr`",
    ],
    "columnWidths": {},
    "runListHidden": False,
}
now = int(time.time() * 1000)
c.set_experiment_tag(
    "1",
    "mlflow.sharedViewState.trials",
    json.dumps({"name": "Trials by rank", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}),
)
for r in c.search_runs(["1"])[:3]:
    print(r.info.run_name, dict(r.data.metrics), r.data.tags)
