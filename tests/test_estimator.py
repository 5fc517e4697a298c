"""The estimators keep scikit-learn's conventions, and their answers are those of the model behind them."""

import pickle
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
pd = pytest.importorskip("pandas")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from scorefield._files import FileError  # noqa: E402
from scorefield.estimators import ScoreDensity, ScoreImputer, ScoreOutlier, ScoreRegressor  # noqa: E402
from scorefield.estimators._base import TableEstimator  # noqa: E402
from scorefield.tables.detection import detect  # noqa: E402
from scorefield.tables.schema import Column, Schema  # noqa: E402

FAST: dict[str, Any] = {"steps": 2, "seconds": None, "random_state": 0}
ROUGH: dict[str, Any] = {**FAST, "tolerance": 0.1}
KINDS = (ScoreDensity, ScoreImputer, ScoreOutlier, ScoreRegressor)


SHARED: dict[tuple[Any, ...], Any] = {}  # the models of the checks' tables


@pytest.fixture
def shared_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that fit the same numbers in the same way share the model; read-only numbers have models of their own.

    The check that a fit is the same every time trains each of its models: the others may then take it as given.
    """
    train, check = TableEstimator._train, request.node.name

    def shared(self: TableEstimator, frame: Any, schema: Schema, *, levels: bool = False) -> None:
        cells = frame.to_numpy()
        if cells.dtype.kind not in "fiu" or not isinstance(self.random_state, int) or len(frame) < 20:
            train(self, frame, schema, levels=levels)
            return
        rows = ("readonly" in check, cells.shape, cells.tobytes(), *map(str, frame.dtypes), repr(schema))
        key = (*rows, levels, self.random_state, self.steps, self.seconds, self.size)
        if key not in SHARED or "check_fit_idempotent" in check:
            train(self, frame, schema, levels=levels)
            SHARED[key] = self.table_
        source = {"source": type(self).__name__}
        self.table_ = replace(SHARED[key], info=SHARED[key].info | {"data": SHARED[key].info["data"] | source})

    monkeypatch.setattr(TableEstimator, "_train", shared)


@parametrize_with_checks([kind(**ROUGH) for kind in KINDS])
def test_conventions(estimator: Any, check: Any, shared_models: None) -> None:
    check(estimator)


# ------------------------------------------------------------------------------------------------- the same answers


def numbers(n: int = 120, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=(n, 3))
    return z @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 2.0]]) + np.array([0.0, 5.0, -1.0])


def mixed(n: int = 100, seed: int = 0) -> Any:
    """A data frame of every kind of column, with holes."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    size = rng.normal(size=n) + group
    frame = pd.DataFrame(
        {
            "size": size,
            "group": pd.Categorical.from_codes(group, ["low", "mid", "high"], ordered=True),
            "count": pd.array(rng.poisson(40 + 5 * group), dtype="Int64"),
            "flag": rng.random(n) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
            "unit": "cm",
            "again": size,
            "name": np.where(rng.random(n) < 0.3, "ab", "cd"),
        }
    )
    for name in ("size", "group", "count", "day", "name"):
        frame.loc[rng.random(n) < 0.1, name] = None
    frame["again"] = frame["size"]
    return frame


def fitted(kind: type, X: Any, **options: Any) -> Any:
    y = np.random.default_rng(3).normal(size=len(X))
    return kind(**{**ROUGH, **options}).fit(X, y)


@cache
def known(kind: type, table: Any) -> Any:
    """An estimator fitted to 60 rows of a table, for all tests that only ask it."""
    return fitted(kind, table(60), **({"draws": 3} if kind is ScoreImputer else {}))


def answer(estimator: Any, X: Any) -> np.ndarray:
    """What the estimator says of X."""
    if isinstance(estimator, ScoreImputer):
        holed = X.copy()
        if isinstance(X, np.ndarray):
            holed[::3, 1] = np.nan
        made = estimator.transform(holed)
        return made if isinstance(made, np.ndarray) else made["count"].to_numpy(dtype=float)
    return estimator.predict(X) if isinstance(estimator, ScoreRegressor) else estimator.score_samples(X[:12])


CASES = {
    "density-array": (ScoreDensity, numbers),
    "density-frame": (ScoreDensity, mixed),
    "imputer-frame": (ScoreImputer, mixed),
    "outlier-array": (ScoreOutlier, numbers),
    "regressor-frame": (ScoreRegressor, mixed),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, Any, np.ndarray]:
    kind, table = CASES[request.param]
    X = table(60)
    estimator = known(kind, table)
    return estimator, X, answer(estimator, X)


def test_a_clone_is_the_same_and_unfitted(case: tuple[Any, Any, np.ndarray]) -> None:
    estimator, X, _ = case
    again = clone(estimator)
    assert again.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        answer(again, X)


def test_a_folder_gives_the_same_answers(case: tuple[Any, Any, np.ndarray], tmp_path: Path) -> None:
    estimator, X, expected = case
    estimator.save(tmp_path / "run")
    again = type(estimator).load(tmp_path / "run")
    assert again.get_params() == estimator.get_params()
    np.testing.assert_array_equal(answer(again, X), expected)
    other = ScoreDensity if not isinstance(estimator, ScoreDensity) else ScoreOutlier
    with pytest.raises(FileError, match=f"expected a {other.__name__}"):
        other.load(tmp_path / "run")


def test_pickles_hold_the_files_of_the_folder_and_nothing_of_torch(
    case: tuple[Any, Any, np.ndarray], tmp_path: Path
) -> None:
    estimator, X, expected = case
    content = pickle.dumps(estimator)
    estimator.table_.save(tmp_path)
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() in content
    assert b"torch._utils" not in content and b"scorefield.tables.denoiser" not in content
    np.testing.assert_array_equal(answer(pickle.loads(content), X), expected)


def test_pickles_cross_processes(tmp_path: Path) -> None:
    X = numbers(30)
    density = known(ScoreDensity, numbers)
    (tmp_path / "density").write_bytes(pickle.dumps(density))
    np.save(tmp_path / "x.npy", X)
    code = (
        "import pickle, sys, numpy as np; from pathlib import Path; folder = Path(sys.argv[1]);"
        "density = pickle.loads((folder / 'density').read_bytes());"
        "np.save(folder / 'answer.npy', density.score_samples(np.load(folder / 'x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), density.score_samples(X), rtol=1e-5)


def test_the_answer_for_a_row_does_not_depend_on_the_others() -> None:
    frame = mixed(60).dropna()
    density = known(ScoreDensity, mixed)
    order = np.random.default_rng(0).permutation(len(frame))
    np.testing.assert_allclose(density.score_samples(frame.iloc[order]), density.score_samples(frame)[order], atol=1e-4)


# ------------------------------------------------------------------------------------------------------------ density


def gaussian_log_density(X: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    z = np.linalg.solve(np.linalg.cholesky(covariance), (X - mean).T)
    return -0.5 * (z**2).sum(0) - 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]


def test_density_of_gaussian_rows() -> None:
    X, held = numbers(3000), numbers(300, seed=1)
    density = ScoreDensity(**FAST).fit(X)
    factor = np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 2.0]])
    exact = gaussian_log_density(held, np.array([0.0, 5.0, -1.0]), factor.T @ factor)
    found = density.score_samples(held)
    # a fit of k parameters to n rows loses k / (2 n) nats on average; and the mixture may take a few components
    assert abs(found.mean() - exact.mean()) < 9 / (2 * 3000) * 4 + 0.01
    assert density.score(held[:30]) == pytest.approx(found[:30].mean())
    drawn = density.sample(1000, random_state=3)
    assert np.abs(drawn.mean(0) - X.mean(0)).max() < 4 * 2 / np.sqrt(1000)
    assert np.abs(np.cov(drawn.T) - np.cov(X.T)).max() < 4 * 4 * np.sqrt(2 / 1000)


def test_a_scaler_before_it_changes_the_density_by_its_slope() -> None:
    X = numbers(400)
    alone = ScoreDensity(**FAST).fit(X)
    scaled = make_pipeline(StandardScaler(), ScoreDensity(**FAST)).fit(X)
    slope = np.log(scaled[0].scale_).sum()
    new = X[:100]
    assert scaled.score(new) - slope == pytest.approx(alone.score(new), abs=0.02)


def test_grid_search_over_the_size() -> None:
    search = GridSearchCV(ScoreDensity(**ROUGH), {"size": ["small", "medium"]}, cv=2, error_score="raise")
    search.fit(numbers(60))
    assert search.best_params_["size"] in ("small", "medium") and np.isfinite(search.best_score_)


def test_samples_come_in_the_container_of_the_table() -> None:
    frame = mixed(60)
    drawn = known(ScoreDensity, mixed).sample(7, random_state=1)
    assert list(drawn.columns) == list(frame.columns) and len(drawn) == 7
    assert {name: str(t) for name, t in drawn.dtypes.items()} == {name: str(t) for name, t in frame.dtypes.items()}
    assert not drawn.isna().to_numpy().any() and set(drawn["unit"]) == {"cm"}
    pd.testing.assert_series_equal(drawn["again"], drawn["size"], check_names=False)
    whole = fitted(ScoreDensity, np.random.default_rng(0).integers(0, 100, size=(90, 2))).sample(5)
    assert isinstance(whole, np.ndarray) and whole.dtype == np.int64


def test_random_states() -> None:
    density = known(ScoreDensity, numbers)
    np.testing.assert_array_equal(density.sample(4), density.sample(4))
    assert not np.array_equal(density.sample(4, random_state=1), density.sample(4, random_state=2))
    generator = np.random.RandomState(0)
    assert not np.array_equal(density.sample(4, generator), density.sample(4, generator))


# ------------------------------------------------------------------------------------------------------------ imputer


def test_holes_get_the_conditional_mean_and_spread() -> None:
    X = numbers(600)
    holed = X.copy()
    holed[:200, 1] = np.nan
    imputer = ScoreImputer(**FAST, draws=30).fit(holed)
    expected = 5 + 0.8 * X[:200, 0]  # of the second coordinate given the first; its variance is 0.36
    filled = imputer.transform(holed[100:220])
    np.testing.assert_array_equal(filled[100:], X[200:220])
    assert np.abs(filled[:100, 1] - expected[100:]).mean() < 0.6 / np.sqrt(30) + 4 * 0.6 * np.sqrt(2 / 400)
    few = ScoreImputer.from_table(imputer.table_, **FAST, draws=5)
    drawn = few.sample(holed[:200])[:, :, 1] - expected
    assert drawn.std() == pytest.approx(0.6, rel=4 / np.sqrt(2 * 400))  # of the 400 rows that the model was fitted to
    one = ScoreImputer.from_table(imputer.table_, **FAST, strategy="draw").transform(holed[:200])
    assert (one[:, 1] - expected).std() == pytest.approx(0.6, rel=4 * np.sqrt(1 / 400 + 1 / 800))


def test_filled_arrays_keep_their_type() -> None:
    X = numbers(60).astype(np.float32)
    X[::7, 1] = np.nan
    imputer = fitted(ScoreImputer, X, draws=3)
    for made in (imputer.transform(X), imputer.sample(X)):
        assert made.dtype == np.float32 and np.isfinite(made).all()


def test_frames_are_filled_column_by_column() -> None:
    frame = mixed()
    frame.index = np.arange(len(frame))[::-1]
    imputer = fitted(ScoreImputer, frame, draws=5)
    filled = imputer.transform(frame)
    assert not filled.isna().to_numpy().any()
    assert (filled.dtypes == frame.dtypes).all() and (filled.index == frame.index).all()
    pd.testing.assert_frame_equal(filled.where(frame.notna()), frame.where(frame.notna()), check_dtype=False)
    tables = imputer.sample(frame)
    assert len(tables) == 5 and not tables[0].equals(tables[1])
    hole = int(np.flatnonzero(frame["size"].isna())[0])
    assert filled["size"].iloc[hole] == pytest.approx(np.mean([t["size"].iloc[hole] for t in tables]))
    assert filled["again"].iloc[hole] == filled["size"].iloc[hole]
    hole = int(np.flatnonzero(frame["name"].isna())[0])
    drawn = [t["name"].iloc[hole] for t in tables]
    assert filled["name"].iloc[hole] == max(set(drawn), key=drawn.count)
    assert list(imputer.get_feature_names_out()) == list(frame.columns)


# ---------------------------------------------------------------------------------------------------------- regressor


def linear(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, 1 + 2 * X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=n)


@pytest.fixture(scope="module")
def of_a_line() -> ScoreRegressor:
    return ScoreRegressor(**FAST).fit(*linear(3000))


def test_linear_gaussian_regression_is_exact(of_a_line: ScoreRegressor) -> None:
    model = of_a_line
    new, target = linear(1000, seed=1)
    mean = 1 + 2 * new[:, 0] - new[:, 1]
    loss = np.sqrt(3 / 3000)  # of the plain least squares, in standard deviations of the noise
    assert np.sqrt(np.mean((model.predict(new) - mean) ** 2)) < 0.5 * 4 * loss
    exact = gaussian_log_density((target - mean)[:, None], np.zeros(1), np.array([[0.25]]))
    assert np.abs(model.log_density(new[:200], target[:200]) - exact[:200]).mean() < 4 * loss
    ends = model.predict_interval(new, coverage=0.8)
    assert np.abs(ends - (mean[:, None] + 0.5 * 1.2816 * np.array([-1, 1]))).mean() < 0.5 * 4 * loss
    covered = np.mean((ends[:, 0] < target) & (target < ends[:, 1]))
    assert covered == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 1000))
    assert model.score(new, target) > 0.9


def test_what_a_row_lacks_is_integrated_out(of_a_line: ScoreRegressor) -> None:
    model = of_a_line
    new = linear(200, seed=1)[0]
    new[:, 1] = np.nan  # y is then 1 + 2 x + a normal of variance 1.25
    mean = 1 + 2 * new[:, 0]
    assert np.abs(model.predict(new) - mean).mean() < 0.15
    upper = model.predict_quantiles(new, [0.9])[:, 0]
    assert np.abs(upper - mean - 1.2816 * np.sqrt(1.25)).mean() < 0.2


def targets(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x, z = np.random.default_rng(0).normal(size=(2, n))
    return {
        "continuous": x + z,
        "positive": np.exp(x + 0.5 * z),
        "whole": np.rint(30 + 20 * x + 5 * z),
        "few": np.clip(np.rint(x + z), -2, 2),
        "atom": np.where(rng.random(n) < 0.4, 0.0, 1 + x + 0.5 * z),
        "constant": np.full(n, 3.0),
    }


@pytest.mark.parametrize("kind", targets(1))
def test_means_and_quantiles_are_those_of_the_draws(kind: str) -> None:
    n, count = 400, 1500
    y = targets(n)[kind]
    X = np.random.default_rng(0).normal(size=(2, n))[0][:, None]
    model = ScoreRegressor(**ROUGH).fit(X, y)  # the tolerance is of densities, here only finite
    column = model.table_.codec.schema["y"]
    expected = {"positive": "continuous", "whole": "integer", "few": "ordinal", "atom": "continuous"}
    assert column.kind == expected.get(kind, kind) and bool(column.atoms) == (kind == "atom")
    new = X[:3]
    drawn, q = model.sample_y(new, count), np.array([0.1, 0.35, 0.5, 0.8, 0.95])
    error = 5 * drawn.std(1) / np.sqrt(count) + 1e-9
    assert (np.abs(model.predict(new) - drawn.mean(1)) < error).all()
    found = model.predict_quantiles(new, q)
    assert (np.diff(found, axis=1) >= 0).all()
    for i in range(3):
        for j, level in enumerate(q):
            slack = 5 * np.sqrt(level * (1 - level) / count) + 1e-3
            low, high = np.mean(drawn[i] < found[i, j] - 1e-9), np.mean(drawn[i] <= found[i, j] + 1e-9)
            assert low - slack <= level <= high + slack
    assert np.isfinite(model.log_density(new, y[:3])).all()


def test_a_target_that_copies_a_feature_is_still_predicted() -> None:
    X, _ = linear(300)
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ScoreRegressor(**FAST).fit(frame, frame["a"])
    assert model.target_ == "a_"
    assert np.abs(model.predict(frame) - X[:, 0]).max() < 0.05


# ------------------------------------------------------------------------------------------------------------ outlier


def test_the_share_of_outliers_is_the_contamination() -> None:
    X = numbers(300)
    for share in (0.05, 0.3):
        outlier = ScoreOutlier(**ROUGH, contamination=share)
        assert np.mean(outlier.fit_predict(X) == -1) == pytest.approx(share, abs=1 / 300)
    percentile = outlier.table_.percentile(
        outlier.table_.log_density(pd.DataFrame(X, columns=["x0", "x1", "x2"])).value
    )
    assert float(percentile.min()) < 1 and float(percentile.max()) > 99


def test_auto_finds_what_the_model_would_not_draw() -> None:
    X = numbers(400)
    X[:4] += 20 * np.array([1.0, -1.0, 1.0])
    outlier = ScoreOutlier(**ROUGH, contamination="auto").fit(X[4:])
    said = outlier.predict(X)
    assert (said[:4] == -1).all() and np.mean(said[4:] == -1) < 0.01 + 4 * np.sqrt(0.01 / 396)


def test_a_value_without_a_place_is_an_outlier() -> None:
    frame = mixed(60).drop(columns=["again", "count"]).dropna()
    outlier = fitted(ScoreOutlier, frame)
    other = frame.head(3).assign(name=["ab", "ef", "cd"])
    assert np.isneginf(outlier.score_samples(other)).tolist() == [False, True, False]
    assert outlier.predict(other)[1] == -1


# ------------------------------------------------------------------------------------------------- what is not right


def test_few_rows_make_a_gaussian_and_say_so() -> None:
    with pytest.warns(UserWarning, match="12 rows are too few"):
        density = ScoreDensity(**FAST).fit(numbers(12))
    assert density.table_.info["training"] == {} and np.isfinite(density.score(numbers(5)))
    with pytest.raises(ValueError, match=r"1 sample"):
        ScoreDensity(**FAST).fit(mixed(1))


FAULTS = {
    "size": (lambda: ScoreDensity(size="huge", **FAST).fit(numbers()), "size must be"),
    "schema": (lambda: ScoreDensity(schema=3, **FAST).fit(numbers()), "schema must be"),
    "strategy": (lambda: ScoreImputer(strategy="median", **FAST).fit(numbers()), "strategy must be"),
    "contamination": (lambda: ScoreOutlier(contamination=0.7, **FAST).fit(numbers()), "contamination must be"),
    "several targets": (lambda: ScoreRegressor(**FAST).fit(numbers(), numbers()), "y should be a 1d array"),
    "lengths": (lambda: ScoreRegressor(**FAST).fit(numbers(), np.zeros(3)), "X has 120 rows and y has 3"),
    "infinite": (lambda: ScoreDensity(**FAST).fit(np.full((30, 2), np.inf)), "infinity"),
    "constants": (lambda: ScoreDensity(**FAST).fit(np.ones((30, 2))), "every column is a constant"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told(fault: str) -> None:
    call, text = FAULTS[fault]
    with pytest.raises((TypeError, ValueError), match=text):
        call()


def test_predictions_refuse_what_is_no_share() -> None:
    model = known(ScoreRegressor, numbers)
    with pytest.raises(ValueError, match="coverage"):
        model.predict_interval(numbers(3), coverage=1.0)
    with pytest.raises(ValueError, match="quantiles"):
        model.predict_quantiles(numbers(3), [0.0, 0.5])
    with pytest.raises(ValueError, match="n_samples"):
        model.sample_y(numbers(3), 0)
    with pytest.raises(ValueError, match="n_samples"):
        known(ScoreDensity, numbers).sample(0)


def test_a_schema_is_taken_as_given() -> None:
    frame = mixed(40).drop(columns=["again"])
    schema = detect(frame, {"count": {"kind": "continuous"}})
    for given in (schema, {"count": {"kind": "continuous"}}):
        found = ScoreDensity(schema=given, **FAST).fit(frame).table_.codec.schema["count"]
        assert isinstance(found, Column) and found.kind == "continuous"
    assert isinstance(schema, Schema)


def test_values_that_training_did_not_have_may_be_taken_as_missing() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 60), "size": rng.normal(size=60), "y": rng.normal(size=60)})
    new = pd.DataFrame({"kind": ["a", "c"], "size": [0.5, 0.5], "y": [0.0, 0.0]})
    table = ScoreDensity(steps=2, random_state=0).fit(frame).table_
    strict, lenient = (ScoreDensity.from_table(table, random_state=0, unseen=u) for u in ("error", "missing"))
    with pytest.raises(ValueError, match="unseen at training"):
        strict.score_samples(new)
    hole = new.assign(kind=["a", None])
    np.testing.assert_allclose(lenient.score_samples(new), strict.score_samples(hole))
    imputer = ScoreImputer.from_table(table, random_state=0, unseen="missing", strategy="draw")
    assert imputer.transform(new)["kind"].isin(["a", "b"]).all()
    regressor = ScoreRegressor.from_table(table, random_state=0, unseen="missing")
    plain = ScoreRegressor.from_table(table, random_state=0)
    np.testing.assert_allclose(regressor.predict(new[["kind", "size"]]), plain.predict(hole[["kind", "size"]]))
    with pytest.raises(ValueError, match="'error' or 'missing'"):
        ScoreDensity.from_table(table, unseen="drop").score_samples(new)
