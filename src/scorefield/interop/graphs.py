"""What is exported of a model of records: modules from tensors to tensors, with names and what to know of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.core import Estimate, Level
from scorefield.denoiser import Denoiser, Energy
from scorefield.interop.decoding import decoder
from scorefield.plans import Plan
from scorefield.records.latent_codec import LatentCodec
from scorefield.records.trained import TrainedModel

BATCH = 2
"""Rows of the example by which a module is traced: sizes 0 and 1 would be taken for constants."""


@dataclass(frozen=True)
class Graph:
    """A module from tensors to tensors, with all that a file of it says.

    Args:
        module: called with the inputs in their order, answers a tuple.
        inputs: by name an example with `BATCH` rows; the first dimension is free.
        outputs: names.
        about: JSON-able: what the file says of itself.
        evaluated: of a sampler, examples of what each of its steps gives the module's `answer` besides the level.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    about: Mapping[str, Any]
    evaluated: tuple[Tensor, ...] = ()


def frozen(model: nn.Module) -> nn.Module:
    """A copy on the CPU that does not learn."""
    return copy.deepcopy(model).cpu().eval().requires_grad_(False)


def within(sigma: Tensor, low: float, high: float) -> Tensor:
    """Which levels `(n,)` lie in a model's range, up to rounding; bool."""
    return (sigma >= low * (1 - 1e-5)) & (sigma <= high * (1 + 1e-5))


def or_nan(value: Tensor, rows: Tensor) -> Tensor:
    """`value (n, *shape)`, NaN in the rows that are not among `rows (n,)`: a graph cannot refuse."""
    return torch.where(rows.reshape(-1, *[1] * (value.ndim - 1)), value, torch.nan)


class _Answer(nn.Module):
    """`model(x, level, condition)` without checks, which need numbers, and with NaN for classes that there are not."""

    def __init__(self, model: Denoiser | Energy) -> None:
        super().__init__()
        self.model = frozen(model.denoiser if isinstance(model, Energy) else model)
        self.classes = model.classes

    def forward(self, x: Tensor, level: Level, condition: Tensor | None) -> Estimate:
        denoiser: Any = self.model
        given = None if condition is None else condition.clamp(0, self.classes)
        found: Estimate = denoiser.target.solve(x, denoiser.raw(x, level, given), level, denoiser.sigma_data)
        if condition is None or given is None:
            return found
        return Estimate(*(or_nan(v, torch.eq(condition, given)) for v in found))


class DenoiserGraph(nn.Module):
    """`(x, sigma[, condition]) -> (x0, eps)` at `x = x0 + sigma * eps`, standardised; NaN beyond the model's range."""

    def __init__(self, model: Denoiser | Energy) -> None:
        super().__init__()
        self.answer = _Answer(model)
        self.range = model.sigma_min, model.sigma_max

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x0, eps = self.answer(x, Level(torch.ones_like(sigma), sigma), condition)
        inside = within(sigma, *self.range)
        return or_nan(x0, inside), or_nan(eps, inside)


@dataclass(frozen=True)
class PlanRows:
    """A plan as numbers, executed without the checks of `scorefield.run`, which need values.

    Args:
        levels: of the rows, and where the last one arrives.
        P: of the plan.
        E: likewise.
        c: likewise.
    """

    levels: list[Level]
    P: list[list[float]]
    E: list[list[float]]
    c: list[float]

    @staticmethod
    def of(plan: Plan) -> PlanRows:
        """The numbers of a plan."""
        pairs = zip(plan.levels.alpha.tolist(), plan.levels.sigma.tolist(), strict=True)
        return PlanRows([Level(*pair) for pair in pairs], plan.P.tolist(), plan.E.tolist(), plan.c.tolist())

    @property
    def noisy(self) -> list[int]:
        """The rows that add noise."""
        return [k for k, c in enumerate(self.c) if c]

    def steps(self, y: Tensor, model: Callable[[Tensor, Level], Estimate], fresh: Tensor | None = None) -> Tensor:
        """The state after the last row from y `(n, *shape)`; the noise of the noisy rows is `(n, rows, *shape)`."""
        found: list[Estimate] = []
        for k, c in enumerate(self.c):
            found.append(model(y, self.levels[k]))
            terms = [c * fresh[:, self.noisy.index(k)]] if c and fresh is not None else []
            for j, (x0, eps) in enumerate(found):
                terms += [weight * v for weight, v in ((self.P[k][j], x0), (self.E[k][j], eps)) if weight]
            y = sum(terms[1:], terms[0]) if terms else torch.zeros_like(y)
        return y


class SamplerGraph(nn.Module):
    """`(noise[, fresh][, condition]) -> sample`: every row of a plan, then the codec's way back.

    Args:
        model: evaluated once a row.
        plan: how it steps.
        decode: standardised tensors to records.
        guidance: towards the class, `conditioning.guidance.classifier_free`; other scales than 1 evaluate twice a row.
    """

    def __init__(self, model: Denoiser | Energy, plan: Plan, decode: nn.Module, guidance: float = 1.0) -> None:
        super().__init__()
        self.guidance = guidance
        self.answer: nn.Module = _Answer(model)
        self.classes, self.decode, self.plan = model.classes, decode, PlanRows.of(plan)
        alpha, sigma = self.plan.levels[0]
        self.scale = math.hypot(alpha * model.sigma_data, sigma)

    def forward(self, noise: Tensor, *more: Tensor) -> tuple[Tensor]:
        condition = more[-1] if self.classes else None
        fresh = more[0] if self.plan.noisy else None
        last = self.plan.steps(noise * self.scale, lambda y, level: self._guided(y, level, condition), fresh)
        return (self.decode(last),)

    def _guided(self, x: Tensor, level: Level, condition: Tensor | None) -> Estimate:
        found: Estimate = self.answer(x, level, condition)
        if self.guidance == 1 or condition is None:
            return found
        base = self.answer(x, level, torch.full_like(condition, self.classes))
        return Estimate(*(b + self.guidance * (v - b) for v, b in zip(found, base, strict=True)))


# -------------------------------------------------------------------------------------------------- of trained models


def denoiser_graph(model: TrainedModel) -> Graph:
    """The pair `E[x0 | x]`, `E[eps | x]` of a trained model, standardised."""
    own, shape = model.model, model.codec.shape
    like = next(own.parameters())
    x = torch.zeros(BATCH, *shape, dtype=like.dtype)
    sigma = torch.full((BATCH,), math.sqrt(own.sigma_min * own.sigma_max), dtype=like.dtype)
    about = {
        "what": "denoiser",
        "formula": "x = x0 + sigma * eps, eps standard normal; a point alpha * x0 + sigma * eps is given as x / alpha, "
        "sigma / alpha",
        "units": "standardised: (record - mean) / std of the codec, in its layout",
        "range": "sigma from sigma_min to sigma_max; x0 and eps are NaN elsewhere",
        "inputs": {"x": ["n", *shape], "sigma": ["n"], **_condition_words(own.classes)},
        "outputs": {"x0": "E[x0 | x], as x", "eps": "E[eps | x], as x"},
        **about_records(model),
    }
    return Graph(DenoiserGraph(own), {"x": x, "sigma": sigma, **_condition(own.classes)}, ("x0", "eps"), about)


def sampler_graph(model: TrainedModel, steps: int, guidance: float = 1.0) -> Graph:
    """New records from noise, as `model.sample(steps=steps, guidance=guidance)` makes them."""
    own, plan = model.drawing(steps, guidance)
    if guidance != 1 and not own.classes:
        raise ValueError(f"guidance is towards a class, and this model knows none, got {guidance:g}; leave it out.")
    shape, latent = model.codec.shape, isinstance(model.codec, LatentCodec)
    dtype = next(own.parameters()).dtype
    module = SamplerGraph(own, plan, decoder(model.codec, model.ends), guidance)
    inputs = {"noise": torch.zeros(BATCH, *shape, dtype=dtype)}
    words: dict[str, Any] = {"noise": ["n", *shape]}
    if module.plan.noisy:
        inputs["fresh"] = torch.zeros(BATCH, len(module.plan.noisy), *shape, dtype=dtype)
        words["fresh"] = ["n", len(module.plan.noisy), *shape]
    condition = _condition(own.classes)
    with torch.no_grad():
        (record,) = module(*inputs.values(), *condition.values())
    about = {
        "what": "sampler",
        "plan": plan.name,
        "evaluations": plan.evaluations,
        **({} if guidance == 1 else {"guidance": guidance}),
        "inputs": {**words, **_condition_words(own.classes)},
        "units": "noise and fresh are standard normal draws; sample is "
        + ("on the autoencoder's scale, for it to decode" if latent else "in the user's units"),
        "outputs": {"latent" if latent else "sample": ["n", *record.shape[1:]]},
        **about_records(model),
    }
    evaluated = (inputs["noise"], *condition.values())
    return Graph(module, {**inputs, **condition}, ("latent" if latent else "sample",), about, evaluated)


def about_records(model: TrainedModel) -> dict[str, Any]:
    """What a file says of the model that it is of."""
    own, data = model.model, model.info.get("data", {})
    return {
        "sigma_min": own.sigma_min,
        "sigma_max": own.sigma_max,
        "sigma_data": own.sigma_data,
        "classes": own.classes,
        "class_names": data.get("classes"),
        "codec": model.codec.to_json(),
    }


def _condition(classes: int) -> dict[str, Tensor]:
    return {"condition": torch.zeros(BATCH, dtype=torch.int64)} if classes else {}


def _condition_words(classes: int) -> dict[str, Any]:
    return {"condition": f"int64 (n,): a class from 0 to {classes - 1}, or {classes} for none"} if classes else {}
