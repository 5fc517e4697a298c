"""Reports: a run in words, and a page about its samples."""

from scorefield.report.describe import describe as describe
from scorefield.report.describe import facts as facts
from scorefield.report.page import write_report as write_report

__all__ = ["describe", "facts", "write_report"]
