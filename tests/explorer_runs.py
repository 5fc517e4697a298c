"""Sessions of the explorer on networks that were never trained, with answers that are not trivial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from scorefield.analytic import GaussianMixture
from scorefield.data import load
from scorefield.denoiser import Denoiser
from scorefield.explorer.session import Session
from scorefield.nets import ResidualMLP, UNet
from scorefield.records.codec import fit_codec
from scorefield.records.held import digest
from scorefield.records.trained import TrainedModel
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.network import MaskedMLP

Model = TypeVar("Model", bound=torch.nn.Module)


def stirred(model: Model) -> Model:
    """A network that has not been trained, with answers that are not trivial."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.02 * torch.randn(value.shape, generator=generator)
    return model.eval()


def points_session() -> Session:
    """On a run of points of the plane."""
    codec = fit_codec(load("moons"))
    return Session(TrainedModel(stirred(Denoiser(ResidualMLP(2, width=16, depth=1))), codec), "moons")


def digits_session() -> Session:
    """On a run of images."""
    pytest.importorskip("sklearn")
    dataset = load("digits")
    network = UNet((8, 8), base=8, multipliers=(1,), blocks=1, classes=10, attention=False)
    info = {
        "data": {"source": "digits", "records": digest(dataset.records), "held_share": 0.1},
        "training": {"settings": {"seed": 3}},
    }
    run = TrainedModel(stirred(Denoiser(network)), fit_codec(dataset), frequencies=(0.1,) * 10, info=info)
    return Session(run, "digits")


def mixed_table_session(folder: Path) -> Session:
    """On a run of a table of numbers, whole numbers, times, categories, a point mass and holes, whose file is there."""
    import numpy as np
    import pandas as pd

    from scorefield.data.splitting import split
    from scorefield.tables.codec import fit_row_codec
    from scorefield.tables.held import digest
    from scorefield.tables.mixture import fit_mixture
    from scorefield.tables.trained import TrainedTable

    rng = np.random.default_rng(0)
    n = 160
    town = rng.choice(["Bern", "Lyon", "Wien"], n)
    area = np.exp(rng.normal(4.0, 0.3, n)).round(1)
    frame = pd.DataFrame({"town": town, "area": area, "rooms": rng.integers(1, 60, n)})
    frame["price"] = (np.where(town == "Bern", 300.0, 100.0) * area * np.exp(rng.normal(0, 0.1, n))).round()
    frame["garden"] = np.where(rng.random(n) < 0.4, 0.0, rng.normal(50, 10, n).round(2))
    frame["sold"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.permutation(4 * n)[:n], unit="D")
    frame.loc[::9, "town"] = None
    frame.to_csv(folder / "homes.csv", index=False)
    keep, _ = split(n, 0.25, 0)
    codec = fit_row_codec(frame.iloc[keep])
    rows = codec.encode(frame)
    data = {"source": str(folder / "homes.csv"), "records": digest(rows[keep]), "held_share": 0.25}
    network = MaskedMLP(codec.continuous, codec.sizes, width=8, depth=1)
    model = stirred(MaskedDenoiser(network, fit_mixture(rows[:, : codec.continuous], 2)))
    run = TrainedTable(model, codec, info={"data": data, "training": {"settings": {"seed": 0}}})
    levels = run.reference_log_density(rows[keep]).sort().values
    return Session(replace(run, training_log_densities=levels), "homes")


def table_session() -> Session:
    """On a run of a table of two numbers."""
    pd = pytest.importorskip("pandas")
    from scorefield.tables.codec import fit_row_codec
    from scorefield.tables.trained import TrainedTable

    x = GaussianMixture(torch.ones(2), torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.2 * torch.eye(2).expand(2, 2, 2))
    codec = fit_row_codec(pd.DataFrame(x.sample(300, 0).numpy(), columns=["a", "b"]))
    law = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    return Session(TrainedTable(MaskedDenoiser(MaskedMLP(2, width=16, depth=1), law).eval(), codec), "two columns")


def posterior_session(folder: Path) -> Session:
    """On a run of a posterior that has learned next to nothing, with the simulations that were held out."""
    import numpy as np
    import pandas as pd

    from posteriors import simulations
    from scorefield.explorer.session import opened
    from scorefield.posterior.fit import fit

    table = pd.DataFrame(np.concatenate(simulations(220, 1), 1), columns=["drift", "rate", "low", "mid", "high"])
    table.to_csv(folder / "sims.csv", index=False)
    list(fit(folder / "sims.csv", folder / "run", settings={"steps": 4}, parameters=["drift", "rate"]))
    return opened(folder / "run")
