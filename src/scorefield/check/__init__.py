"""Laws that exact answers obey, on the installed library, on any model, on a trained model with records new to it.

What may enter: a law with a bound from theory (rounding, order, standard error) and one sentence of what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield._lazy import on_first_use

if TYPE_CHECKING:  # the table below, for type checkers and editors; a test holds them together
    from scorefield.check.exact import library as library
    from scorefield.check.models import of_model as of_model
    from scorefield.check.report import CheckReport as CheckReport
    from scorefield.check.report import Row as Row
    from scorefield.check.runs import laws as laws
    from scorefield.check.runs import of_trained as of_trained
    from scorefield.check.sample import SampleCheck as SampleCheck
    from scorefield.check.sample import of_sample as of_sample

_PLACES = {  # public name: the module of this package that defines it
    "CheckReport": "report",
    "Row": "report",
    "SampleCheck": "sample",
    "laws": "runs",
    "library": "exact",
    "of_model": "models",
    "of_sample": "sample",
    "of_trained": "runs",
}
__all__ = [*_PLACES]

__getattr__, __dir__ = on_first_use(__name__, _PLACES)
