"""`scorefield serve`: the numbers of the command line, whoever else asks at the same time."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from explorer_runs import digits_session, mixed_table_session, points_session
from scorefield import runs
from scorefield.serving.asks import Endpoint
from scorefield.serving.endpoints import endpoints_of, no_such
from scorefield.serving.limits import LIMITS
from scorefield.serving.openapi import document
from scorefield.tables.repeats import Repeats
from serving import WAIT, Client, process

ROW = {"town": "Bern", "area": 60.5, "rooms": 12, "price": 17000, "garden": 0, "sold": "2020-05-01"}
ROWS = [
    ROW,
    {**ROW, "town": None, "garden": 48.25},
    {**ROW, "town": "Wien", "rooms": None, "price": 6100.0, "sold": "2021-12-24"},
    {**ROW, "area": 95.1, "sold": None},
]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a table of every kind of column, and its rows as a file."""
    folder = tmp_path_factory.mktemp("homes")
    table = mixed_table_session(folder).run
    areas = table.codec.encode(table.sample(40, seed=8))[:, :1]  # half of the new rows have one of these
    replace(table, repeats=Repeats(torch.tensor([0]), areas, torch.ones(40), 0.5)).save(folder / "run")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


@pytest.fixture(scope="module")
def client(homes: Path) -> Iterator[Client]:
    with process(homes / "run") as (_, client):
        yield client


# --------------------------------------------------------------------------------------- the command line's numbers


def close(a: Any, b: Any, relative: float = 1e-9) -> None:
    """Equal, floats to rounding."""
    if isinstance(a, float) or isinstance(b, float):
        assert a is not None and b is not None and abs(a - b) <= relative * max(1.0, abs(a)), (a, b)
    else:
        assert a == b


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]], relative: float = 1e-9) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert list(one) == list(other)
        for name in one:
            close(one[name], other[name], relative)


CALLS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "density": (("--seed", "3", "--tolerance", "0.02"), {"seed": 3, "tolerance": 0.02}),
    "outliers": (("--share", "0.4"), {"share": 0.4}),
    "impute": (("--draws", "2", "--steps", "5"), {"draws": 2, "steps": 5}),
    "predict": (("--target", "price", "--interval", "0.8"), {"target": "price", "interval": 0.8}),
}


@pytest.mark.parametrize("name", CALLS)
def test_answers_are_those_of_the_command_line(scorefield, client: Client, homes: Path, tmp_path: Path, name: str):
    words, options = CALLS[name]
    code, _, err = scorefield(name, homes / "run", homes / "rows.jsonl", "-o", tmp_path / "a.jsonl", *words)
    assert code == 0, err
    wanted = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    found = client.rows(f"/{name}", rows=ROWS, **options)
    if name == "impute":  # a file keeps what it does not fill as it was written
        wanted, found = ([{**r, "sold": r["sold"][:10]} for r in rows] for rows in (wanted, found))
    same(found, wanted)


def test_draws_are_those_of_the_command_line(scorefield, client: Client, homes: Path, tmp_path: Path) -> None:
    assert scorefield("sample", homes / "run", "-n", 5, "-o", tmp_path / "a.jsonl", "--seed", 7, "--steps", 6)[0] == 0
    wanted = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    same(client.rows("/sample", n=5, seed=7, steps=6), wanted)
    same(client.rows("/sample", n=2, seed=7, steps=6, first=3), wanted[3:], 1e-6)
    words = ("-n", 5, "-o", tmp_path / "b.jsonl", "--seed", 7, "--steps", 6, "--no-repeats")
    assert scorefield("sample", homes / "run", *words)[0] == 0
    fresh = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    same(client.rows("/sample", n=5, seed=7, steps=6, repeats=False), fresh)
    assert [row["area"] for row in fresh] != [row["area"] for row in wanted]
    given = client.rows("/sample", n=4, given=["town=Wien"])
    assert {row["town"] for row in given} == {"Wien"}


# --------------------------------------------------------------------------------------------------- computed together


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(calls)
    ready = threading.Barrier(len(calls))

    def one(i: int) -> None:
        ready.wait(WAIT)
        found[i] = calls[i]()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    return found


def test_what_is_computed_together_is_what_is_computed_alone(client: Client) -> None:
    draws = [{"n": 1 + k % 3, "seed": k, "first": 10 * k, "steps": 6, "repeats": k % 4 > 0} for k in range(12)]
    rows = [{"rows": ROWS[k % 4 :] + ROWS[: k % 2]} for k in range(12)]
    alone = [client.rows("/sample", **how) for how in draws] + [client.rows("/density", **how) for how in rows]
    before = client.metric('scorefield_batch_requests_count{endpoint="density"}')
    calls = [lambda how=how: client.rows("/sample", **how) for how in draws]
    calls += [lambda how=how: client.rows("/density", **how) for how in rows]
    for one, other in zip(at_once(calls), alone, strict=True):
        same(one, other, 1e-6)
    batches = client.metric('scorefield_batch_requests_count{endpoint="density"}') - before
    assert batches < 12  # some of the 12 were computed together


def test_one_bad_request_among_many_harms_itself_alone(client: Client) -> None:
    bad = {"rows": [{**ROW, "town": "Rom"}]}
    said = at_once([lambda k=k: client.ask("/density", bad if k == 3 else {"rows": ROWS[:2]}) for k in range(8)])
    assert [one.status for one in said] == [422 if k == 3 else 200 for k in range(8)]
    assert "'Rom' in row 1" in said[3].error
    same(said[0].json["rows"], client.rows("/density", rows=ROWS[:2]), 1e-6)


def test_seeds_one_by_one_give_the_draws_of_each(homes: Path) -> None:
    table, points = runs.load(homes / "run"), points_session().run
    assert points is not None
    seeds, first = torch.tensor([5, 5, -2, 5]), torch.tensor([0, 3, 3, 1])
    whole = table.sample(4, seed=seeds, first=first, steps=5)
    each = pd.concat([table.sample(1, seed=int(s), first=int(i), steps=5) for s, i in zip(seeds, first, strict=True)])
    pd.testing.assert_frame_equal(whole, each.reset_index(drop=True), rtol=1e-6)
    whole = points.sample(4, seed=seeds, first=first, steps=5)
    each = [points.sample(1, seed=int(s), first=int(i), steps=5) for s, i in zip(seeds, first, strict=True)]
    assert np.allclose(whole, np.concatenate(each), rtol=1e-5)
    with pytest.raises(ValueError, match="conditions"):
        table.sample(4, seed=seeds, given={"town": "Bern"})


# ------------------------------------------------------------------------------------------------------ every kind


def test_a_kind_answers_what_its_table_of_endpoints_has() -> None:
    for kind in runs.KINDS:
        assert set(endpoints_of(kind)) == kind.answers
        for other in runs.KINDS:
            for name in other.answers - kind.answers:
                assert other.name in no_such(kind, name) and kind.name in no_such(kind, name)
    assert "there is no '/densty'" in no_such(runs.TABLES, "densty")


def test_another_kinds_question_is_one_sentence(client: Client) -> None:
    said = client.ask("/denoise", {"records": [[1.0]], "sigma": 1})
    assert said.status == 404 and "a run of a table, and /denoise answers for arrays or images only" in said.error
    said = client.ask("/density", method="GET")
    assert said.status == 405 and said.headers["allow"] == "POST" and "GET" in said.error


def test_arrays_and_images(tmp_path: Path) -> None:
    run = points_session().run
    assert run is not None
    run.save(tmp_path / "points")
    x = np.array([[0.5, 1.0], [-1.0, 0.25]])
    with process(tmp_path / "points") as (_, client):
        for name, own in (("denoise", run.denoise), ("score", run.score)):
            said = client.ask(f"/{name}", {"records": x.tolist(), "sigma": 0.4})
            assert np.allclose(said.json["records"], own(x, 0.4), rtol=1e-6)
            file = io.BytesIO()
            np.save(file, x)
            kind = {"Content_Type": "application/x-npy", "Accept": "application/x-npy"}
            said = client.ask(f"/{name}?sigma=0.4", file.getvalue(), **kind)
            assert np.allclose(np.load(io.BytesIO(said.body)), own(x, 0.4), rtol=1e-6)
        drawn = client.ask("/sample", {"n": 3, "seed": 2, "steps": 5}).json["records"]
        assert np.allclose(drawn, run.sample(3, seed=2, steps=5), rtol=1e-6)
        values = [row["log_density"] for row in client.rows("/density", records=x.tolist(), tolerance=1e-4)]
        assert np.allclose(values, run.log_density(x, tolerance=1e-4).value)
        bad = {"ragged": [[1, 2], [3]], "one": [1.0], "text": [["a", "b"]], "wide": [[1, 2, 3]], "none": []}
        for records in bad.values():
            assert client.ask("/denoise", {"records": records, "sigma": 1}).status == 422
        for body in (b"", b"\x93NUMPY", file.getvalue()[:-8], file.getvalue().replace(b"(2, 2)", b"(9, 9)")):
            assert client.ask("/denoise?sigma=1", body, Content_Type="application/x-npy").status == 400


def test_images_come_as_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    run = digits_session().run
    assert run is not None
    run.save(tmp_path / "run")
    with process(tmp_path / "run") as (_, client):
        said = client.ask("/sample", {"n": 4, "steps": 3, "condition": 7}, Accept="image/png")
        assert said.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(said.body)).size[0] > 50
        whole = client.ask("/sample", {"n": 4, "steps": 3}).json
        assert len(whole["labels"]) == 4 and np.shape(whole["records"]) == (4, 8, 8)


# ----------------------------------------------------------------------------------------------- what describes it


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for part in value.values():
            yield from refs(part)
    elif isinstance(value, list):
        for part in value:
            yield from refs(part)


@pytest.mark.parametrize("kind", runs.KINDS, ids=lambda kind: kind.form)
def test_the_description_is_of_the_endpoints_and_their_options(kind: runs.Kind) -> None:
    endpoints = endpoints_of(kind)
    made = json.loads(json.dumps(document(endpoints, LIMITS, None, "run"), allow_nan=False))
    assert made["openapi"] == "3.1.0" and {"title", "version"} <= set(made["info"])
    assert set(made["paths"]) == {f"/{name}" for name in endpoints} | {"/health", "/metrics", "/openapi.json"}
    for ref in refs(made):
        part = made
        for name in ref.removeprefix("#/").split("/"):
            part = part[name]
    ids = [one["operationId"] for path in made["paths"].values() for one in path.values()]
    assert len(set(ids)) == len(ids)
    for name, endpoint in endpoints.items():
        operation = made["paths"][f"/{name}"]["post"]
        assert {"200", "401", "413", "422", "429", "503"} <= set(operation["responses"])
        _check_options(made, endpoint)


def _check_options(made: dict[str, Any], endpoint: Endpoint) -> None:
    """The stated ranges are those that are enforced: a value beyond each bound is refused."""
    schema = made["components"]["schemas"][endpoint.options.__name__]
    needed = {name: "x" if own["type"] == "string" else 1 for name, own in schema["properties"].items()}
    needed = {name: value for name, value in needed.items() if name in schema.get("required", ())}
    for name, own in schema["properties"].items():
        for bound, step in (("minimum", -1), ("maximum", 1)):
            if bound in own:
                endpoint.options(**{**needed, name: own[bound]})
                with pytest.raises(ValueError, match=name):
                    endpoint.options(**{**needed, name: own[bound] + step})
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            if bound in own:
                with pytest.raises(ValueError, match=name):
                    endpoint.options(**{**needed, name: own[bound]})


def test_the_service_describes_its_own_columns(client: Client) -> None:
    made = client.ask("/openapi.json", method="GET").json
    row = made["components"]["schemas"]["Row"]
    assert row["properties"]["town"]["enum"] == ["Bern", "Lyon", "Wien", None] and set(row["properties"]) == set(ROW)


def test_metrics_are_prometheus_text(client: Client) -> None:
    client.rows("/density", rows=ROWS[:1])
    said = client.ask("/metrics", method="GET")
    assert said.headers["content-type"].startswith("text/plain; version=0.0.4")
    name, labels = r"[a-z_]+", r'\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\}'
    for line in said.body.decode().splitlines():
        assert re.fullmatch(rf"# (HELP|TYPE) {name} .+|{name}({labels})? [0-9.e+-]+", line), line
    assert client.metric('scorefield_requests_total{endpoint="density",status="200"}') >= 1
    assert client.metric('scorefield_network_evaluations_total{endpoint="density"}') >= 1
    count = client.metric('scorefield_request_seconds_count{endpoint="density"}')
    assert count == client.metric('scorefield_request_seconds_bucket{endpoint="density",le="+Inf"}') >= 1
    assert client.metric("scorefield_queue_length") == 0


def test_the_command_prints_its_token_once(homes: Path) -> None:
    call = [sys.executable, "-m", "scorefield", "serve", str(homes / "run"), "--port", "0"]
    plain = {name: value for name, value in os.environ.items() if name != "SCOREFIELD_TOKEN"}
    running = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=plain)
    try:
        assert running.stdout is not None
        token, url = (running.stdout.readline().split()[k] for k in (2, 1))
        client = Client(int(url.rpartition(":")[2]), running.pid, token)
        assert client.ask("/metrics", method="GET").status == 200
        running.terminate()
        out, err = running.communicate(timeout=WAIT)
        assert (running.returncode, out, err) == (0, "", "")
    finally:
        running.kill()
        running.wait()
