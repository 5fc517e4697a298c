"""A run of a table as text, and the report of its answers."""

from __future__ import annotations

import html
from collections import Counter
from pathlib import Path

from scorefield.report.facts import Facts, complete, lines, run_facts, training_facts
from scorefield.report.page import (
    figure,
    losses_section,
    metrics_section,
    plus_minus,
    settings_section,
    table,
    write_page,
)
from scorefield.report.table_figures import MOST_MARGINALS, Shown, coverage_png, density_png, marginals_png, pairs_png
from scorefield.tables.evaluate import TableComparison, mean_text
from scorefield.tables.measures import modelled
from scorefield.tables.schema import describe as values_in_words
from scorefield.tables.stored import NETWORK
from scorefield.tables.trained import TrainedTable

DENSITY = """A row's log-density is in nats, in the units of the table: relative to Lebesgue measure for continuous
columns and times, to counting measure for categories, booleans, ordinals, whole numbers and atoms. Constants and copies
are left out. A row with holes has the marginal density of what is there."""
"""What the log-density of a row means."""


def describe(model: TrainedTable) -> str:
    """What is known of a run, a line each, then its schema and what a log-density means."""
    return f"{lines(facts(model))}\n\n{model.codec.schema}\n\n{DENSITY}"


def facts(model: TrainedTable) -> Facts:
    """What is known of a run, as (name, value) pairs in the order of interest."""
    data, m = complete(model.info.get("data"), "source", "rows"), model.model
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(c.kind for c in model.codec.schema).items())
    source = f"{data['source']}: {data['rows']:,} rows to train on; " if data else ""
    found = [("data", f"{source}{len(model.codec.schema)} columns ({kinds})")]
    if m.reference is not None:
        mixture = f"mixture of {len(m.reference.law.weights)} Gaussians in {m.network.dim} dimensions"
        found.append(("reference", mixture))
    count = sum(p.numel() for p in m.parameters())
    found.append(("network", f"{NETWORK}, {count:,} parameters"))
    found.append(("noise range", f"sigma {m.sigma_min:g} to {m.sigma_max:.4g}, in standard deviations of each number"))
    memory = complete(model.info.get("memorisation"), "value", "floor", "meaning")
    text = "not measured; `scorefield evaluate` measures it"
    if memory:
        text = f"{memory['value']:.3f} ({memory['floor']:.3f} for real rows): {memory['meaning']}"
    return [*found, *training_facts(model.info), ("memorisation", text), *run_facts(model.info, model.plans)]


def write_report(path: str | Path, model: TrainedTable, comparison: TableComparison) -> None:
    """Write the page: columns, real next to new rows, intervals, densities, filled holes, losses, settings.

    Args:
        path: file to write, .html.
        model: of the table.
        comparison: with real rows, from `tables.evaluate.evaluate`.
    """
    c = comparison
    loss = (
        "Loss on held-out rows with fixed noise, of the numbers per noise level and of the codes together; it is not "
        "zero at its best, because noise cannot be guessed."
    )
    sections = (
        _lead(model, c),
        _marginals(model, c),
        metrics_section(c, "rows"),
        _coverage(c),
        _densities(c),
        _imputation(c),
        _schema(model),
        losses_section(model.info, loss),
        settings_section(facts(model), c),
    )
    write_page(path, f"{Path(c.source).name}: a model of a table", sections)


def _lead(model: TrainedTable, c: TableComparison) -> str:
    data = complete(model.info.get("data"), "rows")
    training = complete(model.info.get("training"), "steps", "seconds")
    rows = f" from {data['rows']:,} rows" if data else ""
    time = f" in {training['seconds']:.0f} s ({training['steps']:,} steps)" if training else ""
    seen = " that it has never seen" if c.unseen else ""
    return (
        f'<p class="lead">One network learned the law of {len(modelled(model.codec))} columns{rows}{time}. Below, its '
        f"answers next to {len(c.real):,} real rows{seen}: new rows, intervals, log-densities, filled holes.</p>"
    )


def _marginals(model: TrainedTable, c: TableComparison) -> str:
    real, new = c.shown
    shown = [Shown.of(column, real[column.name], new[column.name]) for column in modelled(model.codec)]
    more = f", the first {MOST_MARGINALS} of {len(shown)}" if len(shown) > MOST_MARGINALS else ""
    caption = f"Each column{more}: {len(real):,} real rows filled, {len(new):,} new ones outlined."
    caption += " Shares under a name are those of the column's atoms." if any(s.column.atoms for s in shown) else ""
    parts = [figure(marginals_png(shown), caption)]
    if len(shown) > 1:
        caption = "The most related columns: real rows below the diagonal (blue), new ones above it (orange)."
        parts.append(figure(pairs_png(shown), caption))
    return f"<h2>Real and new</h2>{''.join(parts)}"


def _coverage(c: TableComparison) -> str:
    if not c.coverage:
        return ""
    caption = (
        f"Each column predicted from the others, {max(len(k.ranks) for k in c.coverage)} rows at most; "
        "bars: what chance allows (95 %) if the intervals are right."
    )
    picture = figure(coverage_png(c.coverage), caption)
    return (
        "<h2>Do the intervals hold?</h2><p>A 90 % interval should contain the value nine times out of ten. A curve "
        f"below the dashed line is overconfident, one above it underconfident.</p>{picture}"
    )


def _densities(c: TableComparison) -> str:
    d = c.densities
    rows = [
        ("<b>the model</b>", plus_minus(mean_text(d.real))),
        ("<b>its mixture and frequencies, without the network</b>", plus_minus(mean_text(d.reference))),
    ]
    caption = "Log-densities of rows; the lowest half percent stands in the first bar."
    return (
        f"<h2>Log-density</h2><p>{html.escape(DENSITY)}</p>"
        f"{table(('of real rows, mean', 'nats'), rows)}{figure(density_png(d), caption)}"
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
        f"rest of their rows, and compared with what was there.</p>{table(header, rows)}"
    )


def _schema(model: TrainedTable) -> str:
    rows = [
        [html.escape(text) for text in (str(c.name), c.kind, values_in_words(c), c.measure)] for c in model.codec.schema
    ]
    return f"<h2>Columns</h2>{table(('column', 'kind', 'values', 'density'), rows)}"
