"""The explorer as one file: scenes whose answers were computed beforehand."""

from scorefield.explorer.export.of_runs import SOME, Few
from scorefield.explorer.export.page import write
from scorefield.explorer.export.scenes import FULL, Scope

__all__ = ["FULL", "SOME", "Few", "Scope", "write"]
