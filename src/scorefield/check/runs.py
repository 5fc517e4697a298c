"""All laws together: on the library and, for a trained model, on that model with its held-out records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scorefield import metrics, runs
from scorefield.check.exact import library
from scorefield.check.models import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.check.tables import of_table
from scorefield.data import DataError, Dataset, TableFile
from scorefield.data.sources import table
from scorefield.posterior import TrainedPosterior
from scorefield.posterior.evaluate import evaluate as prove
from scorefield.posterior.fit import held_out as held_simulations
from scorefield.posterior.simulations import Simulations, simulations
from scorefield.records.encoded import Encoded
from scorefield.records.held import held_out as held_records
from scorefield.tables.held import held_out as held_rows


def laws(model: Any = None, data: str | Path | Dataset | None = None, *, seed: int = 0) -> CheckReport:
    """The laws on the installed library and, for a trained model, on that model.

    Args:
        model: a trained model; None: the library alone, with exact models.
        data: records to hold against it; if they are what it was fitted to, its held-out rows are taken. Default: what
            it was fitted to, where that can be loaded again.
        seed: of all noise.

    Raises:
        DataError: for data given that cannot be read, or do not fit the model.

    Example:
        >>> laws().passed
        True
    """
    rows = library(seed)
    if model is None:
        return CheckReport(rows)
    own = of_trained(model, data, seed=seed)
    return CheckReport((*rows, *own.rows), own.note)


def of_trained(model: Any, data: Any = None, *, seed: int = 0) -> CheckReport:
    """The laws on a trained model alone; arguments as `laws`."""
    return _LAWS[runs.kind_of_model(model).form](model, data, seed)


def _of_records(model: Any, data: Any, seed: int) -> CheckReport:
    held = held_records(model, data, seed=seed)
    rows = of_model(
        model.model, held.x, condition=held.condition, plan=model.plan(18), shape=model.codec.shape, seed=seed
    )
    if held.x is not None and held.training is not None:
        rows = (*rows, _memorisation(model, held.x, held.training, seed))
    return CheckReport(rows, held.note)


def _of_table(model: Any, data: Any, seed: int) -> CheckReport:
    held = held_rows(model, data)
    return CheckReport(of_table(model, held, seed=seed), held.note)


def _of_posterior(model: TrainedPosterior, data: Any, seed: int) -> CheckReport:
    """The proof of calibration, a law for each test, by the simulations that were held out."""
    try:
        sims = _simulations(model, data)
    except DataError as why:
        if data is not None:
            raise
        return CheckReport((), f"Calibration was not proved: {why}")
    proof = prove(model, sims, draws=99, seed=seed)
    rows = tuple(
        Row(f"posterior: {one.name}", one.test.p, proof.own_level, f"{_MEANING.get(one.name, _RANKS)} (p-value)", True)
        for one in proof.all
    )
    return CheckReport(rows, "\n".join([proof.verdict, *(f.text for f in proof.findings if f.good is False)]))


_RANKS = "the truth ranks among the draws as any of them"
_MEANING = {
    "regions": "regions of highest density hold the truth as often as they say",
    "distances": "truth and draws are equally far from reference points (TARP)",
}


def _simulations(model: TrainedPosterior, data: Any) -> Simulations:
    if data is None:
        return held_simulations(model.info.get("folder", ""), model.info)
    found = data if isinstance(data, TableFile) else table(data)
    sims = simulations(found.frame, model.names, model.info.get("data", {}).get("columns"))
    return sims.rows(np.flatnonzero(~sims.failed))


def _memorisation(model: Any, held: Tensor, training: Encoded, seed: int) -> Row:
    n = min(len(held), 500)
    new = model.codec.encode(model.sample(n, seed=seed))
    ratio = metrics.memorisation(new, training, held[:n].cpu())
    text = "distance of new records to their nearest training record, over that of held-out ones"
    return Row("model: memorisation", ratio, 0.8, text, at_least=True)


_LAWS: Mapping[str, Callable[[Any, Any, int], CheckReport]] = {
    runs.RECORDS.form: _of_records,
    runs.TABLES.form: _of_table,
    runs.POSTERIORS.form: _of_posterior,
}
"""For each kind of data the laws of its models."""
