"""A service in a process of its own, and clients that talk to it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

TOKEN = "a-token-of-many-letters"
WAIT = 60.0  # far more than anything here takes
PROGRAM = """
from scorefield.serving.limits import LIMITS
from scorefield.serving.server import serve
if serve({run!r}, {token!r}, limits=LIMITS._replace(**{limits!r}), ready=lambda url: print(url, flush=True)):
    import os; os._exit(0)
"""


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one sentence of a refusal."""
        assert set(self.json) == {"error"}, self.json
        sentence = self.json["error"]
        assert "\n" not in sentence and sentence[-1] in ".?", sentence
        return str(sentence)


class Client(NamedTuple):
    port: int
    pid: int
    token: str | None = TOKEN

    def ask(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Said:
        """One request on a connection of its own; a body that is no bytes goes out as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        connection.request(method, path, sent, named)
        answer = connection.getresponse()
        found = Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def rows(self, path: str, **body: Any) -> list[dict[str, Any]]:
        said = self.ask(path, body)
        assert said.status == 200, said
        return said.json["rows"]

    def metric(self, line: str) -> float:
        """The value of a line of /metrics that begins so; 0 where there is none."""
        text = self.ask("/metrics", method="GET").body.decode()
        found = [float(one.rpartition(" ")[2]) for one in text.splitlines() if one.startswith(line)]
        return found[0] if found else 0.0


@contextmanager
def process(run: Path, **limits: float) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """The service of a run, with these limits."""
    program = PROGRAM.format(run=str(run), token=TOKEN, limits=limits)
    running = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        yield running, Client(int(running.stdout.readline().strip().rpartition(":")[2]), running.pid)
    finally:
        running.kill()
        running.wait()
