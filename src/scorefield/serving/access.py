"""The token that every request but /health must bring."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from starlette.datastructures import Headers

from scorefield import _files

VARIABLE = "SCOREFIELD_TOKEN"
_LEAST = 16  # characters


def token_from(file: Path | None) -> tuple[str, bool]:
    """The token, and whether it was made here: from a file, else the environment, else a new one.

    Raises:
        ValueError: for a file that cannot be read, or a token that is too short or is no word of printable ASCII.
    """
    if file is not None:
        with _files.reading(file, "a token", ValueError):
            given, where = file.read_text(encoding="utf-8").strip(), str(file)
    elif VARIABLE in os.environ:
        given, where = os.environ[VARIABLE], f"the environment's {VARIABLE}"
    else:
        return secrets.token_urlsafe(24), True
    if len(given) < _LEAST or not (given.isascii() and given.isprintable()) or " " in given:
        raise ValueError(
            f"{where} must hold a token of {_LEAST} characters or more, printable and without spaces, got one of "
            f"{len(given)}; python -c 'import secrets; print(secrets.token_urlsafe())' makes one."
        )
    return given, False


def is_let_in(headers: Headers, token: str) -> bool:
    """Whether a request brings the token; the comparison takes the same time for every wrong one."""
    given = headers.getlist("authorization")
    scheme, _, word = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    right = hmac.compare_digest(word.strip().encode("utf-8", "surrogatepass"), token.encode())
    return scheme.lower() == "bearer" and right
