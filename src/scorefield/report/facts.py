"""What is known of a run, as (name, value) pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Facts: TypeAlias = list[tuple[str, str]]


def training_facts(info: Mapping[str, Any]) -> Facts:
    """Steps, time, optimiser and held-out loss of a training, as far as they are known."""
    training = complete(info.get("training"), "steps", "seconds")
    if not training:
        return []
    settings = complete(training.get("settings"), "batch", "seed", "learning_rate")
    batch, seed = (f" of batch {settings['batch']}", f", seed {settings['seed']}") if settings else ("", "")
    found = [("training", f"{training['steps']:,} steps{batch} in {training['seconds']:.0f} s{seed}")]
    busy = busy_words(info)
    if busy:
        found.append(("processor", busy))
    if settings:
        name = "Muon and AdamW" if settings.get("optimizer") == "muon" else "AdamW"
        rate = f"{name}, learning rate {settings['learning_rate']:g}, cosine to 0, averaged weights"
        found.append(("optimiser", rate))
    precision = precision_words(info)
    if precision:
        found.append(("precision", precision))
    evaluations = [e for e in training.get("evaluations", ()) if complete(e, "mean", "step")]
    if evaluations:
        best = min(evaluations, key=lambda e: e["mean"])
        found.append(("held-out loss", f"{best['mean']:.4f} after {best['step']:,} steps"))
    return found


def precision_words(info: Mapping[str, Any]) -> str:
    """What a training computed in, and why; empty where it is not known.

    Example:
        >>> precision_words({"training": {"precision": {"name": "bf16", "gain": 1.87}}})
        'bf16: steps in it were measured to be 1.9 times as fast as in float32'
        >>> precision_words({"training": {"precision": {"name": "float32", "gain": 0.12}}})
        'float32: steps in bf16 were measured to be 0.12 times as fast'
    """
    precision = complete(info.get("training", {}).get("precision"), "name", "gain")
    if not precision:
        return ""
    name, gain = precision["name"], precision["gain"]
    if gain is None:
        return str(name)
    if name == "bf16":
        return f"bf16: steps in it were measured to be {gain:.2g} times as fast as in float32"
    if gain == 0:
        return "float32: the network has operations that bf16 has not"
    return f"float32: steps in bf16 were measured to be {gain:.2g} times as fast"


_BUSY = 0.7  # of the time on a processor: with less, others had a good part of the machine


def busy_words(info: Mapping[str, Any]) -> str:
    """That a training had to share the machine; empty where it had the processor most of the time.

    Example:
        >>> busy_words({"training": {"seconds": 90.0, "processor": 27.9}})
        'the machine was busy: the training had a processor for 28 of its 90 s, as much as 28 s of an idle one'
        >>> busy_words({"training": {"seconds": 90.0, "processor": 88.0}})
        ''
    """
    times = complete(info.get("training"), "seconds", "processor")
    if not times or times["seconds"] < 1 or times["processor"] >= _BUSY * times["seconds"]:
        return ""
    whole, own = times["seconds"], times["processor"]
    had = f"the training had a processor for {own:.0f} of its {whole:.0f} s"
    return f"the machine was busy: {had}, as much as {own:.0f} s of an idle one"


def complete(part: Mapping[str, Any] | None, *names: str) -> Mapping[str, Any]:
    """A part of what is stored of a run, where it has all of these names; else nothing.

    Example:
        >>> complete({"steps": 3}, "steps"), complete({"steps": 3}, "steps", "seconds")
        ({'steps': 3}, {})
    """
    return part if part and all(name in part for name in names) else {}


def run_facts(info: Mapping[str, Any], plans: Mapping[int, object]) -> Facts:
    """Stored plans, and what wrote the run."""
    used = info.get("adopted", {}).get("plan", "plans.default(steps)")
    found = [("stored plans", ", ".join(str(n) for n in sorted(plans)) or f"none; {used} is used")]
    if "version" in info:
        torch = f", torch {info['torch']}" if "torch" in info else ""
        found.append(("written by", f"scorefield {info['version']}{torch}"))
    return found


def lines(facts: Facts) -> str:
    """The pairs as text, a line each."""
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts)
