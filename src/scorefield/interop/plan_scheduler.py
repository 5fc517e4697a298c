"""A scheduler of diffusers that runs any plan."""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from scorefield._files import shown
from scorefield.core import Level
from scorefield.interop.adapters import Adapted
from scorefield.interop.stored import convention_from_json, prediction_to_json
from scorefield.plans import Plan
from scorefield.plans.plan import last_uses
from scorefield.plans.run import check_range
from scorefield.pretrained.convention import Convention
from scorefield.pretrained.schedulers import convention_of
from scorefield.times import LogSigmaTimes, times_to_json


class PlanScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' types are not read
    """A `Plan` as a scheduler of diffusers: one step of a pipeline is one row, `plan.evaluations` of them.

    The sample is on the scale on which the network sees it (for EDM's F: `x0 + sigma * eps`, as diffusers' own EDM
    schedulers hold it), so that it is the data's at a clean end. Nothing is clipped. The estimates that later rows use
    are kept from step to step, and forgotten by `set_timesteps`, as diffusers' multistep schedulers do it. Noise is
    drawn by the pipeline's generator (torch's global one without), as theirs is: a stochastic plan has the law of
    `run`, not its numbers.

    Made by `from_plan`, saved and read as JSON by `save_pretrained` and `from_pretrained`.

    Args:
        plan: as `Plan.to_json` writes it, parsed.
        times: what the network is told of the noise.
        prediction_type: what it answers.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> from scorefield import plans
        >>> from scorefield.interop import levels_of
        >>> theirs = DDIMScheduler()
        >>> theirs.set_timesteps(4)
        >>> scheduler = PlanScheduler.from_plan(plans.dpmpp(levels_of(theirs)), theirs)
        >>> scheduler.set_timesteps(4)
        >>> scheduler.timesteps
        tensor([750., 500., 250.,   0.])
    """

    order = 1
    _step_index: int | None
    _begin_index: int | None
    _data: dict[int, Tensor]
    _noise: dict[int, Tensor]

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, plan: dict[str, Any], times: dict[str, Any], prediction_type: str = "epsilon") -> None:
        self.plan = Plan.from_json(json.dumps(plan))
        self.convention = convention_from_json(times, prediction_type)
        check_range(self.plan, self.convention)  # type: ignore[arg-type]  # its sigma_min and sigma_max are looked at
        self.num_inference_steps: int | None = None
        self.timesteps = self._times()
        self._reset()

    @classmethod
    def from_plan(cls, plan: Plan, like: Any) -> PlanScheduler:
        """The scheduler of a plan, for a network of a known convention.

        Args:
            plan: any.
            like: the network's convention: a scheduler of diffusers, a model of `from_diffusers`, or a `Convention`.

        Raises:
            ValueError: where the plan asks for levels that the network was not trained for.
        """
        if not isinstance(plan, Plan):
            raise TypeError(f"PlanScheduler.from_plan needs a Plan first, got {type(plan).__name__}.")
        own = like.convention if isinstance(like, Adapted | PlanScheduler) else like
        convention = own if isinstance(own, Convention) else convention_of(own)
        made: PlanScheduler = cls(  # by name: diffusers takes arguments by place for defaults, and forgets them
            plan=json.loads(plan.to_json()),
            times=times_to_json(convention.times),
            prediction_type=prediction_to_json(convention.target),
        )
        return made

    # ------------------------------------------------------------------------------------------ what pipelines ask for

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the sample that the plan starts from, for data of the convention's sigma_data."""
        level = self.plan.levels[0]
        power = (level.alpha * self.convention.sigma_data) ** 2 + level.sigma**2
        return float(power**0.5 / self._size(level))

    @property
    def step_index(self) -> int | None:
        """The row that comes next; None before the first step."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The row to begin with, where a pipeline said so."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin with this row: pipelines that edit an image do."""
        self._begin_index = begin_index

    def set_timesteps(self, num_inference_steps: int | None = None, device: str | torch.device | None = None) -> None:
        """Begin anew.

        Raises:
            ValueError: for another number of steps than the plan has rows.
        """
        rows = self.plan.evaluations
        if num_inference_steps not in (None, rows):
            raise ValueError(
                f"this scheduler runs a plan of {rows} evaluations, got num_inference_steps={num_inference_steps!r}; "
                f"ask the pipeline for num_inference_steps={rows}."
            )
        self.num_inference_steps = rows
        self.timesteps = self._times().to(device)
        self._reset()

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor) -> Tensor:
        """The sample as the network sees it: another one for EDM's F alone."""
        level = self.plan.levels[self._row(timestep)]
        factor = float(self._size(level) / self.convention.times.size(level))
        return sample if factor == 1 else sample * factor

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor, Tensor]:
        """The plan's next row.

        Args:
            model_output: the network's answer.
            timestep: of the pipeline's loop; tells the row of the first step alone.
            sample: the state.
            eta: of DDIM pipelines; the plan says how much noise there is, so that only 0 is right.
            use_clipped_model_output: likewise; nothing is clipped.
            generator: of the noise that the row adds.
            return_dict: whether to answer with an object.

        Returns:
            The next state and the estimate of the data, `prev_sample` and `pred_original_sample`.

        Raises:
            ValueError: after the last row, and for options that a plan does not have.
        """
        if eta or use_clipped_model_output:
            raise ValueError("a plan says how much noise is added, and clips nothing; leave eta and clipping out.")
        k = self._row(timestep)
        if k >= self.plan.evaluations:
            raise ValueError(f"the plan's {k} rows are done; call set_timesteps to begin anew.")
        level, there = self.plan.levels[k], self.plan.levels[k + 1]
        x = sample.to(torch.promote_types(sample.dtype, torch.float32)) * float(self._size(level))
        data, noise = self.convention.estimate(x, model_output, level)
        y = self._combined(k, data, noise)
        if self.plan.c[k] > 0:
            z = randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=sample.dtype)
            y = y + float(self.plan.c[k]) * z
        self._step_index = k + 1
        found = ((y / float(self._size(there))).to(sample.dtype), data.to(sample.dtype))
        return DDIMSchedulerOutput(*found) if return_dict else found

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Data noised to the levels of timesteps `(n,)`, or of one for all."""
        level = self.convention.times.level(timesteps.reshape(-1).double().cpu())
        one = len(timesteps.reshape(-1)) == 1
        return Level(*(v.squeeze() if one else v for v in level)).noised(original_samples, noise)  # type: ignore[union-attr]

    # ------------------------------------------------------------------------------------------------------- helpers

    def _reset(self) -> None:
        self._step_index = self._begin_index = None
        self._data, self._noise = {}, {}

    def _times(self) -> Tensor:
        levels = self.plan.levels
        time = self.convention.times.time(Level(levels.alpha[:-1], levels.sigma[:-1]))
        return time.float() if time.is_floating_point() else time

    def _size(self, level: Level) -> Tensor:
        """What a state of the plan is divided by to be a sample."""
        times = self.convention.times
        return torch.as_tensor(level.alpha) if isinstance(times, LogSigmaTimes) else times.size(level)

    def _row(self, timestep: float | Tensor) -> int:
        """The row that comes next."""
        if self._step_index is None:
            row = self._begin_index if self._begin_index is not None else self._found(timestep)
            if row:
                self.plan.tail(row)  # raises where later rows use estimates that were never made
            self._step_index = row
        return self._step_index

    def _found(self, timestep: float | Tensor) -> int:
        matches = (self.timesteps.cpu() == torch.as_tensor(timestep).cpu()).nonzero().reshape(-1)
        if not len(matches):
            raise ValueError(f"{shown(timestep)} is no timestep of this plan; take them from scheduler.timesteps.")
        return int(matches[0])

    def _combined(self, k: int, data: Tensor, noise: Tensor) -> Tensor:
        """The row's sum over the estimates so far; those that no later row uses are dropped."""
        self._data[k], self._noise[k] = data, noise
        y = torch.zeros_like(data)
        for table, kept in ((self.plan.P, self._data), (self.plan.E, self._noise)):
            for j, value in kept.items():
                y = y.add_(value, alpha=float(table[k, j]))
            last = last_uses(table)
            for j in [j for j in kept if last[j] <= k]:
                del kept[j]
        return y
