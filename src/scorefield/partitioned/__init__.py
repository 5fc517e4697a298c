"""Answers past one machine: questions to a run over a folder of Parquet files, by the workers of a Dask cluster.

`answer` writes a file for each file of the folder, `sample` new records in files of so many. Each file is a pure
function of the run, the question, the rows and their number in the whole: neither the cluster nor a stop changes it.
"""

from scorefield.partitioned.answering import answer as answer
from scorefield.partitioned.answering import sample as sample
from scorefield.partitioned.questions import Density as Density
from scorefield.partitioned.questions import Impute as Impute
from scorefield.partitioned.questions import Outliers as Outliers
from scorefield.partitioned.questions import Predict as Predict
from scorefield.partitioned.questions import Sample as Sample

__all__ = ["answer", "sample", "Density", "Impute", "Outliers", "Predict", "Sample"]
