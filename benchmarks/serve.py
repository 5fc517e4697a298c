"""A service under load: small requests at a fixed rate from a client in another process; writes serve.md.

    python benchmarks/serve.py [--rate 200] [--seconds 20]

Requests leave on a clock, whether or not earlier ones are answered, and a latency counts from the moment at which the
clock called for it: what queues up shows. The client is httpx on one asyncio loop, with 128 connections that are opened
before the clock starts. Nothing may be lost: each request is answered with 200, or it is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOKEN = "a-token-for-the-benchmark"
COLUMNS, CONNECTIONS = 10, 128
CASES = {
    "denoise": ("array", "/denoise", {"records": [[0.1] * COLUMNS], "sigma": 0.5}),
    "sample": ("table", "/sample", {"n": 1, "steps": 10}),
    "density": ("table", "/density", {"rows": [{f"x{j}": 0.1 * j for j in range(COLUMNS)}]}),
}


def points(n: int) -> np.ndarray:
    """Correlated numbers, `(n, 10)`."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS)) / 3


def fitted(folder: Path) -> None:
    """A run of the numbers as an array, and one of them as a table."""
    import pandas as pd

    x = points(5000)
    np.save(folder / "array.npy", x)
    pd.DataFrame(x, columns=[f"x{j}" for j in range(COLUMNS)]).to_parquet(folder / "table.parquet")
    for name, file in (("array", "array.npy"), ("table", "table.parquet")):
        command = [sys.executable, "-m", "scorefield", "fit", str(folder / file), "-o", str(folder / name)]
        subprocess.run([*command, "--steps", "300", "--size", "small"], check=True, capture_output=True)


async def _client(url: str, path: str, body: object, rate: float, seconds: float) -> dict[str, object]:
    try:  # the name under which newer versions are installed
        import httpx2 as httpx
    except ImportError:
        import httpx

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    content, found, statuses = json.dumps(body).encode(), [], {}
    due, begun, opened = iter(range(round(rate * seconds))), 0.0, asyncio.Barrier(CONNECTIONS)

    async def connection() -> None:
        """Takes the next request that is due, again and again."""
        nonlocal begun
        # no certificate is asked for, and reading those that one would be checked by takes longer than many requests
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, verify=False) as client:
            await client.post(path, content=content)
            await opened.wait()
            begun = begun or time.perf_counter() + 0.1
            for k in due:
                at = begun + k / rate
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                try:
                    status = str((await client.post(path, content=content)).status_code)
                except httpx.HTTPError as fault:
                    status = type(fault).__name__
                statuses[status] = statuses.get(status, 0) + 1
                found.append(time.perf_counter() - at)

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    lasted = time.perf_counter() - begun
    text = httpx.get(f"{url}/metrics", headers=headers).text
    kept = [line for line in text.splitlines() if line.startswith("scorefield_b")]
    sums = {line.split("{")[0]: float(line.split()[-1]) for line in kept}
    batch = sums["scorefield_batch_requests_sum"] / sums["scorefield_batch_requests_count"]
    p50, p99 = (1e3 * float(np.quantile(found, q)) for q in (0.5, 0.99))
    return {"p50": p50, "p99": p99, "statuses": statuses, "batch": batch, "rate": len(found) / lasted}


def measured(folder: Path, name: str, rate: float, seconds: float) -> dict[str, object]:
    """One case: a service, and a client in a process of its own."""
    run, path, body = CASES[name]
    command = [sys.executable, "-m", "scorefield", "serve", str(folder / run), "--port", "0"]
    service = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SCOREFIELD_TOKEN": TOKEN}
    )
    assert service.stdout is not None
    try:
        url = service.stdout.readline().split()[1]
        words = [sys.executable, __file__, "--client", url, path, json.dumps(body), str(rate), str(seconds)]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    finally:
        service.terminate()
        service.wait()


def main() -> None:
    """Measure every case and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--client", nargs=5)
    given = parser.parse_args()
    if given.client:
        url, path, body, rate, seconds = given.client
        print(json.dumps(asyncio.run(_client(url, path, json.loads(body), float(rate), float(seconds)))))
        return
    lines = [
        "# A service under load",
        "",
        f"Written by `benchmarks/serve.py`: {given.rate:g} requests a second for {given.seconds:g} s, on a clock, by",
        f"httpx in another process; two cores, one thread each, with a load of {os.getloadavg()[0]:.1f} from other",
        "work at the start. Latencies in milliseconds, from the moment at which a request was due. *Together* is how",
        "many requests one call of the model answered, in the mean.",
        "",
        "| request | answered | not answered | rate | p50 | p99 | together |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        fitted(Path(folder))
        for name, (run, _, _) in CASES.items():
            found = measured(Path(folder), name, given.rate, given.seconds)
            statuses = dict(found["statuses"])  # type: ignore[call-overload]
            right = statuses.pop("200", 0)
            lost = ", ".join(f"{n} x {status}" for status, n in statuses.items()) or "0"
            cells = f"{found['rate']:.0f}/s | {found['p50']:.0f} | {found['p99']:.0f} | {found['batch']:.1f}"
            lines.append(f"| /{name}, one row of 10 columns ({run}) | {right:,} | {lost} | {cells} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
