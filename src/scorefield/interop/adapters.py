"""Any callable `(x, t)` as a model: networks on a table of betas, flows, denoisers of (x, sigma)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch, is_traced
from scorefield.core import Estimate, Level, check_level
from scorefield.denoiser import DATA, EDM_F, FLOW, NOISE, Target, plain
from scorefield.pretrained.convention import Convention
from scorefield.times import BetaTimes, Between, FlowTimes, LogSigmaTimes, SigmaTimes, cumulative

Network: TypeAlias = Callable[..., Tensor]
"""`(x (n, *shape), t (n,)) -> raw`, or `(x, t, condition) -> raw`, raw of x's shape; a module or a function."""


class Adapted(nn.Module):
    """A network of another library and its convention: a model.

    The network runs in the dtype of its parameters (without any: in x's); its answer is cast to x's, where the pair is
    solved for, so that `alpha * x0 + sigma * eps = x` to x's rounding. Nothing is clipped.

    Args:
        network: `(x, t) -> raw`, called with the condition as third argument where one is given; t is `(n,)`.
        convention: what it sees and answers.
        sigma_data: standard deviation of its data, where known: what densities and plans start from.
        classes: how many classes it is conditional on; the number itself stands for 'no class', where it knows that.
        notes: what the other library does besides, in sentences.
    """

    def __init__(
        self,
        network: Network,
        convention: Convention,
        *,
        sigma_data: float | None = None,
        classes: int = 0,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not callable(network):
            raise TypeError(f"a network is a callable (x, t), got {type(network).__name__}.")
        self.network = network
        self.convention = convention
        self.classes = classes
        self.notes = tuple(notes)
        if isinstance(network, nn.Module):
            self.training = network.training
        if sigma_data is not None:
            self.sigma_data = float(sigma_data)

    @property
    def sigma_min(self) -> float:
        """Least `sigma / alpha` at which the model answers."""
        return self.convention.sigma_min

    @property
    def sigma_max(self) -> float:
        """Greatest; infinite where it answers at alpha = 0."""
        return self.convention.sigma_max

    def forward(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, *shape)`.

        Raises:
            ValueError: outside `sigma_min <= sigma / alpha <= sigma_max` (not checked inside function transforms and
                compiled code, where levels have no value yet).
            TypeError: where the network's answer is no tensor of x's shape.
        """
        check_batch("x", x)
        level = plain(level)
        self._check_range(level)
        return self.convention.estimate(x, self.raw(x, level, condition), level)

    def raw(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Tensor:
        """The network's own answer, in its dtype."""
        first = next(self.parameters(), x)
        time = self.convention.times.time(level).to(x.device)
        if time.is_floating_point():  # times up to 1000 need the digits of float32
            time = time.to(torch.promote_types(first.dtype, torch.float32))
        given = (self.convention.seen(x, level).to(first.dtype), time.expand(len(x)))
        raw: object = self.network(*given) if condition is None else self.network(*given, condition)
        if not isinstance(raw, Tensor) or raw.shape != x.shape:
            got = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
            raise TypeError(f"a network must answer with a tensor of x's shape, {tuple(x.shape)}, got {got}.")
        return raw

    def extra_repr(self) -> str:
        said = [f"predicts {self.convention.target.name}", repr(self.convention.times), *self.notes]
        return "\n".join(said)

    def _check_range(self, level: Level) -> None:
        if is_traced(level.alpha) or is_traced(level.sigma):
            return
        check_level(level)
        ratio = torch.as_tensor(level.ratio)
        if not ratio.numel():
            return
        low, high = float(ratio.min()), float(ratio.max())
        if not (low >= self.sigma_min * (1 - 1e-5) and high <= self.sigma_max * (1 + 1e-5)):
            raise ValueError(
                f"this network answers for sigma / alpha from {self.sigma_min:g} to {self.sigma_max:g}, "
                f"got {low:g} to {high:g}; choose levels inside its range."
            )


def from_eps(
    network: Network,
    betas: Tensor | Sequence[float] | None = None,
    prediction: Target = NOISE,
    *,
    alphas_cumprod: Tensor | Sequence[float] | None = None,
    between: Between = "interpolate",
    factor: float = 1.0,
    offset: float = 0.0,
    sigma_data: float | None = None,
    classes: int = 0,
) -> Adapted:
    """A network on a table of betas (DDPM, ADM, Stable Diffusion ...) as a model.

    Args:
        network: `(x, t)` or `(x, t, condition)`; x is `alpha x0 + sigma eps` with `alpha^2 + sigma^2 = 1`.
        betas: `(N,)`; the last may be 1 (zero terminal SNR).
        prediction: what it answers, of `scorefield.denoiser`: NOISE (eps), DATA (x0), ANGLE (v = alpha eps - sigma x0).
        alphas_cumprod: `(N,)`, in the place of betas.
        between: levels between two entries: "interpolate" (t is then a fraction), "refuse" or "nearest"; see
            `times.BetaTimes`.
        factor: the network is told `factor * index + offset`, index from 0 to N - 1.
        offset: see factor.
        sigma_data: standard deviation of the data, where known.
        classes: how many classes its condition has.

    Returns:
        A model that answers within the table: sigma / alpha from that of the first entry to that of the last. At
        alpha = 0 a network that predicts eps says nothing of the data: its range ends at the entry before.

    Raises:
        ValueError: for both or neither of betas and alphas_cumprod, or a table that is none.

    Example:
        >>> from scorefield.schedules import linear_betas
        >>> model = from_eps(lambda x, t: x, linear_betas())  # exact for data at 0, nearly, at large noise
        >>> model(torch.ones(1, 2), Level(0.0065, 1.0)).eps
        tensor([[1.0000, 1.0000]])
    """
    if (betas is None) == (alphas_cumprod is None):
        raise ValueError("from_eps needs a table: either betas or alphas_cumprod, not both.")
    try:
        given = torch.as_tensor(alphas_cumprod if betas is None else betas, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError("from_eps needs betas or alphas_cumprod as numbers (N,), got something else.") from None
    table = given if betas is None else cumulative(given)
    times = BetaTimes(table, between, factor, offset)
    return Adapted(network, Convention(times, prediction), sigma_data=sigma_data, classes=classes)


def from_flow(
    network: Network,
    prediction: Target = FLOW,
    *,
    factor: float = 1.0,
    low: float = 0.0,
    high: float = 1.0,
    sigma_data: float | None = None,
    classes: int = 0,
) -> Adapted:
    """A network of straight lines `x = (1 - u) x0 + u eps`, told `factor * u`, as a model.

    One whose time runs from noise to data, with the velocity `x0 - eps`, is `lambda x, u: -network(x, 1 - u)` here.

    Args:
        network: `(x, t)` or `(x, t, condition)`.
        prediction: FLOW: the velocity `eps - x0`.
        factor: 1, or 1000 for the transformers of diffusers.
        low: least u that it was trained for; at 0 and 1 a velocity says both members of the pair.
        high: greatest.
        sigma_data: standard deviation of the data, where known.
        classes: how many classes its condition has.

    Example:
        >>> model = from_flow(lambda x, u: x)
        >>> model(torch.ones(1, 2), Level(1.0, 1.0)).eps
        tensor([[0.7500, 0.7500]])
    """
    return Adapted(
        network, Convention(FlowTimes(factor, low, high), prediction), sigma_data=sigma_data, classes=classes
    )


def from_edm(
    network: Network,
    sigma_data: float = 0.5,
    *,
    raw: bool = False,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    classes: int = 0,
) -> Adapted:
    """A denoiser D(x, sigma) of EDM or k-diffusion, or its raw network F, as a model.

    `D = c_skip x + c_out F(c_in x, log(sigma) / 4)` (Karras and others 2022). A raw F keeps eps exact to rounding at
    every sigma, where a D, whose preconditioning is inside, leaves `eps = (x - D) / sigma`.

    Args:
        network: D of `(x, sigma)`; with raw, F of `(x c_in, log(sigma) / 4)`; a condition is a third argument.
        sigma_data: the constant of the preconditioning, which stands for the standard deviation of the data.
        raw: whether the network is F.
        sigma_min: least sigma that it was trained for.
        sigma_max: greatest.
        classes: how many classes its condition has.

    Example:
        >>> model = from_edm(lambda x, sigma: x / (1 + sigma[:, None] ** 2), sigma_data=1.0)  # of standard normal data
        >>> model(torch.ones(1, 2), Level(1.0, 1.0)).x0
        tensor([[0.5000, 0.5000]])
    """
    convention = (
        Convention(LogSigmaTimes(sigma_data, sigma_min, sigma_max), EDM_F)
        if raw
        else Convention(SigmaTimes(sigma_min, sigma_max), DATA)
    )
    return Adapted(network, convention, sigma_data=sigma_data, classes=classes)
