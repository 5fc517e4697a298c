"""What is saved: a trained model with its codec and plans, answering in the user's units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from scorefield import _ranges
from scorefield._files import shown
from scorefield._memory import lacking
from scorefield.conditioning.guidance import classifier_free
from scorefield.core import Estimate, Level
from scorefield.denoiser import Denoiser, Energy
from scorefield.likelihood import LogDensity
from scorefield.numerics.random import noise_like, uniform
from scorefield.plans import Plan, default
from scorefield.pretrained.pipelines import located
from scorefield.progress import Report, silent
from scorefield.records.adopted import adopted_parts
from scorefield.records.codec import Codec
from scorefield.records.density import BitsPerDim, DensityOptions, Options, bits_per_dim, record_log_density
from scorefield.records.diffusers_unet import own_plan
from scorefield.records.draws import encoded_draws
from scorefield.records.ends import Ends
from scorefield.records.exchanged import own_config, rebuilt
from scorefield.records.latent_codec import LatentCodec, records_codec
from scorefield.records.stored import Distilled, Parts, read, stored
from scorefield.training import model_folder
from scorefield.training.precision import PRECISIONS, Precision, as_trained

FORMAT = 1
"""Version of the folder's layout: raised when older readers could not read it rightly."""

FORM = "scorefield"
"""What model.json calls such a folder."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained model in the user's units: a folder of JSON and safetensors, no pickle.

    Noise levels `sigma` are in units of the data's standard deviation, as the codec measured it: a noised record is
    `record + sigma * std * eps`, with the std of each column (tables) or of all pixels (images).

    A run of latents (`fit(..., autoencoder=...)`) draws latents and decodes them. Its noise is on latents and its
    density is of latents: `log_density` is that of a picture's latent, in nats per unit of the latent.

    Args:
        model: `Denoiser` or `Energy`, on standardised data.
        codec: records <-> standardised tensors.
        plans: by number of evaluations; `sample(steps=n)` takes the one stored for n, else `plans.default(n)`, or for a
            network of diffusers one over its own times.
        frequencies: of each class in the training data, for a model conditional on classes.
        info: what else is known of it (data, training, version), JSON-able.
        mean: of the encoded training data, `(*shape)`: what log-densities start from; None: 0.
        covariance: likewise, `(d, d)` or variances `(*shape)`; None: sigma_data^2.
        distilled: by number of evaluations, networks that draw with as many; see `records.distil`.
        ends: what of a drawn image is taken for black and white.

    Example:
        >>> import numpy as np
        >>> from scorefield import nets
        >>> from scorefield.data import load
        >>> from scorefield.records.codec import fit_codec
        >>> codec = fit_codec(load("iris"))
        >>> m = TrainedModel(Denoiser(nets.ResidualMLP(4, width=16, depth=1)).eval(), codec)
        >>> m.sample(3, steps=5, seed=0).shape
        (3, 4)
    """

    model: Denoiser | Energy
    codec: Codec
    plans: Mapping[int, Plan] = field(default_factory=dict)
    frequencies: tuple[float, ...] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    mean: Tensor | None = None
    covariance: Tensor | None = None
    distilled: Mapping[int, Distilled] = field(default_factory=dict)
    ends: Ends = field(default_factory=Ends)

    # ------------------------------------------------------------------------------------------------- answers

    def sample(
        self,
        n: int,
        *,
        steps: int = 18,
        plan: Plan | None = None,
        seed: int | Tensor = 0,
        condition: int | Tensor | np.ndarray | None = None,
        guidance: float = 1.0,
        first: int | Tensor = 0,
        batch: int = 1024,
        precision: str = "auto",
        progress: bool = False,
        report: Report = silent,
    ) -> np.ndarray:
        """Draw n new records.

        Args:
            n: how many.
            steps: network evaluations per sample.
            plan: how to step; default: the network that was distilled to `steps`, else the stored plan for them, else
                `plans.default(steps)`.
            seed: sample i is a pure function of (seed, first + i), up to the rounding of matrix kernels; `(n,)` int64
                seeds, one for each, for plans that add no noise.
            condition: a class for all, or `(n,)`; default, for a conditional model: classes as often as in training.
            guidance: classifier-free guidance towards the class; 1 is none, and other scales ask the network twice.
            first: index of the first sample, to go on where an earlier call ended; or `(n,)` indices.
            batch: at most this many at once.
            precision: of the network: "auto" (that of its training, where this device is made for it), "float32" or
                "bf16".
            progress: show a bar.
            report: hears how far the work is.

        Returns:
            Records `(n, *shape)` in the user's units.
        """
        _ranges.ANY_COUNT("sample(n=...)", n)
        _ranges.COUNT("sample(batch=...)", batch)
        if not isinstance(first, Tensor):
            _ranges.ANY_COUNT("sample(first=...)", first)
        _ranges.real(0, 1e3)("sample(guidance=...)", guidance)
        each = max(math.prod(codec.shape) for codec in (self.codec, records_codec(self.codec)))
        too_much = lacking(2 * 8 * n * each)
        if too_much:
            raise ValueError(f"sample(n={n}) {too_much}; draw parts of it, with first=...")
        model, plan = (self.model, plan) if plan is not None else self.drawing(steps, guidance)
        given = self.conditions(n, seed=seed, first=first) if condition is None else self._conditions(condition, n)
        drawn = encoded_draws(
            model if guidance == 1 else classifier_free(model, guidance),
            plan,
            self.codec.shape,
            n,
            std=self.model.sigma_data,
            like=next(self.model.parameters()),
            seed=seed,
            first=first,
            condition=given,
            batch=batch,
            precision=self._precision(precision),
            progress=progress,
            report=report,
        )
        parts = [self.codec.decode(self.ends.taken(self.codec, x0.cpu())) for x0 in drawn]
        return np.concatenate(parts) if parts else self.codec.decode(torch.empty(0, *self.codec.shape))

    def drawing(self, steps: int, guidance: float = 1.0) -> tuple[Denoiser | Energy, Plan]:
        """What `sample(steps=steps)` draws by, before guidance: the distilled network if there is one; and how.

        Raises:
            ValueError: for a guided draw by a distilled network.
        """
        few = self.distilled.get(steps)
        if few is None:
            return self.model, self.plan(steps)
        if guidance != 1:
            raise ValueError(
                f"the network of {steps} evaluations was distilled without guidance, got {guidance}; take other steps."
            )
        return few.model, few.plan

    def plan(self, steps: int) -> Plan:
        """The plan that `sample(steps=steps)` takes."""
        if steps in self.distilled:
            return self.distilled[steps].plan
        if steps in self.plans:
            return self.plans[steps]
        model = self.model
        own = own_plan(model, steps)
        if own is not None:
            return own
        dimensions = math.prod(self.codec.shape)
        return default(steps, model.sigma_data, model.sigma_min, model.sigma_max, dimensions)

    def conditions(self, n: int, seed: int | Tensor = 0, first: int | Tensor = 0) -> Tensor | None:
        """The classes that `sample` draws, `(n,)`, as often as in training; None for an unconditional model."""
        if self.frequencies is None:
            return None
        edges = torch.tensor(self.frequencies, dtype=torch.float64).cumsum(0)
        u = uniform(n, (), seed, "class", first=first, dtype=torch.float64)
        return torch.searchsorted(edges / edges[-1], u).clamp(max=len(edges) - 1)

    def denoise(self, x: np.ndarray, sigma: float, condition: int | np.ndarray | None = None) -> np.ndarray:
        """`E[record | x]` for records x with noise of sigma data standard deviations on them, `(n, *shape)`."""
        return self._floats(self._estimate(x, sigma, condition).x0)

    def noise(self, x: np.ndarray, sigma: float, condition: int | np.ndarray | None = None) -> np.ndarray:
        """`E[eps | x]`, the standard normal noise on x, `(n, *shape)`, without unit."""
        return self._values(self._estimate(x, sigma, condition).eps)

    def score(self, x: np.ndarray, sigma: float, condition: int | np.ndarray | None = None) -> np.ndarray:
        """`grad log p(x)` of the noised data's density, `(n, *shape)`, per unit of the record."""
        score = self._estimate(x, sigma, condition).score(Level(1.0, sigma))
        return self._values(score) * self.codec.slope

    def log_density(
        self,
        records: np.ndarray,
        *,
        condition: int | Tensor | np.ndarray | None = None,
        **options: Unpack[DensityOptions],
    ) -> LogDensity:
        """`log p(record)` in nats per unit of the record, of the data noised at the model's sigma_min.

        Of a run of latents: of the record's latent, in nats per unit of the latent (`LatentLogDensity`), which is no
        density of pixels.

        Args:
            records: `(n, *shape)` in the user's units; integers are taken as they are.
            condition: a class for all, or `(n,)`.
            options: `divergence`, `probes`, `tolerance` in nats, `evaluations` instead of a tolerance, `seed` of the
                probes, `chunk` (directions at a time), `batch` (records at a time), as `scorefield.log_density`.
        """
        how = self._options("log_density", **options)
        return record_log_density(self.model, self.codec, records, how, self._given(condition, len(records)))

    def bits_per_dim(
        self,
        records: np.ndarray,
        *,
        draws: int = 4,
        condition: int | Tensor | np.ndarray | None = None,
        **options: Unpack[DensityOptions],
    ) -> BitsPerDim:
        """Bits per dimension of integer images, each with uniform noise within its grey levels, averaged over draws.

        For a model fitted to images with that noise (`--dequantise`).

        Args:
            records: `(n, *shape)` integer images.
            draws: of the noise.
            condition: a class for all, or `(n,)`.
            options: as `log_density`.

        Raises:
            ValueError: for records that are not integer images, or a model known to be fitted to grey levels alone.
        """
        latent = isinstance(self.codec, LatentCodec)  # which says more below
        if self.info.get("data", {}).get("dequantised") is False and not latent:
            raise ValueError(
                "this model was fitted to the grey levels themselves and has no density between them; fit it with "
                "dequantise=True (--dequantise) for bits per dimension."
            )
        _ranges.DRAWS("bits_per_dim(draws=...)", draws)
        how = self._options("bits_per_dim", **options)
        return bits_per_dim(self.model, self.codec, records, how, self._given(condition, len(records)), draws)

    def add_noise(self, x: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
        """Records with noise of sigma data standard deviations on them, `(n, *shape)`: what `denoise` expects."""
        self._check_noised()
        x0 = self.codec.encode(x)
        return self._floats(x0 + sigma * noise_like(x0, seed, "add noise"))

    # ------------------------------------------------------------------------------------------------ the folder

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `model.safetensors`, atomically each, the weights first.

        With several processes all must call, and the first one writes.
        """
        header, tensors = stored(Parts.of(self))
        model_folder.save(Path(folder), FORM, FORMAT, header, tensors)

    @staticmethod
    def load(
        folder: str | Path, device: torch.device | str = "cpu", autoencoder: nn.Module | None = None
    ) -> TrainedModel:
        """Read the folder that `save` or `scorefield fit` wrote.

        Args:
            folder: of the run.
            device: to put it on.
            autoencoder: of a run that was fitted with a module of the user's own, that module; it stays where it is.

        Raises:
            FileError: for a missing, truncated or foreign file, or weights that belong to another model.json; for an
                autoencoder that is missing, or another one than the run was fitted with.
        """

        def made(header: dict[str, Any], tensors: dict[str, Tensor]) -> TrainedModel:
            return TrainedModel(*read(header, tensors, device, autoencoder))

        return model_folder.load(Path(folder), FORM, FORMAT, "scorefield model", made)

    @staticmethod
    def from_diffusers(source: Any, *, sigma_data: float = 0.5) -> TrainedModel:
        """A UNet2DModel of diffusers, of pixels on [-1, 1], as a trained model of images with 256 grey levels.

        What takes a run takes it: samples, densities, restoration, calibrated plans, distillation. Its own folder, once
        saved, needs diffusers to be read, and neither the scheduler nor any code. Noise levels are in units of half the
        range of grey levels. A network that is trained up to alpha = 0 is asked up to the table's entry before, a flow
        up to u = 0.999. Other networks of diffusers are models without a codec: `interop.from_diffusers`.

        A pipeline that `interop.to_diffusers` wrote is the run that it was made of, with the weights that it has now.

        Args:
            source: the folder of a pipeline (JSON and safetensors), the name USER/NAME or hub:USER/NAME of one on the
                Hub, which is fetched where it is not there yet, a pipeline, or a pair (network, scheduler); the network
                is a UNet2DModel with a sample_size, unconditional or of classes.
            sigma_data: standard deviation of its data on [-1, 1], where sampling and densities start from; EDM's
                networks have their own, runs of this library too.

        Raises:
            FileError: for a folder that is missing, damaged, or holds no safetensors.
            ValueError: for another network; where a package is missing.

        Example:
            >>> from diffusers import DDIMScheduler, UNet2DModel
            >>> sizes = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
            >>> network = UNet2DModel(8, 1, 1, block_out_channels=(32,), **sizes).eval()
            >>> TrainedModel.from_diffusers((network, DDIMScheduler())).sample(3, steps=4).shape
            (3, 8, 8)
        """
        source = located(source)
        own = own_config(source)
        return TrainedModel(*(adopted_parts(source, sigma_data) if own is None else rebuilt(source, own)))

    # -------------------------------------------------------------------------------------------------- helpers

    def _options(self, name: str, **given: Unpack[DensityOptions]) -> Options:
        options = Options(mean=self.mean, covariance=self.covariance, **given)
        _ranges.TOLERANCE(f"{name}(tolerance=...)", options.tolerance)
        if options.evaluations is not None:
            _ranges.EVALUATIONS(f"{name}(evaluations=...)", options.evaluations)
        return options

    def _precision(self, asked: str) -> Precision:
        if asked not in PRECISIONS:
            raise ValueError(f"sample(precision=...) is 'auto', 'float32' or 'bf16', got {shown(asked)}.")
        return as_trained(self.info, self._device) if asked == "auto" else Precision(asked)

    def _given(self, condition: int | Tensor | np.ndarray | None, n: int) -> Tensor | None:
        return None if condition is None else self._conditions(condition, n)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.no_grad()
    def _estimate(self, x: np.ndarray, sigma: float, condition: int | np.ndarray | None) -> Estimate:
        self._check_noised()
        encoded = self.codec.encode(x).to(self._device, self._dtype)
        given = None if condition is None else self._conditions(condition, len(encoded)).to(self._device)
        return self.model(encoded, Level(1.0, float(sigma)), given)

    def _check_noised(self) -> None:
        if isinstance(self.codec, LatentCodec):
            raise ValueError(
                "the noise of this run is on latents, and no picture shows it; give latents that codec.encode made to "
                "model.model, and bring them back by codec.decode."
            )

    def _conditions(self, condition: int | Tensor | np.ndarray, n: int) -> Tensor:
        if self.model.classes == 0:
            raise ValueError("this model is not conditional on a class; leave the class out, or fit with labels.")
        value = torch.as_tensor(condition)
        if value.ndim == 0:
            value = value.expand(n)
        if value.shape != (n,) or value.is_floating_point():
            raise ValueError(
                f"condition must be one class or {n} integers, got shape {tuple(value.shape)} of {value.dtype}."
            )
        if bool(((value < 0) | (value >= self.model.classes)).any()):
            raise ValueError(
                f"classes are 0 to {self.model.classes - 1}, got {int(value.min())} to {int(value.max())}."
            )
        return value.long()

    def _values(self, x: Tensor) -> np.ndarray:
        """Per-coordinate values laid out as records are."""
        return self.codec.layout(x.cpu())

    def _floats(self, x: Tensor) -> np.ndarray:
        """Records in the user's units, not rounded to the data's integers."""
        return self.codec.decode_floats(x.cpu())
