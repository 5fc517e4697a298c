"""Laws that exact answers obey, on the installed library, on any model, on a trained model with records new to it.

What may enter: a law with a bound from theory (rounding, order, standard error) and one sentence of what it says.
"""

from scorefield.check.exact import library
from scorefield.check.models import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.check.runs import laws, of_trained
from scorefield.check.sample import SampleCheck, of_sample

__all__ = ["laws", "library", "of_model", "of_trained", "of_sample", "CheckReport", "Row", "SampleCheck"]
