"""Trainings told to TensorBoard, MLflow and Weights & Biases, each in a folder on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scorefield._optional import package
from scorefield.training.log import Outcome

PROJECT = "scorefield"
"""What the experiment (MLflow) and the project (Weights & Biases) are called."""
_PATIENCE, _MOST = 2.0, 500  # seconds and numbers that wait to be written to MLflow's database


def _image(png: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")


class TensorBoard:
    """Event files in a folder, for `tensorboard --logdir FOLDER`.

    A training that goes on writes on into the folder, and what was written after its last checkpoint is hidden.

    Args:
        folder: of the event files; made where it is not there.

    Raises:
        ValueError: where the package is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        package("tensorboard", "--log tensorboard", "scorefield[tensorboard]")
        self.folder = Path(folder)
        self._writer: Any = None

    def begin(self, name: str, settings: Mapping[str, Any], step: int) -> None:
        """Open a file of events."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)
        self._writer.add_text("settings", f"{name}\n\n```json\n{json.dumps(dict(settings), indent=1)}\n```", step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve for each name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, step: int, png: bytes) -> None:
        """Under Images."""
        self._writer.add_image(name, np.asarray(_image(png)), step, dataformats="HWC")

    def end(self, outcome: Outcome) -> None:
        """Write what is left and close the file."""
        self._writer.close()
        self._writer = None


class MLflow:
    """A run of MLflow in a folder: `mlflow.db` (SQLite) and its artifacts; `mlflow ui --backend-store-uri`.

    A training that goes on adds to its run, found by the name.

    Args:
        folder: of the database; made where it is not there.

    Raises:
        ValueError: where the package is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        package("mlflow", "--log mlflow", "scorefield[mlflow]")
        package("sqlalchemy", "--log mlflow", "scorefield[mlflow]")  # which mlflow-skinny has not
        self.folder, self._run = Path(folder).absolute(), ""
        self._client: Any = None
        self._waiting: list[Any] = []
        self._written = 0.0

    @property
    def uri(self) -> str:
        """Of the database, for the library's own client."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def begin(self, name: str, settings: Mapping[str, Any], step: int) -> None:
        """Open the training's run, or make one."""
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = (
            found.experiment_id
            if found
            else self._client.create_experiment(PROJECT, artifact_location=(self.folder / "artifacts").as_uri())
        )
        known = self._client.search_runs([experiment], filter_string=f"tags.name = '{_tag(name)}'") if step else []
        if known:
            self._run = known[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._client.create_run(experiment, run_name=name, tags={"name": _tag(name)}).info.run_id
        self._client.log_dict(self._run, dict(settings), f"settings-{step}.json")
        if not known:
            for key, value in settings.items():
                self._client.log_param(self._run, key, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of the run, written every two seconds: each time the database commits to the disk."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        if time.monotonic() - self._written > _PATIENCE or len(self._waiting) > _MOST:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._client.log_batch(self._run, metrics=waiting)
        self._written = time.monotonic()

    def picture(self, name: str, step: int, png: bytes) -> None:
        """An artifact of the run."""
        self._client.log_image(self._run, _image(png), artifact_file=f"{name}-{step}.png")

    def end(self, outcome: Outcome) -> None:
        """Write what is left and say how it ended."""
        self._write()
        status = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}[outcome]
        self._client.set_terminated(self._run, status=status)
        self._client = None


class WeightsAndBiases:
    """An offline run of Weights & Biases in a folder; `wandb sync` sends it where you say.

    A training that goes on is another offline run with the same id, which `wandb sync --append` joins to the first.

    Args:
        folder: of the offline runs, inside its `wandb`; made where it is not there.

    Raises:
        ValueError: where the package is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        package("wandb", "--log wandb", "scorefield[wandb]")
        self.folder = Path(folder)
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Any], step: int) -> None:
        """Start an offline run."""
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=PROJECT,
            dir=str(self.folder),
            mode="offline",
            name=name,
            id=_tag(f"{self.folder.absolute()}/{name}"),
            config=dict(settings),
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One row of the run's history."""
        self._run.log(dict(values), step=step)

    def picture(self, name: str, step: int, png: bytes) -> None:
        """An image in the history."""
        import wandb

        self._run.log({name: wandb.Image(_image(png))}, step=step)

    def end(self, outcome: Outcome) -> None:
        """Close the file; the exit code is 0 for a training that finished."""
        self._run.finish(exit_code=0 if outcome == "finished" else 1)
        self._run = None


def _tag(name: str) -> str:
    """A short name without signs that a query or a file could take for others."""
    return hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
