"""What a table's report says: columns, pairs and copies that are off are named, and the rest is left in peace."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.metrics.comparison import Figure
from scorefield.report.columns import Shown, edges, value_in_words
from scorefield.report.figures import DARK, plain, short_number
from scorefield.report.page import figure
from scorefield.report.quality_figures import associations_svg, privacy_svg
from scorefield.report.table_figures import marginal_svg, pairs_svg
from scorefield.report.verdict import Quality, findings, headline, in_words, of_columns, of_pairs, of_privacy
from scorefield.tables.associations import associations
from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.evaluate import Densities, TableComparison
from scorefield.tables.marginals import Marginal, marginals, worst_first
from scorefield.tables.measures import modelled
from scorefield.tables.privacy import Privacy, privacy

N = 600


def rows(seed: int, n: int = N, tilt: float = 0.0) -> pd.DataFrame:
    """Numbers, dates, whole numbers, categories of which the last depends on the first number, and a point mass."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    kind = np.where(rng.random(n) < 1 / (1 + np.exp(-2 * size)), "large", "small")
    paid = np.where(rng.random(n) < 0.3, 0.0, np.exp(rng.normal(6, 1, n)))
    return pd.DataFrame(
        {
            "size": size + tilt,
            "weight": 0.8 * size + 0.6 * rng.normal(size=n),
            "born": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 366, n), unit="D"),
            "age": rng.integers(0, 90, n),
            "paid": paid,
            "kind": kind,
            "town": rng.choice(["Bern", "Lyon", "Oslo", "a town with a long name"], n, p=[0.4, 0.3, 0.2, 0.1]),
        }
    )


@pytest.fixture(scope="module")
def codec() -> RowCodec:
    return fit_row_codec(rows(0))


def compared(codec: RowCodec, new: pd.DataFrame) -> dict[str, Marginal]:
    return {str(m.column.name): m for m in marginals(codec, codec.encode(rows(0)), codec.encode(new))}


def test_equal_laws_are_left_in_peace(codec: RowCodec) -> None:
    real = codec.encode(rows(0))
    for seed in range(1, 9):  # each is called off with a probability of at most 1 % for columns, and for pairs
        new = codec.encode(rows(seed))
        assert [m for m in marginals(codec, real, new) if m.off] == []
        assert [pair for pair in associations(codec, real, new).pairs if pair.off] == []


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("size", lambda v: v + 0.5, "is at most"),
        ("town", lambda v: v.where(v != "Oslo", "Bern"), "is 'Oslo' in"),
        ("age", lambda v: v - 4, "below 0, the least real one"),
        ("born", lambda v: v + pd.Timedelta(days=20), "above 2020-12-3"),
        ("paid", lambda v: v.where(v > 0, 5.0), "is at most"),
    ],
)
def test_a_column_that_is_off_is_named_with_what_to_do(codec: RowCodec, column: str, change, said: str) -> None:
    new = rows(1)
    new[column] = change(new[column])
    found = compared(codec, new)
    assert [name for name, m in found.items() if m.off] == [column]
    text = in_words(found[column])
    assert text.startswith(f"Column {column!r} is off:") and said in text and "schema" in text
    (finding,) = of_columns(list(found.values()))
    assert finding == (False, text) and "nan" not in text


def test_the_gap_of_a_column_of_numbers_is_the_distance_of_kolmogorov_and_smirnov(codec: RowCodec) -> None:
    from scipy.stats import ks_2samp

    new = rows(1, tilt=0.3)
    mine = compared(codec, new)["size"]
    assert mine.gap == pytest.approx(ks_2samp(rows(0)["size"], new["size"]).statistic, abs=1e-12)
    assert worst_first(list(compared(codec, new).values()))[0] == mine


def test_values_beyond_all_real_ones_are_a_surprise_only_where_there_are_many(codec: RowCodec) -> None:
    few, many = rows(1), rows(1)
    few.loc[:4, "size"], many.loc[:24, "size"] = 9.0, 9.0
    assert compared(codec, few)["size"].above == 0.0
    assert compared(codec, many)["size"].above == (many["size"] > rows(0)["size"].max()).mean() >= 25 / N


def test_associations_are_the_textbooks(codec: RowCodec) -> None:
    frame = rows(0)
    found = associations(codec, codec.encode(frame), codec.encode(frame))
    place = {name: k for k, name in enumerate(found.names)}
    assert found.names == tuple(column.name for column in modelled(codec))
    i, j = place["size"], place["weight"]
    assert found.real[i, j] == pytest.approx(frame["size"].corr(frame["weight"], method="spearman"), abs=1e-12)
    assert np.array_equal(found.real, found.real.T) and (np.diagonal(found.real) == 1).all()
    ranks = frame["size"].rank()
    explained = ranks.groupby(frame["kind"]).transform("mean").var() / ranks.var()
    bias = (1 - explained) * (N - 1) / (N - 2)
    assert found.real[i, place["kind"]] == pytest.approx((1 - bias) ** 0.5, abs=1e-9)
    assert (found.gaps == 0).all() and not any(pair.off for pair in found.pairs)
    same = frame.assign(town=np.where(frame["kind"] == "large", "Bern", "Lyon"))
    told = associations(codec, codec.encode(frame), codec.encode(same))
    assert told.new[place["kind"], place["town"]] == pytest.approx(1.0, abs=0.01)  # a function of each other
    assert {told.pairs[0].first, told.pairs[0].second} & {"town", "kind"}


def test_a_pair_that_is_off_is_named(codec: RowCodec) -> None:
    new = rows(1)
    new["weight"] = np.random.default_rng(2).permutation(new["weight"])
    found = associations(codec, codec.encode(rows(0)), codec.encode(new))
    off = [{pair.first, pair.second} for pair in found.pairs if pair.off]
    assert {"size", "weight"} in off and all("weight" in pair for pair in off)
    (finding,) = of_pairs(found)
    assert not finding.good and "size and weight (0.79 in real rows" in finding.text.replace("0.78", "0.79")


def test_copies_of_training_rows_are_told_from_new_rows(codec: RowCodec) -> None:
    training, held, fresh = (codec.encode(rows(seed)) for seed in (0, 1, 2))
    alike = privacy(codec, fresh, held, training)
    assert abs(alike.nearer - 0.5) < 4 * alike.error and not alike.off and of_privacy(alike).good
    assert alike.equal == (0.0, 0.0)
    some = torch.cat([training[:120], fresh[120:]])
    copied = privacy(codec, some, held, training)
    assert copied.off and copied.equal == (0.2, 0.0) and not of_privacy(copied).good
    whole = privacy(codec, training, held, training)
    assert whole.nearer == 1.0 and whole.close == 1.0 and "100 of 100" in of_privacy(whole).text
    assert of_privacy(None).good is None
    even = Privacy(np.zeros(5), np.zeros(5))  # few rows, all of which occur again and again
    assert even.nearer == 0.5 and not even.off and privacy_svg(even)


def comparison(codec: RowCodec, judge: Figure | None) -> TableComparison:
    real, new = rows(1), rows(2)
    density = np.random.default_rng(0).normal(size=50)
    densities = Densities(density, density - 1.0, density, None)
    figures = () if judge is None else (judge,)
    return TableComparison("t.csv", figures, (), densities, None, real, new, (real, new), True, 18, "p", 0)


@pytest.mark.parametrize(
    ("value", "good", "word"),
    [(0.53, True, "Nothing"), (0.58, False, "Small"), (0.7, False, "Clear"), (0.9, False, "Gr")],
)
def test_the_report_opens_with_a_plain_verdict(codec: RowCodec, value: float, good: bool, word: str) -> None:
    c = comparison(codec, Figure("C2ST accuracy", value, 0.5, "", 0.02, 0.02))
    text = f"A classifier tells {100 * value:.0f} of 100 generated rows from real ones; 50 is perfect."
    assert headline(c) == text
    real, new = (codec.encode(frame) for frame in c.shown)
    told = findings(c, Quality(marginals(codec, real, new), associations(codec, real, new), None))
    assert told[0].good is good and told[0].text.startswith(word)
    assert "1.00 nats per row" in told[-1].text


def test_too_few_rows_for_a_verdict_are_said_to_be(codec: RowCodec) -> None:
    assert "too few for a classifier" in headline(comparison(codec, None))


def texts_of(svg: bytes) -> set[str]:
    """The texts of a drawing: matplotlib writes each before its glyphs."""
    return {text.strip() for text in re.findall(r"<!-- (.*?) -->", svg.decode(), re.DOTALL)}


def test_axes_can_be_read(codec: RowCodec) -> None:
    real, new = rows(0), rows(1)
    shown = {c.name: Shown.of(c, real[c.name], new[c.name]) for c in modelled(codec)}
    drawn = {name: texts_of(marginal_svg(one)) for name, one in shown.items()}
    assert any("2020" in text or "Jan" in text for text in drawn["born"])
    assert {"Bern", "Lyon", "Oslo", "a town with a\u2026"} <= drawn["town"]
    assert {"100", "1,000"} <= drawn["paid"] and any(text.startswith("0: 31% real") for text in drawn["paid"])
    steps = np.diff(edges(shown["age"]))
    assert np.allclose(steps, steps[0]) and steps[0] % 1 == 0  # as many whole numbers in each bin: no comb
    assert pairs_svg(list(shown.values())) == pairs_svg(list(shown.values()))  # no names at random
    found = associations(codec, codec.encode(real), codec.encode(new))
    assert {"size", "town"} <= texts_of(associations_svg(found))


def test_pictures_follow_the_page_into_the_dark(codec: RowCodec) -> None:
    column = codec.schema["size"]
    picture = marginal_svg(Shown.of(column, rows(0)["size"], rows(1)["size"]))
    ElementTree.fromstring(picture)
    style = picture.decode().split("</style>")[0]
    assert "prefers-color-scheme:dark" in style and all(c in style for pair in DARK.items() for c in pair)
    drawing = picture.decode().split("</style>", 1)[1]
    assert not any(colour in drawing for colour in (*DARK, "#000000", "#ffffff"))
    html = figure(picture, "a < b")
    content = re.search(r"base64,([^\"]*)", html)
    assert content and base64.b64decode(content[1]) == picture and "a &lt; b" in html


def test_names_are_no_formulas() -> None:
    frame = pd.DataFrame({"$x_$ in $": np.arange(30.0) ** 1.5, r"100% \alpha$": ["$", "$a$", "b_c"] * 10})
    codec = fit_row_codec(frame)
    for column in modelled(codec):
        assert marginal_svg(Shown.of(column, frame[column.name], frame[column.name]))
    assert plain("a\nb" * 30).endswith("\u2026") and short_number(123456.0) == "123.5k"


def test_values_in_words(codec: RowCodec) -> None:
    schema = codec.schema
    day = pd.Timestamp("2020-03-04").timestamp()
    assert value_in_words(schema["born"], day) == "2020-03-04"
    assert value_in_words(schema["born"], day + 3600.0) == "2020-03-04 01:00:00"
    assert value_in_words(schema["paid"], 12345.678) == "12,345.7"
    assert value_in_words(schema["town"], 0.0) == schema["town"].values[0]


def test_odd_tables_have_a_report(tmp_path: Path) -> None:
    """One column; columns without a common row; a column whose generated values are all one."""
    alone = fit_row_codec(pd.DataFrame({"x": np.arange(20.0)}))
    encoded = alone.encode(pd.DataFrame({"x": np.arange(20.0)}))
    assert associations(alone, encoded, encoded).pairs == () and of_pairs(associations(alone, encoded, encoded)) == []
    apart = pd.DataFrame({"a": [*range(20), *[None] * 20], "b": [*[None] * 20, *range(20)], "c": ["u", "v"] * 20})
    apart = apart.astype({"a": float, "b": float})
    codec = fit_row_codec(apart)
    encoded = codec.encode(apart)
    found = associations(codec, encoded, encoded)
    assert {frozenset((p.first, p.second)) for p in found.pairs} == {frozenset("ac"), frozenset("bc")}
    assert associations_svg(found)
    constant = apart.assign(a=3.0, c="u")
    told = associations(codec, encoded, codec.encode(constant))
    assert np.isfinite([pair.gap for pair in told.pairs]).all()
    for column in modelled(codec):
        assert marginal_svg(Shown.of(column, apart[column.name], constant[column.name]))
    assert marginals(codec, encoded, codec.encode(apart.assign(a=np.nan)))[0].column.name == "b"
