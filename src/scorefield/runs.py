"""The kinds of data: what a run of each answers, and with what. A kind is chosen here and nowhere else.

`TABLES` are rows of columns of every kind, with holes; `RECORDS` are arrays and images; `POSTERIORS` are laws of
parameters given an observation. All have the same small protocol; what stands above talks to it and to no kind by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scorefield import _files
from scorefield.data import Dataset, TableFile, sources
from scorefield.data.streams.opening import many_parquet
from scorefield.data.streams.tableparts import TableParts, holds_mixed
from scorefield.progress import Report, silent

if TYPE_CHECKING:
    from scorefield.plans import Calibration, Plan
    from scorefield.posterior import TrainedPosterior
    from scorefield.posterior.evaluate import Proved
    from scorefield.training.log import Logger
    from scorefield.training.loop import Progress


@dataclass(frozen=True)
class Later:
    """What a module has under a name: the module is imported when it is first asked for, by the kind that needs it.

    Args:
        module: below `scorefield`.
        name: of a function or a class.
    """

    module: str
    name: str

    def __call__(self, *values: Any, **options: Any) -> Any:
        return self.found(*values, **options)

    @property
    def found(self) -> Any:
        """The function or the class."""
        return getattr(import_module(f"scorefield.{self.module}"), self.name)

    def made(self, value: object) -> bool:
        """Whether this is the class of a value, which is not so before its module is imported."""
        return f"scorefield.{self.module}" in sys.modules and isinstance(value, self.found)


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
        stamp: where it stands what model.json calls a run of it.
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
    stamp: Later
    sources: str
    commands: frozenset[str]
    answers: frozenset[str]
    options: frozenset[str]
    no_option: str
    trained: Later
    load: Callable[[str | Path], Any]
    fit: Callable[..., Iterator[Progress]]
    write_samples: Callable[..., None]
    evaluate: Callable[..., Any]
    calibrate: Callable[..., Calibration]
    describe: Callable[[Any], str]
    write_report: Callable[[Path, Any, Any], None]

    @property
    def form(self) -> str:
        """What model.json calls a run of it."""
        return str(self.stamp.found)


def _load_table(folder: str | Path) -> Any:
    return TABLES.trained.found.load(folder)


def _load_records(folder: str | Path) -> Any:
    return RECORDS.trained.found.load(folder)


def _fit_table(source: str | Path | TableFile | TableParts, folder: str | Path, **options: Any) -> Iterator[Progress]:
    """In memory, or read as it is needed where it lies in many files."""
    many = isinstance(source, TableParts) or (isinstance(source, str | Path) and many_parquet(source))
    if not many and "readers" in options:
        raise ValueError(f"{name_of(source)} is a table in memory, so it has no option --readers; leave it out.")
    fit = Later("tables.fit_parts", "fit_parts") if many else Later("tables.fit", "fit")
    trained: Iterator[Progress] = fit(source, folder, **options)
    return trained


TABLES = Kind(
    name="a table",
    stamp=Later("tables.trained", "FORM"),
    sources="a table (.csv, .xlsx, .parquet, ...) or a built-in one, without --energy",
    commands=frozenset({"density", "outliers", "impute", "predict", "export"}),
    answers=frozenset({"sample", "density", "outliers", "impute", "predict"}),
    options=frozenset({"size", "schema", "held_share", "leave_out", "readers"}),
    no_option="a table's class is a column like the others, and its schema says what is spread",
    trained=Later("tables.trained", "TrainedTable"),
    load=_load_table,
    fit=_fit_table,
    write_samples=Later("tables.write", "write_samples"),
    evaluate=Later("tables.evaluate", "evaluate"),
    calibrate=Later("tables.calibrate", "calibrate"),
    describe=Later("report.tables", "describe"),
    write_report=Later("report.tables", "write_report"),
)
RECORDS = Kind(
    name="arrays or images",
    stamp=Later("records.trained", "FORM"),
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
    trained=Later("records.trained", "TrainedModel"),
    load=_load_records,
    fit=Later("records.fit", "fit"),
    write_samples=Later("records.write", "write_samples"),
    evaluate=Later("records.evaluate", "evaluate"),
    calibrate=Later("records.calibrate", "calibrate"),
    describe=Later("report.records", "describe"),
    write_report=Later("report.records", "write_report"),
)


def _load_posterior(folder: str | Path) -> TrainedPosterior:
    """With the folder in its info, where the simulations are that were held out."""
    from scorefield.posterior import TrainedPosterior

    model = TrainedPosterior.load(folder)
    return replace(model, info={**model.info, "folder": str(folder)})


def _no_samples(model: object, path: object, n: int, **options: object) -> None:
    raise ValueError(
        "this run is a posterior, whose draws are given an observation: scorefield posterior RUN obs.csv -o draws.csv."
    )


def _no_plan(model: object, evaluations: int, **options: object) -> Calibration:
    raise ValueError("this run is a posterior, for which no sampler is calibrated; scorefield check RUN proves it.")


def _prove(model: TrainedPosterior, source: str | Path | TableFile, **options: Any) -> Proved:
    """The proof by a table of other simulations."""
    import numpy as np

    from scorefield.posterior.evaluate import Proved, evaluate
    from scorefield.posterior.simulations import simulations

    found = source if isinstance(source, TableFile) else sources.table(source)
    data = model.info.get("data", {})
    sims = simulations(found.frame, model.names, data.get("columns"))
    sims = sims.rows(np.flatnonzero(~sims.failed))
    proof = evaluate(model, sims, **{k: v for k, v in options.items() if k != "steps"})
    return Proved(proof, str(found.path))


POSTERIORS = Kind(
    name="a posterior",
    stamp=Later("posterior.stored", "FORM"),
    sources="a table of simulations with --parameters",
    commands=frozenset({"posterior"}),
    answers=frozenset({"posterior"}),
    options=frozenset({"parameters", "bounds", "prior", "held_share"}),
    no_option="it has parameters and what was observed",
    trained=Later("posterior.trained", "TrainedPosterior"),
    load=_load_posterior,
    fit=Later("posterior.fit", "fit"),
    write_samples=_no_samples,
    evaluate=_prove,
    calibrate=_no_plan,
    describe=Later("report.posteriors", "describe"),
    write_report=Later("report.posteriors", "write_report"),
)
KINDS = (TABLES, RECORDS, POSTERIORS)


def name_of(source: str | Path | TableFile | TableParts | Dataset) -> str:
    """A source as the user called it."""
    if isinstance(source, Dataset | TableParts):
        return source.source
    return str(source.path if isinstance(source, TableFile) else source)


def kind_of_source(
    source: str | Path | TableFile | TableParts | Dataset,
    *,
    energy: bool = False,
    parameters: bool = False,
    grid: bool = False,
    stream: bool = False,
    leave_out: Sequence[str] = (),
    folder: Path | None = None,
) -> Kind:
    """The kind that `fit` takes a source for; many Parquet files are a table where a column holds no numbers.

    Args:
        source: of the data.
        energy: whether an energy is asked for, and so on for the options of `fit`.
        parameters: of a posterior.
        grid: records of their own form.
        stream: records that are read as they are needed.
        leave_out: columns that are not read.
        folder: of a training that is resumed, which stays of its kind.

    Example:
        >>> kind_of_source("people.csv").name, kind_of_source("digits").name
        ('a table', 'arrays or images')
    """
    if parameters:
        return POSTERIORS
    if isinstance(source, Dataset):
        return RECORDS
    if isinstance(source, TableParts):
        return TABLES
    if energy or grid or stream:
        return RECORDS
    if not isinstance(source, TableFile) and many_parquet(source):
        return TABLES if _in_many_files(source, leave_out, folder) else RECORDS
    return TABLES if sources.is_table(source) else RECORDS


def _in_many_files(source: str | Path, leave_out: Sequence[str], folder: Path | None) -> bool:
    """Whether .parquet files are a table, by the training in a folder, else by their columns."""
    path = None if folder is None else folder / "fit.json"
    if path is not None and path.exists():
        return _files.read_json(path).get("format") == TABLES.form
    return holds_mixed(source, leave_out)


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
    found = next((kind for kind in KINDS if kind.trained.made(model)), None)
    if found is None:
        names = " or a ".join(kind.trained.name for kind in KINDS)
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


def evaluate(
    model: Trained,
    source: Any,
    *,
    n: int | None = None,
    steps: int = 18,
    seed: int = 0,
    report: Report = silent,
) -> Comparison:
    """New records of a trained model compared with real ones that it has not seen, each figure beside real data's own.

    Args:
        model: a `TrainedModel`, a `TrainedTable`, or a posterior, whose calibration is tested instead.
        source: real records: a file, a folder of images, the name of a built-in set, a `Dataset`, a data frame (of a
            table); of a posterior a table of other simulations. Where the model was fitted to it, what was held out.
        n: how many records of each to compare; default: all real ones, at most 2,000.
        steps: network evaluations per new record.
        seed: of samples and metrics.
        report: hears how far the work is.

    Returns:
        The comparison: `.table()` is its text, `.to_json()` its numbers, `write_report` makes a page of it.

    Raises:
        TypeError: for a model of no kind that a run has.
        DataError: for records of another kind or other columns than the model's.

    Example:
        >>> from scorefield import Denoiser, TrainedModel, data, fit_codec, nets
        >>> iris = data.load("iris")
        >>> model = TrainedModel(Denoiser(nets.ResidualMLP(4, width=8, depth=1)).eval(), fit_codec(iris))
        >>> evaluate(model, iris, n=20, steps=4).table().splitlines()[0].split()[:2]
        ['20', 'samples']
    """
    found: Comparison = kind_of_model(model).evaluate(model, source, n=n, steps=steps, seed=seed, report=report)
    return found


def write_report(path: str | Path, model: Trained, comparison: Comparison) -> None:
    """One page of HTML about a trained model and how it compares with real records; nothing in it is fetched.

    Args:
        path: to write, .html.
        model: a `TrainedModel`, a `TrainedTable` or a posterior.
        comparison: of it, from `evaluate`.

    Raises:
        TypeError: for a model of no kind that a run has.

    Example:
        >>> from scorefield import Denoiser, TrainedModel, data, fit_codec, nets
        >>> iris = data.load("iris")
        >>> model = TrainedModel(Denoiser(nets.ResidualMLP(4, width=8, depth=1)).eval(), fit_codec(iris))
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = Path(folder) / "report.html"
        ...     write_report(page, model, evaluate(model, iris, n=20, steps=4))
        ...     "</html>" in page.read_text(encoding="utf-8")
        True
    """
    kind_of_model(model).write_report(Path(path), model, comparison)


def fit(
    source: str | TableFile | TableParts | Dataset,
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
    at = Path(folder) if resume else None
    kind = kind_of_source(source, **chosen, leave_out=given.get("leave_out", ()), folder=at)
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
