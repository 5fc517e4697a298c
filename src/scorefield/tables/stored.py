"""What a folder holds of a trained model of a table, and the parts made of it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorefield import nets
from scorefield._files import shown
from scorefield.analytic import GaussianMixture
from scorefield.likelihood.level_density import KNOTS, MOST_HEIGHT, MOST_STEPS, USUAL, LevelDensity
from scorefield.plans import Plan
from scorefield.plans.plan import plans_from_json
from scorefield.tables.code_table import TENSORS as CODES
from scorefield.tables.code_table import code_table_from
from scorefield.tables.codec import RowCodec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.network import MaskedMLP, inference_dtype
from scorefield.tables.recalibration import Recalibration
from scorefield.tables.repeats import NEAR, Repeats, repeats_from
from scorefield.tables.repeats import TENSORS as REPEATS
from scorefield.training import parallel

NETWORK = "masked-mlp"
"""What model.json calls the network."""
_REFERENCE = ("reference/weights", "reference/means", "reference/covariances")
_LEVELS = "training/log_densities"
_CODE_GAINS = "codes/gains"
_RECALIBRATION = "recalibration"


class Parts(NamedTuple):
    """The fields of a `TrainedTable`, in its order."""

    model: MaskedDenoiser
    codec: RowCodec
    plans: Mapping[int, Plan]
    info: Mapping[str, Any]
    training_log_densities: Tensor | None
    recalibration: Recalibration | None
    repeats: Repeats | None


def stored(parts: Parts) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON-able header and the tensors of a folder."""
    network = parts.model.network
    tensors = {name: parallel.whole(value).contiguous() for name, value in network.state_dict().items()}
    tensors["log_frequencies"] = parts.model.log_frequencies.cpu()
    tensors["gains"] = parts.model.shrinkage.cpu()
    tensors[_CODE_GAINS] = parts.model.code_gains.cpu()
    if parts.model.reference is not None:
        law = parts.model.reference.law
        moments = (law.weights, law.means, law.covariances)
        tensors |= {name: v.cpu() for name, v in zip(_REFERENCE, moments, strict=True)}
    if parts.model.code_table is not None:
        tensors |= parts.model.code_table.tensors()
    if parts.training_log_densities is not None:
        tensors[_LEVELS] = parts.training_log_densities
    if parts.recalibration is not None:
        tensors[_RECALIBRATION] = parts.recalibration.parameters
    if parts.repeats is not None:
        tensors |= parts.repeats.tensors()
    header = {
        "network": {"name": NETWORK, "config": network.config},
        "sigma_min": parts.model.sigma_min,
        "sigma_max": parts.model.sigma_max,
        "codec": parts.codec.to_json(),
        "plans": {str(n): plan.to_json() for n, plan in parts.plans.items()},
        "info": dict(parts.info),
    }
    density = parts.model.level_density
    if density != USUAL:
        header["level_density"] = {"heights": list(density.heights), "steps": density.steps}
    return header, tensors


def read(header: dict[str, Any], tensors: dict[str, Tensor], device: torch.device | str = "cpu") -> Parts:
    """The parts that `stored` described.

    Raises:
        ValueError: for another network, or parts that do not fit together.
    """
    if header["network"]["name"] != NETWORK:
        raise ValueError(f"a table's network is a {NETWORK}, got {header['network']['name']!r}")
    own = ("log_frequencies", "gains", _CODE_GAINS, _LEVELS, _RECALIBRATION, *_REFERENCE, *CODES, *REPEATS, *NEAR)
    weights = {name: value for name, value in tensors.items() if name not in own}
    network = nets.rebuilt(MaskedMLP, header["network"]["config"], weights)
    codec = RowCodec.from_json(header["codec"])
    _check_codec(codec, network)
    reference = GaussianMixture(*(tensors[name] for name in _REFERENCE)) if _REFERENCE[0] in tensors else None
    low, high = float(header["sigma_min"]), float(header["sigma_max"])
    model = MaskedDenoiser(
        inference_dtype(network),
        reference,
        tensors["log_frequencies"],
        shrinkage=tensors.get("gains"),
        code_gains=tensors.get(_CODE_GAINS),
        sigma_min=low,
        sigma_max=high,
        code_table=code_table_from(tensors, codec.sizes),
        level_density=_level_density(header.get("level_density"), low, high),
    )
    return Parts(
        model.to(device).eval(),
        codec,
        plans_from_json(header["plans"]),
        header["info"],
        tensors.get(_LEVELS),
        _recalibration(tensors.get(_RECALIBRATION), codec.continuous),
        repeats_from(tensors, codec.shape[0]),
    )


def _level_density(given: dict[str, Any] | None, low: float, high: float) -> LevelDensity:
    """As stored; the usual one in runs of earlier versions."""
    if given is None:
        return USUAL
    heights, steps = [float(v) for v in given["heights"]], int(given["steps"])
    if (
        len(heights) != KNOTS
        or not all(0 <= v <= MOST_HEIGHT for v in heights)
        or steps not in range(2, MOST_STEPS + 1, 2)
    ):
        raise ValueError(
            f"a density of levels has {KNOTS} heights from 0 to {MOST_HEIGHT:g} and an even number of steps up to "
            f"{MOST_STEPS}, got {shown(given)}"
        )
    return LevelDensity.of_heights(math.log(low), math.log(high), heights, steps)


def _recalibration(parameters: Tensor | None, numbers: int) -> Recalibration | None:
    """As stored; None in runs of earlier versions."""
    if parameters is not None and tuple(parameters.shape[1:2]) != (numbers,):
        raise ValueError(f"a recalibration of {numbers} numbers is {tuple(parameters.shape)}")
    return None if parameters is None else Recalibration(parameters.double())


def _check_codec(codec: RowCodec, network: MaskedMLP) -> None:
    """Raise unless a stored codec fits the network and its rows, full and empty, come back."""
    if (codec.continuous, codec.sizes) != (network.dim, network.sizes):
        raise ValueError(
            f"the network is for {network.dim} numbers and codes of {shown(network.sizes)}, and the schema for "
            f"{codec.continuous} and {shown(codec.sizes)}"
        )
    rows = torch.zeros(2, *codec.shape, dtype=torch.float64)
    rows[1] = math.nan
    codec.encode(codec.decode(rows))
