"""MLflow logging alone, to SQLite: a nested run for each step, with what went in and what came out. Runs no steps."""
# MLflow is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import mlflow

from bench.peers.chain import Chain, time_chains


def run(asked: Chain) -> int:
    mlflow.set_tracking_uri(f"sqlite:///{asked.folder / 'mlflow.db'}")
    value = 0
    with mlflow.start_run(run_name=f"chain_{asked.number}"):
        for i in range(asked.count):
            with mlflow.start_run(run_name=f"step_{i}", nested=True):
                mlflow.log_param("value", value)
                value += 1
                mlflow.log_metric("output", value)
    return value


if __name__ == "__main__":
    time_chains(run)
