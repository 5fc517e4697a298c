"""What all estimators share: parameters, tables in and out, training, copies, the folder."""

from __future__ import annotations

import numbers
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from scorefield import __version__, _files
from scorefield.data.dataset import Array
from scorefield.estimators.few import few_rows
from scorefield.tables.detection import detect
from scorefield.tables.fit import MIN_ROWS, SIZES, Encoded, TableFit, settings_for
from scorefield.tables.schema import Name, Schema
from scorefield.tables.series import as_frame
from scorefield.tables.trained import TrainedTable
from scorefield.training.loop import Progress

if TYPE_CHECKING:
    import pandas as pd

_FILES = ("model.json", "model.safetensors")
_HEADER = "estimator.json"


@dataclass(kw_only=True, eq=False, repr=False)
class TableEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """One model of a table behind scikit-learn's conventions.

    Tables are arrays of numbers or data frames with columns of any kind; NaN and other missing values are holes, and
    used. Columns of data frames are told apart by name, and those of arrays by place.

    Args:
        seconds: of training; None: no limit, where steps are given.
        steps: of the optimiser; None: no limit. Only where the steps, and not the clock, end the training does the same
            random_state give the same model.
        size: of the network: "auto", "small", "medium" or "large".
        schema: of the columns: a `Schema`, or a mapping of column names to what `scorefield.tables.detect` takes as
            given; None: detected.
        sampling_steps: evaluations of the network for the numbers of a row that is drawn.
        tolerance: of log-densities, in nats.
        random_state: of the training; and of draws, where they are not given one of their own.
        unseen: what is done with values that training had no room for (a new category, a number beyond a bound):
            "error", or "missing": they are taken as holes. A `ScoreOutlier` gives them a density of 0 instead.
        verbose: whether to show the training's progress.
    """

    seconds: float | None = 60.0
    steps: int | None = None
    size: str = "auto"
    schema: Schema | Mapping[str, Mapping[str, Any]] | None = None
    sampling_steps: int = 18
    tolerance: float = 1e-3
    random_state: int | np.random.RandomState | None = None
    verbose: bool = False

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = self.steps is None  # the clock then ends the training
        return tags

    # ---------------------------------------------------------------------------------------------------- tables

    def _read(self, X: Any, *, reset: bool = False) -> pd.DataFrame:
        """X as a data frame, checked by scikit-learn's rules; its index is kept."""
        import pandas as pd

        if not reset:
            check_is_fitted(self, "table_")
        if isinstance(X, pd.DataFrame):
            if len(X) < 1 + reset or not len(X.columns):
                raise ValueError(
                    f"Found array with {len(X)} sample(s) and {len(X.columns)} feature(s) while a minimum of "
                    f"{1 + reset} and 1 is required."
                )
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset:
                self.array_dtype_ = None
                return X
            return X.set_axis(self.table_.codec.schema.names[: X.shape[1]], axis=1)
        X = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=1 + reset)
        if reset:
            self.array_dtype_ = str(X.dtype)
        return as_frame(X, None if reset else self.table_.codec.schema.names[: X.shape[1]])

    def _unseen_as_holes(self, frame: pd.DataFrame, target: Name = None) -> pd.DataFrame:
        """The frame with holes in place of values that training had no room for, where these are allowed.

        Args:
            frame: with all columns of the model.
            target: a column that is left alone.
        """
        if self.unseen not in ("error", "missing"):
            raise ValueError(f"unseen must be 'error' or 'missing', got {self.unseen!r}.")
        if self.unseen == "error":
            return frame
        codec = self.table_.codec
        unknown = dict(zip(codec.schema.names, codec.misfits(frame).T, strict=True))
        return frame.assign(
            **{name: frame[name].mask(bad) for name, bad in unknown.items() if name != target and bad.any()}
        )

    def _written(self, frame: pd.DataFrame) -> pd.DataFrame | Array:
        """A frame as the container that `fit` was given."""
        return frame if self.array_dtype_ is None else frame.to_numpy(dtype=self.array_dtype_)

    # -------------------------------------------------------------------------------------------------- training

    def _schema_of(self, frame: pd.DataFrame) -> Schema:
        if isinstance(self.schema, Schema):
            return self.schema
        if self.schema is not None and not isinstance(self.schema, Mapping):
            raise TypeError(f"schema must be a Schema, a mapping or None, got {type(self.schema).__name__}.")
        return detect(frame, self.schema)

    def _seed(self, random_state: int | np.random.RandomState | None = None) -> int:
        chosen = self.random_state if random_state is None else random_state
        if isinstance(chosen, numbers.Integral):
            return int(chosen)
        return int(check_random_state(chosen).randint(2**31 - 1))

    def _train(self, frame: pd.DataFrame, schema: Schema, *, levels: bool = False) -> None:
        """Fit the model of the rows: `table_`, with the densities of training rows if its percentiles are wanted."""
        if self.size not in ("auto", *SIZES):
            raise ValueError(f"size must be 'auto' or one of {', '.join(map(repr, SIZES))}, got {self.size!r}.")
        seed = self._seed()
        done: dict[str, float] = {}
        if len(frame) >= MIN_ROWS:
            settings = settings_for(len(frame), steps=self.steps, seconds=self.seconds, seed=seed)
            made = TableFit.of(Encoded.of(frame, seed, schema), seed, self.size)
            for progress in self._shown(made.preparation().train(settings)):
                done = {"steps": progress.step, "seconds": round(progress.seconds, 1)}
        else:
            warnings.warn(
                f"{len(frame)} rows are too few to train a network on ({MIN_ROWS} are needed): the model is one "
                "Gaussian of the numbers and the frequencies of the codes.",
                stacklevel=3,
            )
            made = few_rows(frame, schema, seed)
        data = {"rows": len(made.encoded.training), "source": type(self).__name__}
        table = made.table({"training": done, "data": data, "version": __version__})
        self.table_ = made.with_percentiles(table) if levels else table

    def _shown(self, training: Iterator[Progress]) -> Iterator[Progress]:
        """The training, with a bar that shows its progress if wanted."""
        if not self.verbose:
            return training
        from tqdm import tqdm

        return iter(tqdm(training, total=self.steps, unit=" steps", desc=type(self).__name__))

    # ---------------------------------------------------------------------------------------- copies, the folder

    def __getstate__(self) -> dict[str, Any]:
        """Plain values; the model as the bytes of the files that `save` writes."""
        state = {**super().__getstate__()}
        if "table_" in state:
            with tempfile.TemporaryDirectory() as folder:
                state.pop("table_").save(folder)
                state["files_"] = {name: Path(folder, name).read_bytes() for name in _FILES}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        files = state.pop("files_", None)
        super().__setstate__(state)
        if files is not None:
            with tempfile.TemporaryDirectory() as folder:
                for name in _FILES:
                    Path(folder, name).write_bytes(files[name])
                self.table_ = TrainedTable.load(folder)

    def save(self, folder: str | Path) -> None:
        """Write the fitted estimator: the files of `TrainedTable.save`, and the parameters in `estimator.json`.

        A random_state that is no whole number is left out.
        """
        check_is_fitted(self, "table_")
        params = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        if not isinstance(params["random_state"], int):
            params["random_state"] = None
        fitted = {name: _plain(v) for name, v in vars(self).items() if name.endswith("_") and name != "table_"}
        self.table_.save(folder)
        _files.write_json(
            Path(folder) / _HEADER,
            {"format": "scorefield estimator", "class": type(self).__name__, "params": params, "fitted": fitted},
        )

    @classmethod
    def from_table(cls, table: TrainedTable, **params: Any) -> Self:
        """A fitted estimator over a model that is there already: one model for every question.

        Args:
            table: from `TrainedTable.load`, or the `table_` of another estimator.
            params: of the estimator; a `ScoreRegressor` predicts the table's last column, which its X lacks.

        Example:
            >>> from scorefield import ScoreDensity, ScoreImputer
            >>> X = np.random.default_rng(0).normal(size=(40, 2))
            >>> density = ScoreDensity(steps=2, random_state=0).fit(X)
            >>> imputer = ScoreImputer.from_table(density.table_, draws=3)
            >>> imputer.transform(np.array([[np.nan, 0.5]])).shape
            (1, 2)
        """
        made = cls(**params)
        made.table_ = table
        made._adopt(list(table.codec.schema.names))
        return made

    def _adopt(self, names: list[Name]) -> None:
        """Set what `fit` learns of the columns of X, from a table's names."""
        self.n_features_in_ = len(names)
        plain = names == list(as_frame(np.zeros((1, len(names)))).columns)
        self.array_dtype_ = "float64" if plain else None
        if not plain and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read the folder that `save` wrote.

        Raises:
            FileError: for a missing, truncated or foreign file, or another estimator's folder.
        """
        path = Path(folder) / _HEADER
        header = _files.read_json(path)
        if header.get("format") != "scorefield estimator" or header.get("class") != cls.__name__:
            got = _files.shown(header.get("class") or header.get("format"))
            raise _files.FileError(f"{path}: expected a {cls.__name__}, got {got}; load it with its own class.")
        with _files.reading(path, f"a {cls.__name__}"):
            params = dict(header["params"])
            if isinstance(params.get("schema"), dict) and "names_dtype" in params["schema"]:
                params["schema"] = Schema.from_json(params["schema"])
            made = cls(**params)
            for name, value in header["fitted"].items():
                if not _FITTED.fullmatch(name) or hasattr(cls, name):
                    raise ValueError(f"{_files.shown(name)} is no attribute of a fitted estimator")
                setattr(made, name, np.array(value, dtype=object) if name == "feature_names_in_" else value)
        made.table_ = TrainedTable.load(folder)
        return made


_FITTED = re.compile(r"[a-z][a-z0-9_]*_")  # what `fit` sets ends in an underscore


def _plain(value: Any) -> Any:
    """A parameter or attribute as JSON has it."""
    if isinstance(value, Schema):
        return value.to_json()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else value
