"""Runs on the Hugging Face Hub: push, and `hub:USER/NAME` in the place of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scorefield.cli.app import app
from scorefield.cli.progress import ProgressBar
from scorefield.cli.reading import say

_PREFIX = "hub:"
_ASKING = frozenset(
    "sample evaluate info check export density outliers impute predict posterior restore forecast explore".split()
)
"""The commands that only read their run."""


@app.command(
    help_epilogue="""Examples:
  scorefield push run me/digits --data digits
  scorefield push run ./copy                        the same files in a folder
  scorefield sample hub:me/digits -n 64 -o new.png"""
)
def push(run: Path, target: str, *, data: str | None = None, public: bool = False, quiet: bool = False) -> None:
    """Write a run with a card of what it is to the Hugging Face Hub, or to a folder.

    What is written is model.json, model.safetensors and README.md. model.json names the data file and, of a table, its
    categories and the least and greatest values of its columns.

    Args:
        run: folder of a trained model.
        target: USER/NAME, or a folder such as ./copy.
        data: real records to hold the model against, for the card, as `scorefield evaluate` does.
        public: let everyone see a repository that is made by this.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.data.streams.opening import many_parquet
    from scorefield.interop import hub
    from scorefield.tables.files import read_rows

    comparison = None
    if data is not None:
        kind = runs.kind_of_run(run)
        model = kind.load(run)
        with ProgressBar("evaluation", quiet) as bar:
            real = say(read_rows(model, data)) if kind is runs.TABLES and not many_parquet(data) else data
            comparison = kind.evaluate(model, real, report=bar)
    with ProgressBar("writing", quiet):
        place = hub.push(run, target, comparison=comparison, private=not public)
    print(f"{place}: {', '.join(hub.FILES)} of {run}.")


def fetched(words: Sequence[str]) -> list[str]:
    """The words of a command, each hub:USER/NAME replaced by the folder that it was fetched to.

    Raises:
        ValueError: for a command that writes into its run.
    """
    wanted = [word for word in words[1:] if word.startswith(_PREFIX)]
    if not wanted or words[0] == "push":
        return list(words)
    if words[0] not in _ASKING:
        raise ValueError(
            f"`scorefield {words[0]}` takes no {wanted[0]}; runs of the Hub are read by {', '.join(sorted(_ASKING))}."
        )
    from scorefield.interop import hub

    with ProgressBar(f"fetching {wanted[0]}"):
        return [str(hub.fetch(word)) if word.startswith(_PREFIX) else word for word in words]
