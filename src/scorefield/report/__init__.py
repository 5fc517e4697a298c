"""Reports: a run in words, and a page about its samples."""

from scorefield.report.describe import describe as describe
from scorefield.report.describe import describe_table as describe_table
from scorefield.report.describe import facts as facts
from scorefield.report.page import write_report as write_report
from scorefield.report.table_page import write_table_report as write_table_report

__all__ = ["describe", "describe_table", "facts", "write_report", "write_table_report"]
