"""The report of a model of a table: one self-contained HTML page."""

from __future__ import annotations

import html
from pathlib import Path

from scorefield import _files
from scorefield.report.describe import DENSITY, table_facts
from scorefield.report.figures import losses_png
from scorefield.report.page import STYLE, _figure, _pm, _rows
from scorefield.report.table_figures import MOST_MARGINALS, Shown, coverage_png, density_png, marginals_png, pairs_png
from scorefield.tables.evaluate import TableComparison, mean_text
from scorefield.tables.measures import modelled
from scorefield.tables.schema import describe as values_in_words
from scorefield.tables.trained import TrainedTable


def write_table_report(path: str | Path, model: TrainedTable, comparison: TableComparison) -> None:
    """Write the page: columns, real beside new rows, intervals, densities, filled holes, copies, settings.

    Args:
        path: file to write, .html.
        model: of the table.
        comparison: with real rows, from `table_evaluation.evaluate`.
    """
    c = comparison
    title = f"{Path(c.source).name}: a model of a table"
    sections = (_marginals(model, c), _figures(c), _coverage(c), _densities(c), _imputation(c))
    body = (
        f"<h1>{html.escape(title)}</h1>{_lead(model, c)}{''.join(sections)}"
        f"{_schema(model)}{_losses(model)}{_settings(model, c)}"
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
    _files.write_bytes(Path(path), page.encode())


def _lead(model: TrainedTable, c: TableComparison) -> str:
    data, training = model.info.get("data", {}), model.info.get("training", {})
    rows = f" from {data['rows']:,} rows" if "rows" in data else ""
    time = f" in {training['seconds']:.0f} s ({training['steps']:,} steps)" if training else ""
    seen = " that it has never seen" if c.unseen else ""
    return (
        f'<p class="lead">One network learned the law of {len(modelled(model.codec))} columns{rows}{time}. Below, its '
        f"answers beside {len(c.real):,} real rows{seen}: new rows, intervals, log-densities, filled holes.</p>"
    )


def _marginals(model: TrainedTable, c: TableComparison) -> str:
    real, new = c.shown
    shown = [Shown.of(column, real[column.name], new[column.name]) for column in modelled(model.codec)]
    more = f", the first {MOST_MARGINALS} of {len(shown)}" if len(shown) > MOST_MARGINALS else ""
    caption = f"Each column{more}: {len(real):,} real rows filled, {len(new):,} new ones outlined."
    caption += " Shares under a name are those of the column's atoms." if any(s.column.atoms for s in shown) else ""
    parts = [_figure(marginals_png(shown), caption)]
    if len(shown) > 1:
        caption = "The most related columns: real rows below the diagonal (blue), new ones above it (orange)."
        parts.append(_figure(pairs_png(shown), caption))
    return f"<h2>Real and new</h2>{''.join(parts)}"


def _figures(c: TableComparison) -> str:
    rows = [
        (f"<b>{html.escape(f.name)}</b>", _pm(f.text()), _pm(f.floor_text()), html.escape(f.meaning)) for f in c.figures
    ]
    header = ("", "new against real", "real against real", "what it says")
    note = f"<p>{html.escape(c.note)}</p>" if c.note else ""
    return (
        "<h2>How good are the new rows?</h2><p>Each figure stands beside the value that two halves of the real rows "
        f"give: no sample can be expected to do better.</p>{_rows(header, rows)}{note}"
    )


def _coverage(c: TableComparison) -> str:
    if not c.coverage:
        return ""
    caption = (
        f"Each column predicted from the others, {max(len(k.ranks) for k in c.coverage)} rows at most; "
        "bars: what chance allows (95 %) if the intervals are right."
    )
    picture = _figure(coverage_png(c.coverage), caption)
    return (
        "<h2>Do the intervals hold?</h2><p>A 90 % interval should contain the value nine times out of ten. A curve "
        f"below the dashed line is too sure, one above it not sure enough.</p>{picture}"
    )


def _densities(c: TableComparison) -> str:
    d = c.densities
    rows = [
        ("<b>the model</b>", _pm(mean_text(d.real))),
        ("<b>its mixture and frequencies, without the network</b>", _pm(mean_text(d.reference))),
    ]
    caption = "Log-densities of rows; the lowest half percent stands in the first bar."
    return (
        f"<h2>Log-density</h2><p>{html.escape(DENSITY)}</p>"
        f"{_rows(('of real rows, mean', 'nats'), rows)}{_figure(density_png(d), caption)}"
    )


def _imputation(c: TableComparison) -> str:
    i = c.imputation
    if i is None:
        return ""
    rows = []
    if i.crps is not None and i.crps_alone is not None and i.most is not None:
        name = "<b>CRPS of numbers</b>, standard deviations"
        rows.append((name, f"{i.crps:.3f}", f"{i.crps_alone:.3f}", "error of the draws as a whole; lower is better"))
        rows.append(("<b>numbers within 90 %</b>", f"{i.most:.1%}", "", "90 % is right"))
    if i.agreement is not None and i.agreement_alone is not None:
        rows.append(("<b>codes drawn rightly</b>", f"{i.agreement:.1%}", f"{i.agreement_alone:.1%}", "of the draws"))
    header = ("", "imputed", "from the column alone", "")
    return (
        f"<h2>Filled holes</h2><p>20 % of the cells ({i.cells:,}) were removed at random, filled by draws given the "
        f"rest of their rows, and compared with what was there.</p>{_rows(header, rows)}"
    )


def _schema(model: TrainedTable) -> str:
    rows = [
        [html.escape(text) for text in (str(c.name), c.kind, values_in_words(c), c.measure)] for c in model.codec.schema
    ]
    return f"<h2>Columns</h2>{_rows(('column', 'kind', 'values', 'density'), rows)}"


def _losses(model: TrainedTable) -> str:
    evaluations = model.info.get("training", {}).get("evaluations")
    if not evaluations:
        return ""
    caption = "Pale: early evaluations; dark: the last."
    return (
        "<h2>Training</h2><p>Loss on held-out rows with fixed noise, of the numbers per noise level and of the codes "
        f"together.</p>{_figure(losses_png(evaluations), caption)}"
    )


def _settings(model: TrainedTable, c: TableComparison) -> str:
    rows = [(html.escape(name), html.escape(value)) for name, value in table_facts(model)]
    rows.append(("samples", f"{len(c.new):,}, {c.steps} evaluations each ({html.escape(c.plan)}), seed {c.seed}"))
    return f"<h2>Settings</h2>{_rows((), rows)}"
