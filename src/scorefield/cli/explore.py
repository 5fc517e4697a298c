"""The command that opens the explorer: explore."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

from scorefield.cli.app import Port, app, warn


@app.command(
    help_epilogue="""Examples:
  scorefield explore
  scorefield explore run
  scorefield explore run --port 8000 --no-browser
  scorefield explore --export page.html"""
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

    It serves until Ctrl-C. The address holds a token: who has it may ask.

    Args:
        run: folder of a trained model to look at; without one, mixtures and points of your own.
        port: to listen on; default: one that is free.
        host: address to listen on; by default only this machine can reach it.
        no_browser: print the address, open nothing.
        export: write the scenes Field, Langevin and Diffusion as one HTML file instead, for a course site: it holds
            answers for a choice of each control's values, and needs neither a server nor a network.
    """
    if export is not None:
        return _export(export, run)
    from scorefield.explorer import server
    from scorefield.explorer.queries import ASKS
    from scorefield.explorer.session import opened

    session = opened(run)
    if host not in ("127.0.0.1", "localhost", "::1"):
        warn(f"listening on {host}: whoever reaches this machine and knows the token can make it compute.")

    def ready(address: str) -> None:
        print(f"explorer: {address}\nexplorer: Ctrl-C ends it.", flush=True)
        if not no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    server.serve(ASKS, session, host=host, port=port, ready=ready)


def _export(file: Path, run: Path | None) -> None:
    from scorefield.explorer.export import write

    if run is not None:
        raise ValueError("--export records the densities whose answers are exact; leave the run out.")
    if not file.parent.is_dir() or file.is_dir():
        raise ValueError(f"--export needs a file in a folder that is there, got {str(file)!r}.")
    print("explorer: computing what the page can be asked, a few minutes ...", flush=True)
    print(f"explorer: {file}, {write(file) / 1e6:.1f} MB; open it in any browser.")
