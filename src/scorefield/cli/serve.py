"""The command that answers over HTTP: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from scorefield._ranges import real, whole
from scorefield.cli.app import Port, app, leave, ranged, warn

Rows: TypeAlias = Annotated[int, ranged(whole(1, 10**7))]
Bytes: TypeAlias = Annotated[int, ranged(whole(1000, 1 << 32))]
Evaluations: TypeAlias = Annotated[int, ranged(whole(1, 10**12))]
Seconds: TypeAlias = Annotated[float, ranged(real(0.1, 3600.0))]
Queue: TypeAlias = Annotated[int, ranged(whole(1, 100_000))]
Gather: TypeAlias = Annotated[float, ranged(real(0.0, 1000.0))]


@app.command(
    help_epilogue="""Examples:
  scorefield serve run
  scorefield serve run --host 0.0.0.0 --port 8000 --token-file token.txt
  curl -H "Authorization: Bearer $TOKEN" --json '{"rows": [{"size": 70, "town": "Bern"}]}' http://127.0.0.1:8000/density"""
)
def serve(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: Port = 8000,
    token_file: Path | None = None,
    max_rows: Rows = 10_000,
    max_body: Bytes = 8 << 20,
    max_evaluations: Evaluations = 1_000_000,
    max_seconds: Seconds = 30.0,
    queue: Queue = 256,
    gather: Gather = 3.0,
) -> None:
    """Answer over HTTP what a run answers: /sample, /density, /impute, ... in JSON; /openapi.json says how.

    It serves until Ctrl-C or SIGTERM: what has begun is answered, new requests are refused. Requests that come within
    milliseconds are computed together; what each gets does not depend on that. Every request but /health must bring a
    token: that of --token-file, else of the environment's SCOREFIELD_TOKEN, else a new one, which is printed.

    Args:
        run: folder of a trained model.
        host: address to listen on; by default only this machine can reach it. 0.0.0.0 is every address of it.
        port: to listen on; 0 is one that is free.
        token_file: a file that holds the token.
        max_rows: that a request gives, or wants.
        max_body: bytes of a request.
        max_evaluations: of the network that a request wants.
        max_seconds: of computing for an answer.
        queue: requests that wait at a time; more are refused.
        gather: milliseconds that a request waits for others to be computed with.
    """
    from scorefield.serving.access import token_from
    from scorefield.serving.limits import LIMITS
    from scorefield.serving.server import serve as answer
    from scorefield.web.address import LOOPBACK

    token, is_new = token_from(token_file)
    limits = LIMITS._replace(
        rows=max_rows,
        body=max_body,
        evaluations=max_evaluations,
        seconds=max_seconds,
        reply=LIMITS.wait + max_seconds + 60.0,
        queue=queue,
        gather=gather / 1000,
    )
    if host not in LOOPBACK:
        warn(f"listening on {host}, in the clear: put a proxy with TLS before it where others share the network.")

    def ready(url: str) -> None:
        if is_new:
            print(f"serve: token {token}")
        print(f"serve: {url} answers for {run}; {url}/openapi.json says how, Ctrl-C ends it.", flush=True)

    leave(answer(run, token, host=host, port=port, limits=limits, ready=ready))
