"""A run in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scorefield import nets
from scorefield.model import Denoiser, Energy
from scorefield.trained import TrainedModel


def facts(model: TrainedModel) -> list[tuple[str, str]]:
    """What is known of a run, as (name, value) pairs in the order of interest."""
    data: Mapping[str, Any] = model.info.get("data", {})
    training: Mapping[str, Any] = model.info.get("training", {})
    found = [("data", _data(data, model)), ("network", _network(model.model)), ("noise range", _range(model))]
    if training:
        settings = training["settings"]
        budget = f"{training['steps']:,} steps of batch {settings['batch']} in {training['seconds']:.0f} s"
        found.append(("training", f"{budget}, seed {settings['seed']}"))
        found.append(
            ("optimiser", f"AdamW, learning rate {settings['learning_rate']:g}, cosine to 0, averaged weights")
        )
        if training["evaluations"]:
            best = min(training["evaluations"], key=lambda e: e["mean"])
            found.append(("held-out loss", f"{best['mean']:.4f} after {best['step']:,} steps"))
    stored = ", ".join(str(n) for n in sorted(model.plans)) or "none; plans.default(steps) is used"
    found.append(("stored plans", stored))
    if "version" in model.info:
        found.append(("written by", f"scorefield {model.info['version']}, torch {model.info['torch']}"))
    return found


def describe(model: TrainedModel) -> str:
    """The same as text, a line each."""
    pairs = facts(model)
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)


def _data(data: Mapping[str, Any], model: TrainedModel) -> str:
    shape = " x ".join(str(s) for s in model.codec.shape)
    if not data:
        return f"records of shape {shape}"
    columns = f" ({', '.join(data['columns'])})" if data.get("columns") else ""
    return (
        f"{data['source']}: {data['rows']:,} rows to train on, {data['held']:,} held out; {data['kind']} of shape "
        f"{shape}{columns}"
    )


def _network(model: Denoiser | Energy) -> str:
    network = model.potential if isinstance(model, Energy) else model.network
    count = sum(p.numel() for p in model.parameters())
    kind = "energy" if isinstance(model, Energy) else f"denoiser, target {model.target.name}"
    classes = f", {model.classes} classes" if model.classes else ""
    return f"{nets.name_of(network)}, {count:,} parameters ({kind}{classes})"


def _range(model: TrainedModel) -> str:
    m = model.model
    return (
        f"sigma {m.sigma_min:g} to {m.sigma_max:.4g}, in standard deviations of the data (measured {m.sigma_data:.4g})"
    )
