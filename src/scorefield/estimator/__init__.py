"""Estimators of scikit-learn over one model of a table: densities, filled holes, predictions and outliers.

They need scikit-learn and pandas: `pip install 'scorefield[sklearn,tables]'`.
"""

from scorefield.estimator.density import ScoreDensity as ScoreDensity
from scorefield.estimator.imputer import ScoreImputer as ScoreImputer
from scorefield.estimator.outlier import ScoreOutlier as ScoreOutlier
from scorefield.estimator.regressor import ScoreRegressor as ScoreRegressor

__all__ = ["ScoreDensity", "ScoreImputer", "ScoreOutlier", "ScoreRegressor"]
