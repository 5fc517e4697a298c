"""A table in many Parquet files: the codec of one in memory, an order that follows from the seed, the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield import runs
from scorefield.data import DataError
from scorefield.data.streams import table_parts, tableparts
from scorefield.data.streams.tableparts import TableParts
from scorefield.records.streamed import Streamed
from scorefield.tables import TrainedTable, detect, fit_row_codec
from scorefield.tables.evaluate import evaluate
from scorefield.tables.fit_parts import AsTheyAre, encoded_stream, fit_parts
from scorefield.tables.frequencies import counts_of
from scorefield.tables.held import held_out
from scorefield.tables.repeats import fit_repeats
from scorefield.tables.surveyed import cut_rows, survey

Command = Callable[..., tuple[int, str, str]]
N = 360


def houses(n: int = N) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    size = np.round(np.exp(draw.normal(4, 0.4, n)), 1)
    built = pd.to_datetime("1990-01-01") + pd.to_timedelta(draw.integers(0, 9000, n), "D")
    frame = pd.DataFrame({"size": size, "town": draw.choice(["Basel", "Bern"], n), "built": built, "code": 7})
    frame["price"] = np.where(draw.random(n) < 0.1, np.nan, 8 * size + draw.normal(0, 40, n))
    frame["again"] = frame["size"]
    return frame


def written(frame: pd.DataFrame, folder: Path, files: int = 3, group: int = 50) -> Path:
    for k, part in enumerate(np.array_split(np.arange(len(frame)), files)):
        path = folder / "deep" / f"part-{k}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.iloc[part].to_parquet(path, row_group_size=group, index=False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(houses(), tmp_path_factory.mktemp("parts") / "rows")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    to = folder.parent / "run"
    for _ in fit_parts(folder, to, settings={"steps": 6, "batch": 32, "evaluate_every": 3}):
        pass
    return to


def test_one_pass_gives_the_codec_and_the_counts_of_the_table_in_memory(folder: Path) -> None:
    parts, frame = table_parts(folder), houses()
    wanted = np.array([300, 2, 71])
    found, codec = survey(parts, detect, wanted), fit_row_codec(frame)
    assert len(parts.sizes) > 6 and found.codec.schema == codec.schema
    for name in ("mean", "std", "least", "most"):  # merged in float64: to rounding
        assert np.allclose(getattr(found.codec, name), getattr(codec, name), rtol=1e-12, atol=1e-12)
    rows = codec.encode(frame)
    assert all(torch.equal(a, b) for a, b in zip(found.counts, counts_of(codec, rows), strict=True))
    assert torch.equal(found.rows.nan_to_num(nan=9.0), found.codec.encode(frame.iloc[wanted]).nan_to_num(nan=9.0))


def _late_town(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(town=[*frame.town[:-1], "Zug"])


def _late_copy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(again=[*frame.again[:-1], 1.5])


def _late_constant(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(code=[*frame.code[:-1], 8])


def _late_half(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(code=[*range(len(frame) - 1), 0.5])


def _late_column(frame: pd.DataFrame) -> pd.DataFrame:
    rooms = np.where(np.arange(len(frame)) < 200, np.nan, np.arange(len(frame)) % 7 + 0.25)
    return frame.assign(rooms=rooms, sold=[None] * (len(frame) - 60) + ["yes", "no"] * 30)


@pytest.mark.parametrize("late", [_late_town, _late_copy, _late_constant, _late_half])
def test_what_a_sample_did_not_show_is_found(late: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = late(houses())  # type: ignore[operator]
    parts = table_parts(written(frame, tmp_path))
    monkeypatch.setattr(TableParts, "sample", lambda self, count: self.frame(0))
    first, codec = detect(parts.frame(0)), survey(parts, detect, np.zeros(0, np.int64)).codec
    assert codec.schema != first
    assert not codec.misfits(frame).any()
    assert codec.decode(codec.encode(frame)).town.tolist() == frame.town.tolist()


def test_a_column_that_is_empty_in_the_whole_sample_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = _late_column(houses())
    parts = table_parts(written(frame, tmp_path / "late"))
    monkeypatch.setattr(TableParts, "sample", lambda self, count: self.frame(0))
    codec = survey(parts, detect, np.zeros(0, np.int64)).codec
    assert {name: codec.schema[name].kind for name in ("rooms", "sold")} == {
        name: detect(frame)[name].kind for name in ("rooms", "sold")
    }
    assert not codec.misfits(frame).any()
    for name in ("rooms", "sold"):
        back = codec.decode(codec.encode(frame))[name]
        assert back.isna().equals(frame[name].isna()) and back.dropna().tolist() == frame[name].dropna().tolist()
    never = table_parts(written(frame.assign(rooms=np.nan), tmp_path / "never"))
    with pytest.raises(DataError, match="rooms"):
        survey(never, detect, np.zeros(0, np.int64))


def test_a_schema_that_was_given_is_kept_and_what_does_not_fit_it_is_told(tmp_path: Path) -> None:
    parts = table_parts(written(_late_town(houses()), tmp_path))
    with pytest.raises(DataError, match=r"part-2.parquet, row group 3: column 'town' holds 'Zug' in row 20"):
        survey(parts, detect(houses()), np.zeros(0, np.int64))


def test_a_sample_is_rows_of_the_table_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, frame = table_parts(folder), houses()
    assert parts.sample(10**6).equals(frame)
    monkeypatch.setattr(tableparts, "_SAMPLED", 2)
    few = parts.sample(30)
    assert len(few) == 30 and len(few.merge(frame.dropna(), how="inner")) == few.price.notna().sum()
    assert parts.rows(np.array([359, 0, 120])).equals(frame.iloc[[359, 0, 120]].reset_index(drop=True))


def test_rows_are_those_of_the_codec_with_the_noise_of_their_number(folder: Path) -> None:
    parts, frame = table_parts(folder), houses()
    codec = fit_row_codec(frame)
    stream = encoded_stream(parts, codec, 3)
    whole = np.concatenate([block for _, block in stream.blocks()])
    assert np.array_equal(whole, codec.encode(frame, 3).float().numpy(), equal_nan=True)


def test_held_out_rows_and_the_sample_are_apart(folder: Path) -> None:
    parts = table_parts(folder)
    held, some = cut_rows(parts, 0.1, 5)
    assert sorted([*held, *some]) == list(range(N))  # all that are trained on, as they are few
    assert not np.array_equal(held, cut_rows(parts, 0.1, 6)[0])


def test_values_that_recur_together_are_found_as_in_memory(tmp_path: Path) -> None:
    """Mixtures that are measured at several ages, and a number with a value that comes again and again."""
    draw = np.random.default_rng(1)
    mixtures = np.round(draw.normal(200, 40, (90, 2)), 1)[np.repeat(np.arange(90), 4)]
    ash = np.where(draw.random(360) < 0.4, 0.0, np.round(draw.normal(50, 9, 360), 2))
    frame = pd.DataFrame({"cement": mixtures[:, 0], "water": mixtures[:, 1], "ash": ash})
    frame["strength"] = 0.1 * frame["cement"] + draw.normal(0, 3, 360)
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    codec = fit_row_codec(frame)
    found = survey(table_parts(written(frame, tmp_path)), detect, np.arange(len(frame)))
    assert found.codec.schema == codec.schema and codec.schema["ash"].atoms == (0.0,)
    own, streamed = (fit_repeats(c, rows) for c, rows in ((codec, codec.encode(frame)), (found.codec, found.rows)))
    assert own is not None and streamed is not None and own.columns(codec) == ("cement", "water")
    assert streamed.columns(found.codec) == own.columns(codec) and streamed.new == own.new == 0.0
    torch.testing.assert_close(streamed.rows, own.rows, rtol=0, atol=1e-9)
    assert torch.equal(streamed.weights, own.weights)


def test_stopping_and_threads_change_nothing(folder: Path, run: Path) -> None:
    to, settings = folder.parent / "resumed", {"steps": 6, "batch": 32, "evaluate_every": 3, "checkpoint_every": 1e-6}
    loop = fit_parts(folder, to, settings=settings, readers=3)
    for _ in range(2):
        next(loop)
    loop.close()  # type: ignore[attr-defined]
    for _ in fit_parts(folder, to, settings=settings, resume=True):
        pass
    one, two = TrainedTable.load(run), TrainedTable.load(to)
    assert one.sample(5, steps=4).equals(two.sample(5, steps=4))
    for a, b in zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="other rows"):
        next(fit_parts(written(houses().iloc[:200], folder.parent / "less"), to, settings=settings, resume=True))


def test_the_run_answers_as_one_of_a_table_and_knows_its_held_out_rows(folder: Path, run: Path) -> None:
    model, frame = TrainedTable.load(run), houses()
    assert model.info["data"]["rows"] == 324 and model.info["data"]["stream"]["sample"] == 324
    assert torch.isfinite(model.log_density(frame.iloc[:3]).value).all() and "memorisation" in model.info
    expected = frame.iloc[cut_rows(table_parts(folder), 0.1, 0)[0]].reset_index(drop=True)
    found = held_out(model)
    assert found.rows is not None and found.rows.reset_index(drop=True).equals(expected)
    compared = evaluate(model, folder, n=20, steps=4)
    assert compared.unseen and compared.real.equals(expected[:20])
    assert not evaluate(model, str(folder / "deep" / "*-0.parquet"), n=20, steps=4).unseen


def test_which_parquet_files_are_a_table(folder: Path, run: Path, tmp_path: Path) -> None:
    pattern, numbers = str(folder / "**" / "*.parquet"), written(houses()[["size", "price"]], tmp_path / "numbers")
    assert runs.kind_of_source(folder) is runs.kind_of_source(pattern) is runs.TABLES
    assert runs.kind_of_source(numbers) is runs.kind_of_source(str(numbers / "deep" / "*.parquet")) is runs.RECORDS
    apart = ("town", "built")
    assert runs.kind_of_source(folder, leave_out=apart) is runs.RECORDS
    assert runs.kind_of_source(folder, leave_out=apart, folder=run) is runs.TABLES  # as that training began
    assert runs.kind_of_source(folder, stream=True) is runs.kind_of_source(folder, energy=True) is runs.RECORDS
    assert runs.kind_of_source(table_parts(numbers)) is runs.TABLES


def test_files_of_other_forms_are_told(folder: Path, tmp_path: Path) -> None:
    def broken(frame: pd.DataFrame) -> Path:
        written(houses(90), tmp_path)
        frame.to_parquet(tmp_path / "deep" / "part-3.parquet")
        return tmp_path

    for frame, words in (
        (houses(90).drop(columns="town"), "part-3.parquet lacks the column 'town'; give files of one form"),
        (houses(90).assign(more=1), "part-3.parquet has also the column 'more'"),
        (houses(90).assign(size="large"), "column 'size' holds text, and numbers in a file before it"),
    ):
        with pytest.raises(DataError, match=words):
            table_parts(broken(frame))
    with pytest.raises(DataError, match=r"holds no \.parquet files with rows"):
        table_parts(tmp_path / "nothing")
    with pytest.raises(DataError, match="has no column"):
        table_parts(folder, ["nothing"])


def test_categories_holes_and_an_index_are_read_alike(tmp_path: Path) -> None:
    frame = houses(60).assign(whole=[*range(59), None], kind=pd.Categorical(["a", "b", "c"] * 20))
    frame.loc[:29, "price"] = np.nan  # all of a row group: it holds nothing
    frame.index = pd.Index(range(5, 65), name="number")
    (tmp_path / "rows").mkdir()
    frame.iloc[:30].to_parquet(tmp_path / "rows" / "a.parquet")
    frame.iloc[30:].astype({"kind": str})[frame.columns[::-1]].to_parquet(tmp_path / "rows" / "b.parquet")
    parts = table_parts(tmp_path / "rows")
    whole = parts.rows(np.arange(60))
    assert parts.names == tuple(frame.columns)  # an index that pandas noted is apart, as `density` takes it
    assert whole.kind.tolist() == frame.kind.tolist() and whole.whole.isna().sum() == 1
    codec = survey(parts, detect, np.zeros(0, np.int64)).codec
    assert codec.schema["kind"].values == ("a", "b", "c") and codec.schema["price"].holds == "numbers"


def test_rows_of_an_order_come_as_they_stand_in_the_table(folder: Path) -> None:
    from scorefield.data.streams.order import Order
    from scorefield.data.streams.reader import Reader

    parts = table_parts(folder)
    codec = fit_row_codec(houses())
    held = np.sort(cut_rows(parts, 0.1, 0)[0])
    order = Order(encoded_stream(parts, codec, 0), held, 0, 100)
    x = Streamed(AsTheyAre(order.stream.shape), Reader(order))
    rows, places = x.in_turn(0, len(x))
    assert sorted(places.tolist()) == list(range(len(x)))
    assert torch.equal(rows.nan_to_num(nan=9.0), x[places].nan_to_num(nan=9.0))
    x.reader.close()


def test_the_commands(scorefield: Command, folder: Path, run: Path, tmp_path: Path) -> None:
    pattern = str(folder / "deep" / "*.parquet")
    assert "this training has ended" in scorefield("fit", pattern, "-o", run, "--resume")[1]
    assert "mixture, percentiles and memorisation of 324 of them" in scorefield("info", run)[1]
    assert "predicted from the rest" in scorefield("evaluate", run, folder, "-n", 20, "--steps", 4)[1]
    code, _, _ = scorefield("density", run, folder, "-o", tmp_path / "densities")
    assert code == 0 and len(list((tmp_path / "densities").rglob("*.parquet"))) == 3
    one = houses(40).to_parquet(tmp_path / "one.parquet") or tmp_path / "one.parquet"
    for words, told in (
        ((folder, "--decimal", "comma"), "are .parquet files, so they have no option --decimal"),
        ((one, "--readers", 2), "is a table in memory, so it has no option --readers"),
        ((folder, "--image-size", 8), "is fitted as a table, so it has no option"),
        ((tmp_path / "no*.parquet",), "is not there"),
    ):
        code, _, said = scorefield("fit", *words, "-o", tmp_path / "no")
        assert code == 2 and told in said, said
