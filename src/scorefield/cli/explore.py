"""The command that opens the explorer: explore."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

from scorefield.cli.app import Port, app, leave, warn
from scorefield.cli.progress import ProgressBar


@app.command(
    help_epilogue="""Examples:
  scorefield explore
  scorefield explore run
  scorefield explore run --port 8000 --no-browser
  scorefield explore --export page.html
  scorefield explore run --export page.html"""
)
def explore(
    run: Path | None = None,
    *,
    port: Port = 0,
    host: str = "127.0.0.1",
    no_browser: bool = False,
    export: Path | None = None,
) -> None:
    """Open the explorer: score fields, Langevin, diffusion and learning in the browser, computed as you look.

    It serves until Ctrl-C. The address holds a token: whoever has it is answered.

    Args:
        run: folder of a trained model to look at; without one, mixtures and points of your own.
        port: to listen on; default: one that is free.
        host: address to listen on; by default only this machine can reach it. 0.0.0.0 is every address of it.
        no_browser: print the address, open nothing.
        export: write the scenes of exact densities, or that of the run, as one HTML file instead, for a course site: it
            holds answers for a choice of each control's values, and needs neither a server nor a network.
    """
    if export is not None:
        return _export(export, run)
    from scorefield.explorer import server
    from scorefield.explorer.queries import QUERIES
    from scorefield.explorer.queries.about import About, about
    from scorefield.explorer.session import opened
    from scorefield.explorer.turns import are_computing

    if not host.strip():
        raise ValueError("--host must be an address of this machine, got an empty text; leave it out for 127.0.0.1.")
    session = opened(run)
    if host not in ("127.0.0.1", "localhost", "::1"):
        warn(f"listening on {host}: whoever reaches this machine and has the token can make it compute.")

    kind = about(About(), session)["kind"]
    first = f"#/{kind}" if kind in ("images", "table", "posterior") else ""

    def ready(address: str) -> None:
        address += first
        print(f"explorer: {address}\nexplorer: Ctrl-C ends it.", flush=True)
        if not no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    server.serve(QUERIES, session, host=host, port=port, ready=ready)
    leave(are_computing())


def _export(file: Path, run: Path | None) -> None:
    from scorefield.explorer.export import write
    from scorefield.explorer.session import opened

    session = None if run is None else opened(run)
    _check_writable(file)
    with ProgressBar("computing the answers that the page holds, a few minutes") as bar:
        size = write(file, session=session, report=bar)
    print(f"explorer: {file}, {size / 1e6:.1f} MB; open it in any browser.")


def _check_writable(file: Path) -> None:
    """Raise where a file cannot be written, before the minutes of computing; what stands in it is left alone."""
    try:
        is_new = not file.exists()
        with file.open("ab"):
            pass
        if is_new:
            file.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"--export cannot write to {str(file)!r}: {reason}; name a file in a folder of yours."
        ) from None
