"""The laws of exactness: on the installed library, on any model, on a trained model with records that are new to it."""

from scorefield.check.library import library
from scorefield.check.model import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.check.trained import laws

__all__ = ["laws", "library", "of_model", "CheckReport", "Row"]
