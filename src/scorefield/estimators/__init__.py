"""Estimators of scikit-learn over one model of a table: densities, filled holes, predictions and outliers."""

from scorefield.estimators.density import ScoreDensity as ScoreDensity
from scorefield.estimators.imputer import ScoreImputer as ScoreImputer
from scorefield.estimators.outlier import ScoreOutlier as ScoreOutlier
from scorefield.estimators.regressor import ScoreRegressor as ScoreRegressor

__all__ = ["ScoreDensity", "ScoreImputer", "ScoreOutlier", "ScoreRegressor"]
