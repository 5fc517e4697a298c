"""The kinds of data: what a run of each answers, and with what. A kind is chosen here and nowhere else.

`TABLES` are rows of columns of every kind, with holes; `RECORDS` are arrays and images; `POSTERIORS` are laws of
parameters given an observation. All have the same small protocol; what stands above talks to it and to no kind by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scorefield import _files, records, tables
from scorefield.data import Dataset, TableFile, sources
from scorefield.plans import Calibration, Plan
from scorefield.posterior import TrainedPosterior
from scorefield.posterior import evaluate as _posterior_evaluate
from scorefield.posterior import fit as _posterior_fit
from scorefield.posterior import stored as _posterior_stored
from scorefield.posterior.simulations import simulations
from scorefield.progress import Report, silent
from scorefield.records import calibrate as _records_calibrate
from scorefield.records import evaluate as _records_evaluate
from scorefield.records import fit as _records_fit
from scorefield.records import trained as _records_trained
from scorefield.records import write as _records_write
from scorefield.report import posteriors as _posterior_report
from scorefield.report import records as _records_report
from scorefield.report import tables as _tables_report
from scorefield.tables import calibrate as _tables_calibrate
from scorefield.tables import evaluate as _tables_evaluate
from scorefield.tables import fit as _tables_fit
from scorefield.tables import trained as _tables_trained
from scorefield.tables import write as _tables_write
from scorefield.training.log import Logger
from scorefield.training.loop import Progress


class Trained(Protocol):
    """A trained model of any kind of data."""

    @property
    def plans(self) -> Mapping[int, Plan]:
        """Stored plans by number of evaluations."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """What is known of its data and training."""
        ...

    def plan(self, steps: int) -> Plan:
        """The plan that so many evaluations take."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write it to a folder."""
        ...


class Comparison(Protocol):
    """New records compared with real ones."""

    def table(self) -> str:
        """The figures as text."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Args:
        name: in messages.
        form: what model.json calls a run of it.
        sources: what is fitted so, in words.
        commands: of the command line that runs of this kind answer, apart from those that all do.
        answers: what `scorefield serve` answers of a run of this kind.
        options: of `fit` that this kind has.
        no_option: why it has not the others.
        trained: the class of its trained models.
        load: folder -> trained model.
        fit: (source, folder, settings=, resume=, **options) -> the training, step by step.
        write_samples: (model, path, n, steps=, seed=, condition=, guidance=, given=, repeats=, precision=, first=,
            report=): new records to a file.
        evaluate: (model, source, n=, steps=, seed=) -> Comparison.
        calibrate: (model, evaluations, search=, seed=, report=) -> Calibration: a plan fitted to the model.
        describe: model -> what is known of it, as text.
        write_report: (path, model, comparison): an HTML page.
    """

    name: str
    form: str
    sources: str
    commands: frozenset[str]
    answers: frozenset[str]
    options: frozenset[str]
    no_option: str
    trained: type
    load: Callable[[str | Path], Any]
    fit: Callable[..., Iterator[Progress]]
    write_samples: Callable[..., None]
    evaluate: Callable[..., Any]
    calibrate: Callable[..., Calibration]
    describe: Callable[[Any], str]
    write_report: Callable[[Path, Any, Any], None]


TABLES = Kind(
    name="a table",
    form=_tables_trained.FORM,
    sources="a table (.csv, .xlsx, .parquet, ...) or a built-in one, without --energy",
    commands=frozenset({"density", "outliers", "impute", "predict", "export"}),
    answers=frozenset({"sample", "density", "outliers", "impute", "predict"}),
    options=frozenset({"size", "schema", "held_share"}),
    no_option="a table's class is a column like the others, and its schema says what is spread",
    trained=tables.TrainedTable,
    load=tables.TrainedTable.load,
    fit=_tables_fit.fit,
    write_samples=_tables_write.write_samples,
    evaluate=_tables_evaluate.evaluate,
    calibrate=_tables_calibrate.calibrate,
    describe=_tables_report.describe,
    write_report=_tables_report.write_report,
)
RECORDS = Kind(
    name="arrays or images",
    form=_records_trained.FORM,
    sources="a .npy or .npz file, a folder of images, digits or a toy, or a table of numbers with --energy",
    commands=frozenset({"restore", "distil", "forecast", "export"}),
    answers=frozenset({"sample", "density", "denoise", "score"}),
    options=frozenset(
        {
            "size",
            "network",
            "energy",
            "labels",
            "dequantise",
            "held_share",
            "images",
            "grid",
            "autoencoder",
            "stream",
            "leave_out",
            "readers",
        }
    ),
    no_option="only a table has columns of several kinds",
    trained=records.TrainedModel,
    load=records.TrainedModel.load,
    fit=_records_fit.fit,
    write_samples=_records_write.write_samples,
    evaluate=_records_evaluate.evaluate,
    calibrate=_records_calibrate.calibrate,
    describe=_records_report.describe,
    write_report=_records_report.write_report,
)


def _load_posterior(folder: str | Path) -> TrainedPosterior:
    """With the folder in its info, where the simulations are that were held out."""
    model = TrainedPosterior.load(folder)
    return replace(model, info={**model.info, "folder": str(folder)})


def _no_samples(model: object, path: object, n: int, **options: object) -> None:
    raise ValueError(
        "this run is a posterior, whose draws are given an observation: scorefield posterior RUN obs.csv -o draws.csv."
    )


def _no_plan(model: object, evaluations: int, **options: object) -> Calibration:
    raise ValueError("this run is a posterior, for which no sampler is calibrated; scorefield check RUN proves it.")


def _prove(model: TrainedPosterior, source: str | Path | TableFile, **options: Any) -> _posterior_evaluate.Proved:
    """The proof by a table of other simulations."""
    found = source if isinstance(source, TableFile) else sources.table(source)
    data = model.info.get("data", {})
    sims = simulations(found.frame, model.names, data.get("columns"))
    sims = sims.rows(np.flatnonzero(~sims.failed))
    proof = _posterior_evaluate.evaluate(model, sims, **{k: v for k, v in options.items() if k != "steps"})
    return _posterior_evaluate.Proved(proof, str(found.path))


POSTERIORS = Kind(
    name="a posterior",
    form=_posterior_stored.FORM,
    sources="a table of simulations with --parameters",
    commands=frozenset({"posterior"}),
    answers=frozenset({"posterior"}),
    options=frozenset({"parameters", "bounds", "prior", "held_share"}),
    no_option="it has parameters and what was observed",
    trained=TrainedPosterior,
    load=_load_posterior,
    fit=_posterior_fit.fit,
    write_samples=_no_samples,
    evaluate=_prove,
    calibrate=_no_plan,
    describe=_posterior_report.describe,
    write_report=_posterior_report.write_report,
)
KINDS = (TABLES, RECORDS, POSTERIORS)


def name_of(source: str | Path | TableFile | Dataset) -> str:
    """A source as the user called it."""
    if isinstance(source, Dataset):
        return source.source
    return str(source.path if isinstance(source, TableFile) else source)


def kind_of_source(
    source: str | Path | TableFile | Dataset,
    *,
    energy: bool = False,
    parameters: bool = False,
    grid: bool = False,
    stream: bool = False,
) -> Kind:
    """The kind that `fit` takes a source for.

    Example:
        >>> kind_of_source("people.csv").name, kind_of_source("digits").name
        ('a table', 'arrays or images')
    """
    if parameters:
        return POSTERIORS
    if isinstance(source, Dataset):
        return RECORDS
    return TABLES if sources.is_table(source) and not energy and not grid and not stream else RECORDS


def kind_of_run(folder: str | Path) -> Kind:
    """The kind of the model in a folder.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    path = Path(folder) / "model.json"
    form = _files.read_json(path).get("format")
    found = next((kind for kind in KINDS if kind.form == form), None)
    if found is None:
        raise _files.FileError(
            f"{path}: expected a run of {' or of '.join(kind.name for kind in KINDS)}, got {_files.shown(form)}; "
            "give the folder that `scorefield fit` wrote."
        )
    return found


def kind_of_model(model: object) -> Kind:
    """The kind of a trained model in memory; a TypeError for anything else."""
    found = next((kind for kind in KINDS if isinstance(model, kind.trained)), None)
    if found is None:
        names = " or a ".join(kind.trained.__name__ for kind in KINDS)
        raise TypeError(f"expected a {names}, got {type(model).__name__}; load one from its folder.")
    return found


def load(folder: str | Path) -> Any:
    """The trained model in a folder, of whichever kind it is; errors as `kind_of_run`."""
    return kind_of_run(folder).load(folder)


def load_for(folder: str | Path, command: str) -> Any:
    """The trained model in a folder, for a command that not every kind answers.

    Args:
        folder: that `scorefield fit` wrote.
        command: of the command line.

    Raises:
        ValueError: for a run of a kind that has no such answer.
    """
    kind = kind_of_run(folder)
    if command not in kind.commands:
        others = [k for k in KINDS if command in k.commands]
        names, data = (" or ".join(values) for values in zip(*((k.name, k.sources) for k in others), strict=True))
        raise ValueError(
            f"{folder} is a run of {kind.name}, and `scorefield {command}` answers for {names} only; for such a run "
            f"fit {data}."
        )
    return kind.load(folder)


def fit(
    source: str | TableFile | Dataset,
    folder: str | Path,
    *,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    resume: bool = False,
    report: Report = silent,
    log: Sequence[Logger] = (),
) -> Iterator[Progress]:
    """Fit a source of any kind and write the run to a folder, one training step per turn of the loop.

    Args:
        source: a file, a folder of images, the name of a built-in data set, or a table or images that were read.
        folder: to write the run to.
        settings: fields of `Settings`; None among them is as if left out.
        options: of the kind's own `fit`; None among them is as if left out.
        resume: go on with what the folder holds.
        report: hears how far the fit of a posterior is, which has no steps of its own.
        log: who is told of the training.

    Raises:
        ValueError: for an option that this kind of data has not.
    """
    given = {name: value for name, value in options.items() if value is not None}
    chosen = {name: bool(given.get(name)) for name in ("energy", "parameters", "grid", "stream")}
    kind = kind_of_source(source, **chosen)
    for name in given:
        if name not in kind.options:
            raise ValueError(
                f"{name_of(source)} is fitted as {kind.name}, which has no option {OPTIONS[name]}: {kind.no_option}; "
                "leave it out."
            )
    if kind is POSTERIORS:
        if log:
            raise ValueError("a posterior is fitted in several trainings, none of which is logged; leave --log out.")
        given["report"] = report
    else:
        given["log"] = log
    return kind.fit(source, folder, settings=settings, resume=resume, **given)


OPTIONS = {
    "energy": "--energy",
    "labels": "--condition",
    "dequantise": "--dequantise",
    "schema": "--schema",
    "held_share": "--held",
    "size": "--size",
    "network": "--network",
    "images": "--image-size",
    "grid": "--records",
    "autoencoder": "--autoencoder",
    "stream": "--stream",
    "readers": "--readers",
    "leave_out": "--leave-out",
    "parameters": "--parameters",
    "bounds": "--bounds",
    "prior": "--prior",
}
"""Options of `fit` as the command line calls them."""
