"""A run of a table as text, and the report of its answers."""

from __future__ import annotations

import html
from collections import Counter
from pathlib import Path

from scorefield.report.columns import Shown
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
from scorefield.report.quality_figures import associations_svg, coverage_svg, density_svg, privacy_svg
from scorefield.report.table_figures import MOST_MARGINALS, marginal_svg, pairs_svg
from scorefield.report.verdict import Quality, in_words, of_pairs, of_privacy, verdict_section
from scorefield.tables.associations import MOST as MOST_ASSOCIATED
from scorefield.tables.associations import associations
from scorefield.tables.evaluate import TableComparison, mean_text
from scorefield.tables.marginals import marginals
from scorefield.tables.measures import modelled
from scorefield.tables.memorisation import with_holes
from scorefield.tables.privacy import privacy
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
    sampled = (data.get("stream") or {}).get("sample", 0)
    if data and sampled:
        text = f"as they are needed; mixture, percentiles and memorisation of {sampled:,} of them"
        found.append(("rows are read", text))
    if m.reference is not None:
        mixture = f"mixture of {len(m.reference.law.weights)} Gaussians in {m.network.dim} dimensions"
        found.append(("reference", mixture))
    if things := model.info.get("things"):
        text = f"rows are measurements of things, of which {things:,} are known: a Gaussian each, near to its rows"
        found.append(("near repeats", text))
    count = sum(p.numel() for p in m.parameters())
    found.append(("network", f"{NETWORK}, {count:,} parameters"))
    found.append(("noise range", f"sigma {m.sigma_min:g} to {m.sigma_max:.4g}, in standard deviations of each number"))
    memory = complete(model.info.get("memorisation"), "value", "floor", "meaning")
    text = "not measured; `scorefield evaluate` measures it"
    if memory:
        text = f"{memory['value']:.3f} ({memory['floor']:.3f} for real rows): {memory['meaning']}"
    if model.repeats is not None:
        found.append(("repeats", f"{model.repeats.says(model.codec)}; `sample --no-repeats` draws none so"))
    return [*found, *training_facts(model.info), ("memorisation", text), *run_facts(model.info, model.plans)]


def write_report(path: str | Path, model: TrainedTable, comparison: TableComparison) -> None:
    """Write the page: the verdict, each column and each pair, real beside new rows, privacy, intervals, densities.

    Args:
        path: file to write, .html.
        model: of the table.
        comparison: with real rows, from `tables.evaluate.evaluate`.
    """
    c, quality = comparison, quality_of(model, comparison)
    loss = (
        "Loss on held-out rows with fixed noise, of the numbers per noise level and of the codes together; it is not "
        "zero at its best, because noise cannot be guessed."
    )
    sections = (
        _lead(model, c),
        verdict_section(c, quality),
        _marginals(model, c, quality),
        _associations(model, c, quality),
        metrics_section(c, "rows"),
        _privacy(quality),
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


def quality_of(model: TrainedTable, c: TableComparison) -> Quality:
    """What is told of columns, pairs and privacy."""
    codec = model.codec
    real, new = (codec.encode(frame) for frame in c.shown)
    near = None
    if c.training is not None and len(c.training):
        held = codec.encode(c.real)
        near = privacy(codec, with_holes(codec, codec.encode(c.new), held), held, codec.encode(c.training))
    return Quality(marginals(codec, real, new), associations(codec, real, new), near)


def _marginals(model: TrainedTable, c: TableComparison, quality: Quality) -> str:
    real, new = c.shown
    off = {m.column.name: in_words(m) for m in quality.marginals if m.off}
    columns = modelled(model.codec)
    more = f" The first {MOST_MARGINALS} of {len(columns)}." if len(columns) > MOST_MARGINALS else ""
    pictures = "".join(
        figure(
            marginal_svg(Shown.of(column, real[column.name], new[column.name])),
            "",
            kind="off" if column.name in off else "",
            alt=off.get(column.name, f"{column.name}: real and generated values"),
        )
        for column in columns[:MOST_MARGINALS]
    )
    atoms = " Shares under a name are those of a value with a point mass." if any(c.atoms for c in columns) else ""
    marked = " Columns that are off are marked at their left." if off else ""
    return (
        f"<h2>Each column</h2><p>Filled, blue: {len(real):,} real rows; outlined, orange: {len(new):,} generated ones."
        f'{atoms}{marked}{more}</p><div class="grid">{pictures}</div>'
    )


def _associations(model: TrainedTable, c: TableComparison, quality: Quality) -> str:
    found = quality.associations
    if not found.pairs:
        return ""
    rows = [
        [
            html.escape(text)
            for text in (f"{p.first} \u2013 {p.second}", f"{p.real:.2f}", f"{p.new:.2f}", f"{p.gap:.2f}")
        ]
        + [f"{p.chance:.2f}"]
        for p in found.pairs[:5]
    ]
    header = ("the pairs that differ most", "real", "generated", "difference", "chance explains")
    said = html.escape(of_pairs(found)[0].text)
    more = f" The first {MOST_ASSOCIATED} columns." if len(modelled(model.codec)) > MOST_ASSOCIATED else ""
    real, new = c.shown
    shown = [Shown.of(column, real[column.name], new[column.name]) for column in modelled(model.codec)]
    return (
        f"<h2>Each pair of columns</h2><p>{said} An association is Spearman's rank correlation of numbers, Cramer's "
        f"V of categories, the correlation ratio of one of each.{more}</p>{table(header, rows)}"
        + figure(
            associations_svg(found),
            "The difference of the associations, real against generated; framed: more than chance explains.",
            kind="map" if len(found.names) <= 12 else "wide",
        )
        + figure(
            pairs_svg(shown),
            "The most related columns: real rows below the diagonal (blue), generated ones above it (orange).",
            kind="wide",
        )
    )


def _privacy(quality: Quality) -> str:
    found = quality.privacy
    if found is None:
        return f"<h2>Privacy</h2><p>{html.escape(of_privacy(None).text)}</p>"
    equal = found.equal
    rows = [
        ("<b>nearer than a held-out row</b>", f"{found.nearer:.1%}", "50 % if alike"),
        ("<b>nearer than the nearest 5 % of held-out rows</b>", f"{found.close:.1%}", "5 % if alike"),
        ("<b>equal to a training row</b>", f"{equal[0]:.1%}", f"{equal[1]:.1%} of held-out rows"),
    ]
    return (
        f"<h2>Privacy</h2><p>{html.escape(of_privacy(found).text)} This compares rows; it is no proof that nothing can "
        f"be learned of a person.</p>{table(('of the generated rows', '', 'beside it'), rows)}"
        + figure(
            privacy_svg(found),
            "",
            alt="Distances to the closest training row, generated and held-out rows",
            kind="wide",
        )
    )


def _coverage(c: TableComparison) -> str:
    if not c.coverage:
        return ""
    caption = (
        f"Each column predicted from the others, {max(len(k.ranks) for k in c.coverage)} rows at most; "
        "bars: what chance allows (95 %) if the intervals are right."
    )
    picture = figure(coverage_svg(c.coverage), caption, kind="wide")
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
        f"{table(('of real rows, mean', 'nats'), rows)}{figure(density_svg(d), caption, kind='wide')}"
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
