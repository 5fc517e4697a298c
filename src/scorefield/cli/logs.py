"""Where a training is logged, as the command line says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scorefield._files import shown

if TYPE_CHECKING:
    from scorefield.training.log import Logger


def loggers(texts: tuple[str, ...]) -> list[Logger]:
    """What `--log NAME:DIR` stands for.

    Raises:
        ValueError: for an unknown name or a missing folder, listing the names; for a package that is missing.
    """
    if not texts:
        return []
    from scorefield.interop.loggers import MLflow, TensorBoard, WeightsAndBiases

    known: dict[str, Callable[[str], Logger]] = {
        "tensorboard": TensorBoard,
        "mlflow": MLflow,
        "wandb": WeightsAndBiases,
    }
    found = []
    for text in texts:
        name, _, folder = text.partition(":")
        if name not in known or not folder:
            ways = ", ".join(f"{one}:DIR" for one in known)
            raise ValueError(f"--log takes one of {ways}, got {shown(text)}.")
        found.append(known[name](folder))
    return found
