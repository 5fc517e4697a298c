"""Estimators of scikit-learn over one model of a table: densities, filled holes, predictions and outliers.

They need scikit-learn and pandas: `pip install 'scorefield[sklearn,tables]'`.
"""

try:  # the oldest version that has what is used
    from sklearn.utils.validation import validate_data as _validate_data  # noqa: F401
except ImportError:
    raise ImportError(
        "the estimators need scikit-learn 1.6 or newer; install it with pip install 'scorefield[sklearn,tables]'."
    ) from None

from scorefield.estimator.density import ScoreDensity as ScoreDensity
from scorefield.estimator.imputer import ScoreImputer as ScoreImputer
from scorefield.estimator.outlier import ScoreOutlier as ScoreOutlier
from scorefield.estimator.regressor import ScoreRegressor as ScoreRegressor

__all__ = ["ScoreDensity", "ScoreImputer", "ScoreOutlier", "ScoreRegressor"]
