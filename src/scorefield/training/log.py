"""What a training tells those who keep records of trainings: settings, losses, pictures; loggers implement `Logger`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias

from scorefield.training.heldout import Evaluation
from scorefield.training.loop import Progress

Outcome: TypeAlias = Literal["finished", "stopped", "failed"]
"""How a training ended: by itself, left or interrupted from outside, or by an error."""
EVERY = 10
"""Steps whose mean loss is one point of a curve."""


class Logger(Protocol):
    """Who is told of a training. An error that one raises ends the training; nothing is swallowed."""

    def begin(self, name: str, settings: Mapping[str, Any], step: int) -> None:
        """A training begins, or goes on after `step` steps; the settings are numbers, texts, truth values or None."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step."""
        ...

    def picture(self, name: str, step: int, png: bytes) -> None:
        """A picture after a step, a PNG file."""
        ...

    def end(self, outcome: Outcome) -> None:
        """Nothing more comes; called once for each `begin`, also when the training is interrupted or fails."""
        ...


@contextmanager
def open_loggers(loggers: Sequence[Logger], name: str, settings: Mapping[str, Any], step: int) -> Iterator[None]:
    """Begin all loggers and end each that began, whatever happens inside.

    Args:
        loggers: to begin, in their order.
        name: of the training.
        settings: what does not fit a cell of a table is left out.
        step: steps done before.
    """
    plain = {k: v for k, v in settings.items() if v is None or isinstance(v, bool | int | float | str)}
    with ExitStack() as stack:
        for one in loggers:
            one.begin(name, plain, step)
            stack.push(_end(one))
        yield


def _end(logger: Logger) -> Any:
    def leave(kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        stopped = kind is not None and issubclass(kind, GeneratorExit | KeyboardInterrupt | SystemExit)
        logger.end("finished" if kind is None else "stopped" if stopped else "failed")

    return leave


def logged(
    steps: Iterator[Progress], loggers: Sequence[Logger], batch: int, seconds: float = 0.0, every: int = EVERY
) -> Iterator[Progress]:
    """The same steps; the loggers hear of every tenth, of held-out losses and of the last.

    `loss` is the mean since they heard last, `samples_per_second` likewise, held-out losses included.

    Args:
        steps: of a training.
        loggers: that have begun.
        batch: samples per step.
        seconds: of training before.
        every: steps between two points.

    Example:
        >>> class Printed:
        ...     def scalars(self, step, values):
        ...         print(step, {name: round(value, 3) for name, value in values.items()})
        >>> steps = (Progress(k, 1 / k, 0.001, 0.5 * k, k / 2, last="budget" if k == 2 else None) for k in (1, 2))
        >>> for progress in logged(steps, [Printed()], batch=8):
        ...     pass
        2 {'loss': 0.75, 'learning_rate': 0.001, 'samples_per_second': 16.0}
    """
    losses: list[float] = []
    for progress in steps:
        losses.append(progress.loss)
        if progress.step % every == 0 or progress.last or progress.evaluation:
            values = {"loss": sum(losses) / len(losses), "learning_rate": progress.learning_rate}
            if progress.seconds > seconds:
                values["samples_per_second"] = batch * len(losses) / (progress.seconds - seconds)
            if progress.evaluation:
                values["held_out_loss"] = progress.evaluation.mean
            losses, seconds = [], progress.seconds
            for one in loggers:
                one.scalars(progress.step, values)
        yield progress


def losses_png(evaluations: Sequence[Evaluation]) -> bytes:
    """The held-out losses of a training as a picture: their mean over the steps, and the last ones by noise level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([e.step for e in evaluations], [e.mean for e in evaluations], marker="o", ms=3)
    left.set(xlabel="optimiser step", ylabel="held-out loss, mean over levels")
    last = evaluations[-1]
    right.plot(last.sigmas, last.losses, label=f"after {last.step:,} steps")
    if last.floors:
        right.plot(last.sigmas, last.floors, color="black", ls="--", lw=1, label="least possible")
    right.set(xscale="log", xlabel="noise level sigma (standard deviations of the data)", ylabel="held-out loss")
    right.legend(frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()
