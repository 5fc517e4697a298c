"""Sessions of the explorer on networks that were never trained, with answers that are not trivial."""

from __future__ import annotations

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


def stirred(model: Denoiser) -> Denoiser:
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
    network = UNet(8, 8, base=8, multipliers=(1,), blocks=1, classes=10, attention=False)
    info = {
        "data": {"source": "digits", "records": digest(dataset.records), "held_share": 0.1},
        "training": {"settings": {"seed": 3}},
    }
    run = TrainedModel(stirred(Denoiser(network)), fit_codec(dataset), frequencies=(0.1,) * 10, info=info)
    return Session(run, "digits")


def table_session() -> Session:
    """On a run of a table of two numbers."""
    pd = pytest.importorskip("pandas")
    from scorefield.tables.codec import fit_row_codec
    from scorefield.tables.trained import TrainedTable

    x = GaussianMixture(torch.ones(2), torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.2 * torch.eye(2).expand(2, 2, 2))
    codec = fit_row_codec(pd.DataFrame(x.sample(300, 0).numpy(), columns=["a", "b"]))
    law = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    return Session(TrainedTable(MaskedDenoiser(MaskedMLP(2, width=16, depth=1), law).eval(), codec), "two columns")
