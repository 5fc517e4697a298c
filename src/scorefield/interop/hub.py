"""Runs on the Hugging Face Hub: pushed with a card that says what they are, loaded from JSON and safetensors alone."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorefield import _files, runs
from scorefield._files import reason, shown
from scorefield._optional import package
from scorefield.pretrained.hub import INSTALL, PREFIX, fetched
from scorefield.pretrained.hub import is_name as is_name

FILES = ("model.json", "model.safetensors", "README.md")
"""All that is pushed, fetched and read of a run; nothing else in a folder of the Hub is opened."""
_TAGS = {  # by what the codec is called in model.json
    "image": ["image-generation"],
    "latent": ["image-generation"],
    "grid": ["time-series"],
}


def card(folder: str | Path, name: str | None = None, comparison: runs.Comparison | None = None) -> str:
    """The README.md of a run: what data, how trained, how good, how to load.

    Args:
        folder: of the run.
        name: USER/NAME; default: that of the folder.
        comparison: of its samples with real records, from `scorefield.runs`' `evaluate`; None: said to be missing.
    """
    kind = runs.kind_of_run(folder)
    model = kind.load(folder)
    title = name or Path(folder).resolve().name
    source = str(model.info.get("data", {}).get("source", ""))
    told = kind.describe(model)
    told = told.replace(source, Path(source).name) if source else told
    found = "No evaluation came with this run; `scorefield evaluate RUN DATA` compares its samples with real records."
    if comparison is not None:
        found = "Samples beside real records, each figure next to what two halves of the real ones give:\n\n"
        found += _fenced(comparison.table())
    place = f"hub:{name}" if name else "RUN"
    return _CARD.format(
        tags="\n".join(f"- {tag}" for tag in ["score-matching", "diffusion", *_TAGS.get(_codec(folder), [])]),
        title=title,
        kind=kind.name,
        told=_fenced(told),
        found=found,
        commands="\n".join(f"scorefield {command}" for command in _commands(kind, place)),
        load=f'load("{name}")' if name else f'runs.load("{title}")',
        module="scorefield.interop.hub import load" if name else "scorefield import runs",
    )


def push(
    folder: str | Path,
    target: str,
    *,
    comparison: runs.Comparison | None = None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Write a run with its card to a repository of the Hub, or to a folder.

    Args:
        folder: of the run; it must load.
        target: USER/NAME, with or without `hub:`, or a path such as ./copy.
        comparison: for the card; see `card`.
        private: whether a repository that is made by this is seen by its owner alone.
        token: of the Hub; default: the one of `hf auth login`.

    Returns:
        Where it is now.

    Raises:
        FileError: for a folder that holds no run.
        ValueError: for a missing package, a folder that holds something else, or what the Hub refuses.
    """
    name = target.removeprefix(PREFIX) if is_name(target) else None
    if name is None and target.startswith(PREFIX):
        raise ValueError(f"a repository of the Hub is written as hub:USER/NAME, got {shown(target)}.")
    if name == target and (Path(target).exists() or Path(target).parent.is_dir()):
        raise ValueError(f"{target} could be a folder here or a repository; write ./{target} or hub:{target}.")
    text = card(folder, name, comparison)
    if name is None:
        return _copied(Path(folder), Path(target), text)
    hub = package("huggingface_hub", "push to the Hub", INSTALL)
    with tempfile.TemporaryDirectory() as whole:
        _copied(Path(folder), Path(whole) / "run", text)
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repo_id=name, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=name,
                folder_path=str(Path(whole) / "run"),
                commit_message="A run of scorefield",
                allow_patterns=list(FILES),
            )
        except Exception as fault:  # of many libraries below: whatever it is, one sentence with its reason
            raise ValueError(f"hub:{name} cannot be written: {reason(fault)}.") from fault
    return f"hub:{name}"


def fetch(name: str, *, revision: str | None = None, cache: str | Path | None = None, offline: bool = False) -> Path:
    """The folder on this machine of a run on the Hub, fetched where it is not there yet.

    Args:
        name: USER/NAME, with or without `hub:`.
        revision: a branch, tag or commit; default: the newest.
        cache: folder of the Hub's cache; default: the library's own.
        offline: take what the cache holds.

    Raises:
        ValueError: for another name, a missing package, or what cannot be fetched.
    """
    return fetched(name, FILES, revision=revision, cache=cache, offline=offline)


def load(name: str, *, revision: str | None = None, cache: str | Path | None = None, offline: bool = False) -> Any:
    """The trained model of a run on the Hub, of whichever kind; arguments and errors as `fetch`.

    It is read from `model.json` and `model.safetensors` alone; no code of a repository is ever run.

    Raises:
        FileError: where the repository holds no run.
    """
    return runs.load(fetch(name, revision=revision, cache=cache, offline=offline))


def _copied(folder: Path, target: Path, text: str) -> str:
    """The files of a run and its card in another folder."""
    if target.exists() and target.resolve() == folder.resolve():
        _files.write_bytes(target / "README.md", text.encode())
        return str(target)
    if target.exists() and (not target.is_dir() or any(entry.name not in FILES for entry in target.iterdir())):
        raise ValueError(f"{target} holds something else than a pushed run; give a new folder.")
    with _files.writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for name in FILES[:2]:
            shutil.copyfile(folder / name, target / name)
    _files.write_bytes(target / "README.md", text.encode())
    return str(target)


def _codec(folder: str | Path) -> str:
    codec: Mapping[str, Any] = _files.read_json(Path(folder) / "model.json").get("codec", {})
    return str(codec.get("kind", ""))


def _commands(kind: runs.Kind, place: str) -> list[str]:
    if kind is runs.POSTERIORS:
        return [f"posterior {place} obs.csv -o draws.csv"]
    asked = [f"sample {place} -n 1000 -o new.{'csv' if kind is runs.TABLES else 'npz'}", f"info {place}"]
    return [*asked, *([f"impute {place} table.csv -o full.csv"] if kind is runs.TABLES else [])]


def _fenced(text: str) -> str:
    """A text as it is: its fence is longer than any in it."""
    longest = max((len(part) for part in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


_CARD = """---
library_name: scorefield
tags:
{tags}
---

# {title}

A score model of {kind}, trained by scorefield.

{told}

## How good it is

{found}

## How to use it

`pip install 'scorefield[hub]'`, then

```sh
{commands}
```

or in Python

```python
from {module}

model = {load}
```

The weights are safetensors, everything else is JSON; no code comes with them.
"""
