"""What people write to tie Optuna and MLflow together, call by call; prints seconds for one seed run of one epoch."""

import json
import os
import statistics
import tempfile
import time

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
METRICS = ("loss", "accuracy", "precision", "recall", "f1", "auroc")


def main() -> None:
    """Records 50 runs."""
    import mlflow
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("glue")
        study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", direction="maximize")
        spent = []
        for _ in range(50):
            started = time.perf_counter()
            trial = study.ask()
            rate = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
            with mlflow.start_run():
                mlflow.log_params({"lr": rate} | {f"option{n}": n for n in range(25)})
                for name in METRICS:
                    mlflow.log_metric(f"val/{name}", rate, step=1)
                for name in ("train/loss", "train/accuracy", "lr"):
                    mlflow.log_metric(name, rate, step=1)
                mlflow.log_metrics({f"{s}_{n}": rate for s in ("train", "val", "test") for n in METRICS})
                mlflow.log_dict({"test": [[1, 0], [0, 1]]}, "confusion.json")
            study.tell(trial, rate)
            spent.append(time.perf_counter() - started)
    print(json.dumps(statistics.median(spent[5:])))


if __name__ == "__main__":
    main()
