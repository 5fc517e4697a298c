"""Answers over folders of files: those of one process, whatever the cluster, and whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explorer_runs import mixed_table_session, points_session
from scorefield import partitioned, runs
from scorefield.partitioned import Density, Impute, Outliers, Predict, Sample
from scorefield.partitioned.answering import _least
from scorefield.partitioned.cluster import check_cluster, done
from scorefield.partitioned.parts import Part
from scorefield.progress import silent
from scorefield.tables.answers import beside_actual, densities, predicted
from scorefield.tables.outliers import outliers

if TYPE_CHECKING:
    from distributed import Client

SIZES = (7, 1, 12, 5, 9, 3)
QUESTIONS = {
    "density": Density(seed=3),
    "outliers": Outliers(share=0.2),
    "impute": Impute(steps=4, seed=5),
    "impute many": Impute(draws=2, steps=3),
    "predict": Predict("price", steps=4),
    "predict times": Predict("sold", steps=3, seed=2),
    "predict town": Predict("town"),
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and rows like its own in a folder of files, with an index of their own."""
    folder = tmp_path_factory.mktemp("homes")
    run = mixed_table_session(folder).run
    run.save(folder / "run")
    rows = run.sample(sum(SIZES), seed=9)
    rows.loc[::5, "town"] = None
    rows.loc[::4, "price"] = np.nan
    rows.index = pd.Index(np.arange(len(rows)) * 10 + 3)
    (folder / "rows" / "later").mkdir(parents=True)
    start = 0
    for k, size in enumerate(SIZES):
        place = folder / "rows" / ("later" if k > 3 else "") / f"part-{k}.parquet"
        rows.iloc[start : start + size].to_parquet(place)
        start += size
    (folder / "rows" / "_common_metadata.parquet").write_bytes(b"no rows")
    return folder


def whole(folder: Path) -> pd.DataFrame:
    """A folder's files as one table, in the order of the sources."""
    order = [f"{'later/' if k > 3 else ''}part-{k}.parquet" for k in range(len(SIZES))]
    found = [pd.read_parquet(folder / name) for name in sorted(order) if (folder / name).exists()]
    return pd.concat(found)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def alone(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The answers to each question by this process."""
    made = {name: tmp_path_factory.mktemp("alone") / "out" for name in QUESTIONS}
    for name, question in QUESTIONS.items():
        assert partitioned.answer(homes / "run", homes / "rows", made[name], question) == sum(SIZES)
    return made


# ----------------------------------------------------------------------------------------------- one table, one process


def rows_of(homes: Path) -> pd.DataFrame:
    return whole(homes / "rows")


def test_densities_are_those_of_the_whole_table(homes: Path, alone: dict[str, Path]) -> None:
    rows, found = rows_of(homes), whole(alone["density"])
    wanted = densities(runs.load(homes / "run"), rows, seed=3)
    assert list(found.index) == list(rows.index) and list(found.columns) == list(wanted.columns)
    assert np.allclose(found, wanted, rtol=1e-7)


def test_fillings_are_those_of_the_whole_table(homes: Path, alone: dict[str, Path]) -> None:
    rows, model = rows_of(homes), runs.load(homes / "run")
    pd.testing.assert_frame_equal(whole(alone["impute"]), model.impute(rows, steps=4, seed=5)[0], rtol=1e-6)
    found = whole(alone["impute many"]).reset_index(drop=True)
    for k, filled in enumerate(model.impute(rows, draws=2, steps=3), 1):
        own = found[found["draw"] == k].drop(columns="draw").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, filled.reset_index(drop=True), rtol=1e-6, check_dtype=False)


@pytest.mark.parametrize("name", ["predict", "predict times", "predict town"])
def test_predictions_are_those_of_the_whole_table(homes: Path, alone: dict[str, Path], name: str) -> None:
    rows, model, how = rows_of(homes), runs.load(homes / "run"), QUESTIONS[name]
    wanted = predicted(model, rows, how.target, steps=how.steps, seed=how.seed)
    wanted = beside_actual(wanted, rows[how.target], model.codec.schema[how.target])
    found = whole(alone[name])
    assert list(found["row"]) == list(range(1, len(rows) + 1)) and list(found.index) == list(rows.index)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-6, check_dtype=False)


def test_outliers_are_ranked_among_all_rows(homes: Path, alone: dict[str, Path]) -> None:
    wanted = outliers(runs.load(homes / "run"), rows_of(homes).reset_index(drop=True), 0.2)
    found = whole(alone["outliers"]).sort_values("rank").reset_index(drop=True)
    assert list(found["rank"]) == list(range(1, len(wanted) + 1))
    pd.testing.assert_frame_equal(found.drop(columns="rank"), wanted, rtol=1e-6, check_dtype=False)


def test_the_least_of_all_are_found_with_few_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, parts, first = rng.integers(0, 6, 200).astype(float), [], 0  # with many ties
    (tmp_path / "densities").mkdir()
    for k, size in enumerate((60, 1, 100, 39)):
        parts.append(Part(f"{k}.parquet", first, size))
        pq.write_table(pa.table({"ranked": values[first : first + size]}), tmp_path / "densities" / f"{k}.parquet")
        first += size
    found = _least(tmp_path, parts, 70)
    pairs = sorted((r, one.first + i) for one in parts for i, r in zip(*found.get(one.name, ([], [])), strict=True))
    assert [row for _, row in pairs] == list(np.argsort(values, kind="stable")[:70])


# ------------------------------------------------------------------------------------------------------- shards


def test_shards_are_the_draw_of_one_process(homes: Path, tmp_path: Path) -> None:
    how = Sample(steps=4, seed=6)
    assert partitioned.sample(homes / "run", 23, tmp_path / "t", how, shard=9) == 3
    found = pd.concat([pd.read_parquet(p) for p in sorted((tmp_path / "t").glob("*.parquet"))], ignore_index=True)
    pd.testing.assert_frame_equal(found, runs.load(homes / "run").sample(23, steps=4, seed=6), rtol=1e-6)
    run = points_session().run
    run.save(tmp_path / "points")
    partitioned.sample(tmp_path / "points", 23, tmp_path / "p", how, shard=9)
    found = np.concatenate([np.load(p) for p in sorted((tmp_path / "p").glob("*.npy"))])
    assert np.allclose(found, run.sample(23, steps=4, seed=6), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------ a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Four processes."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.parametrize("name", ["density", "outliers", "impute", "predict times"])
def test_four_processes_write_the_same_bytes_as_one(
    cluster: Client, homes: Path, alone: dict[str, Path], tmp_path: Path, name: str
) -> None:
    address = cluster.scheduler.address
    partitioned.answer(homes / "run", homes / "rows", tmp_path / "out", QUESTIONS[name], cluster=address)
    assert files(tmp_path / "out") == files(alone[name])


def test_the_command_line_starts_a_cluster_of_its_own(scorefield, homes: Path, tmp_path: Path) -> None:
    for name, cluster in (("alone", ()), ("two", ("--cluster", "local:2"))):
        code, out, err = scorefield("density", homes / "run", homes / "rows", "-o", tmp_path / name, *cluster)
        assert code == 0 and f"{sum(SIZES)} rows" in out, err
    assert files(tmp_path / "two") == files(tmp_path / "alone")


def test_a_killed_worker_loses_nothing(cluster: Client, homes: Path, tmp_path: Path) -> None:
    how, killed, pids = Sample(steps=10, seed=1), [], list(cluster.run(os.getpid).values())

    def report(share: float, what: str) -> None:
        if share > 0.2 and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    address = cluster.scheduler.address
    partitioned.sample(homes / "run", 160, tmp_path / "a", how, shard=10, cluster=address, report=report)
    assert killed
    partitioned.sample(homes / "run", 160, tmp_path / "b", how, shard=10)
    assert files(tmp_path / "a") == files(tmp_path / "b")


# ------------------------------------------------------------------------------------------------------- stops


def test_a_killed_command_goes_on_where_it_was(homes: Path, tmp_path: Path) -> None:
    words = ["sample", homes / "run", "-n", 80, "--shard", 4, "--steps", 20, "-o", tmp_path / "out", "--quiet"]
    call = [sys.executable, "-m", "scorefield", *map(str, words)]
    running = subprocess.Popen(call)
    end = time.monotonic() + 300
    while len(list((tmp_path / "out").glob("*.parquet"))) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    running.kill()
    running.wait()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.parquet")}
    assert 3 <= len(before)
    assert subprocess.run(call, check=False).returncode == 0
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())  # kept
    partitioned.sample(homes / "run", 80, tmp_path / "alone", Sample(20), shard=4)
    assert files(tmp_path / "out") == files(tmp_path / "alone")


def test_a_damaged_answer_is_written_again_and_others_are_kept(homes: Path, tmp_path: Path) -> None:
    out, how = tmp_path / "out", Density()
    partitioned.answer(homes / "run", homes / "rows", out, how)
    before = files(out)
    (out / "part-0.parquet").write_bytes(b"cut short")
    (out / "later" / "part-4.parquet").unlink()
    (out / ".part-x").mkdir()
    partitioned.answer(homes / "run", homes / "rows", out, how)
    assert files(out) == before and not (out / ".part-x").exists()


# ------------------------------------------------------------------------------------------------------- bad input


def test_what_cannot_be_is_one_sentence(scorefield, homes: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "other" / "file.txt").write_text("mine")
    (tmp_path / "bad" / "a.parquet").write_bytes(b"PAR1 no")
    run, rows, out = homes / "run", homes / "rows", tmp_path / "out"
    partitioned.answer(run, rows, out, Density())
    for words, said in (
        ((rows, "-o", out, "--tolerance", "0.5"), "another question"),
        ((rows, "-o", tmp_path / "other"), "not empty"),
        ((rows, "-o", rows / "out"), "lie in one another"),
        ((tmp_path / "empty", "-o", tmp_path / "x"), "no .parquet file"),
        ((tmp_path / "bad", "-o", tmp_path / "x"), "a.parquet"),
        ((rows, "-o", tmp_path / "x", "--cluster", "many"), "local:N"),
        ((rows, "-o", tmp_path / "x", "--decimal", "comma"), "no --decimal"),
        ((rows / "part-0.parquet", "-o", tmp_path / "x.csv", "--cluster", "local:2"), "--cluster is for a folder"),
    ):
        code, _, err = scorefield("density", run, *words)
        assert code == 2 and said in err and err.count("\n") == 1, err
    code, _, err = scorefield("sample", run, "-n", 5, "-o", tmp_path / "y", "--cluster", "local:2")
    assert code == 2 and "--shard" in err


def test_a_fault_of_a_row_names_its_file(scorefield, homes: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    frame = rows_of(homes)
    frame.to_parquet(tmp_path / "rows" / "a.parquet")
    frame.assign(town="Rom").to_parquet(tmp_path / "rows" / "b.parquet")
    code, _, err = scorefield("density", homes / "run", tmp_path / "rows", "-o", tmp_path / "out")
    assert code == 2 and "b.parquet: column 'town' holds 'Rom' in row 1" in err
    code, out, _ = scorefield(
        "density", homes / "run", tmp_path / "rows", "-o", tmp_path / "out2", "--unseen", "missing"
    )
    assert code == 0 and f"{2 * len(frame)} rows" in out


@pytest.mark.parametrize("text", ["", "local", "local:0", "local:x", "4", "http://a", "tcp://", "local:99999"])
def test_a_cluster_is_a_number_of_processes_or_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="local:N"):
        check_cluster(text)


def test_a_cluster_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ValueError, match=r"a cluster needs the package dask .*pip install 'scorefield\[dask\]'"):
        done(len, ["task"], "local:1", silent)
