"""The trackers: how each one is opened, and given numbers. A training of a run is a run there, so that their curves lie over one another."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from py_worker.side import RefusedError, library

EXTRA = "trackers"


class Tracker(Protocol):
    """One that is open. ``log`` takes numbers of a step, ``flush`` sends them, ``where`` says where people look, ``finish`` ends it."""

    def log(self, training: str, step: int, metrics: dict[str, float]) -> None: ...
    def flush(self) -> None: ...
    def where(self) -> str: ...
    def finish(self) -> None: ...


Handles = dict[str, str]
"""What a tracker calls the run of a training; a later start finds them here."""


def settings_of(directory: Path) -> dict[str, Any]:
    """Return the configuration of the run."""
    yaml = library("yaml", EXTRA)
    return yaml.safe_load((directory / "config.resolved.yaml").read_text()) or {}


def project() -> str:
    """Return the name under which runs are gathered, where nothing else says one."""
    return "tms"


class TensorBoard:
    """Event files; ``TENSORBOARD_LOGGING_DIR``, else below the run."""

    def __init__(self, directory: Path, name: str, handles: Handles) -> None:
        writer = library("tensorboard.summary.writer.event_file_writer", EXTRA)
        self.events = library("tensorboard.compat.proto.event_pb2", EXTRA)
        self.summaries = library("tensorboard.compat.proto.summary_pb2", EXTRA)
        elsewhere = os.environ.get("TENSORBOARD_LOGGING_DIR")
        self.root = Path(elsewhere) / name if elsewhere else directory / "tensorboard"
        self.open = writer.EventFileWriter
        self.writers: dict[str, Any] = {}
        del handles  # a folder has many files, read as one

    def log(self, training: str, step: int, metrics: dict[str, float]) -> None:
        writer = self.writers.get(training)
        if writer is None:
            writer = self.writers[training] = self.open(str(self.root / training))
        values = [self.summaries.Summary.Value(tag=key, simple_value=value) for key, value in metrics.items()]
        summary = self.summaries.Summary(value=values)
        writer.add_event(self.events.Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        for writer in self.writers.values():
            writer.flush()

    def where(self) -> str:
        return f"tensorboard --logdir {self.root}"

    def finish(self) -> None:
        for writer in self.writers.values():
            writer.close()


class WeightsAndBiases:
    """``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_MODE`` and the others hold."""

    def __init__(self, directory: Path, name: str, handles: Handles) -> None:
        self.wandb = library("wandb", EXTRA)
        self.folder, self.name, self.handles = directory / "trackers", name, handles
        self.config = settings_of(directory)
        self.runs: dict[str, Any] = {}

    def log(self, training: str, step: int, metrics: dict[str, float]) -> None:
        run = self.runs.get(training) or self._open(training)
        run.log(metrics | {"train/global_step": step})

    def _open(self, training: str) -> Any:
        handle = self.handles.setdefault(training, uuid.uuid4().hex[:12])
        self.folder.mkdir(exist_ok=True)
        try:
            run = self.wandb.init(
                project=os.environ.get("WANDB_PROJECT", project()),
                group=self.name,
                name=f"{self.name}/{training}",
                id=handle,
                resume="allow",
                reinit="create_new",
                dir=str(self.folder),
                config=self.config | {"training": training},
                settings=self.wandb.Settings(
                    x_disable_stats=True, console="off"
                ),  # of this process: none of the run's
            )
        except self.wandb.errors.UsageError as error:
            raise RefusedError(
                str(error), "wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline"
            ) from error
        # Measures of a checkpoint come later than steps behind it: the step is an axis, not the order of lines.
        run.define_metric("train/global_step")
        run.define_metric("*", step_metric="train/global_step")
        self.runs[training] = run
        return run

    def flush(self) -> None:
        """Nothing: its own process has each line at once."""

    def where(self) -> str:
        urls = [run.url for run in self.runs.values() if run.url]
        return f"wandb {urls[0] if urls else f'offline, in {self.folder}/wandb (wandb sync sends it)'}"

    def finish(self) -> None:
        for run in self.runs.values():
            run.finish()


class MLflow:
    """``MLFLOW_TRACKING_URI``, else ``./mlruns``; ``MLFLOW_EXPERIMENT_NAME``, else tms."""

    MOST_METRICS = 1_000  # of one request

    def __init__(self, directory: Path, name: str, handles: Handles) -> None:
        os.environ.setdefault(
            "MLFLOW_ALLOW_FILE_STORE", "true"
        )  # a folder is what people without a server have
        self.entities = library("mlflow.entities", EXTRA)
        tracking = library("mlflow.tracking", EXTRA)
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()
        self.client = tracking.MlflowClient(tracking_uri=self.uri)
        self.name, self.handles, self.config = name, handles, flat(settings_of(directory))
        self.waiting: dict[str, list[Any]] = {}

    def log(self, training: str, step: int, metrics: dict[str, float]) -> None:
        run = self.handles.get(training) or self._open(training)
        now = int(time.time() * 1000)
        points = [self.entities.Metric(key, value, now, step) for key, value in metrics.items()]
        self.waiting.setdefault(run, []).extend(points)

    def _open(self, training: str) -> str:
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", project())
        found = self.client.get_experiment_by_name(wanted)
        experiment = self.client.create_experiment(wanted) if found is None else found.experiment_id
        run = self.client.create_run(experiment, run_name=f"{self.name}/{training}", tags={"run": self.name})
        identity = run.info.run_id
        params = [self.entities.Param(key, text[:6000]) for key, text in self.config.items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(identity, params=params[start : start + 100])
        self.handles[training] = identity
        return identity

    def flush(self) -> None:
        for run, points in self.waiting.items():
            for start in range(0, len(points), self.MOST_METRICS):
                self.client.log_batch(run, metrics=points[start : start + self.MOST_METRICS])
        self.waiting.clear()

    def where(self) -> str:
        return f"mlflow {self.uri}"

    def finish(self) -> None:
        for run in self.handles.values():
            self.client.set_terminated(run)


class Trackio:
    """``TRACKIO_PROJECT``, else tms; ``TRACKIO_SPACE_ID`` and ``TRACKIO_DIR`` hold."""

    def __init__(self, directory: Path, name: str, handles: Handles) -> None:
        self.trackio = library("trackio", EXTRA)
        self.name, self.config = name, flat(settings_of(directory))
        self.project = os.environ.get("TRACKIO_PROJECT", project())
        self.runs: dict[str, Any] = {}
        del handles  # a run is known by its name

    def log(self, training: str, step: int, metrics: dict[str, float]) -> None:
        run = self.runs.get(training)
        if run is None:
            run = self.runs[training] = self.trackio.init(
                project=self.project,
                name=f"{self.name}/{training}",
                group=self.name,
                config=self.config,
                resume="allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
                space_id=os.environ.get("TRACKIO_SPACE_ID"),
            )
        run.log(metrics, step=step)

    def flush(self) -> None:
        """Nothing: its own thread writes."""

    def where(self) -> str:
        return f'trackio show --project "{self.project}"'

    def finish(self) -> None:
        for run in self.runs.values():
            run.finish()


def flat(block: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a configuration with keys such as ``tms.alpha`` and texts for values."""
    found: dict[str, str] = {}
    for key, value in block.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


openers: dict[str, Callable[[Path, str, Handles], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "trackio": Trackio,
}
