"""A run in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from scorefield import nets
from scorefield.denoiser import Denoiser, Energy
from scorefield.records.trained import TrainedModel
from scorefield.tables.trained import TrainedTable


def facts(model: TrainedModel) -> list[tuple[str, str]]:
    """What is known of a run, as (name, value) pairs in the order of interest."""
    data = _whole(model.info.get("data", {}), "source", "rows", "held", "kind")
    training = _whole(model.info.get("training", {}), "steps", "seconds", "settings", "evaluations")
    found = [("data", _data(data, model)), ("network", _network(model.model)), ("noise range", _range(model))]
    if training:
        found += _training(training)
        rate = training["settings"].get("learning_rate", math.nan)
        found.append(("optimiser", f"AdamW, learning rate {rate:g}, cosine to 0, averaged weights"))
    stored = ", ".join(str(n) for n in sorted(model.plans)) or "none; plans.default(steps) is used"
    found.append(("stored plans", stored))
    if _whole(model.info, "version", "torch"):
        found.append(("written by", f"scorefield {model.info['version']}, torch {model.info['torch']}"))
    return found


def describe(model: TrainedModel) -> str:
    """The same as text, a line each."""
    return _lines(facts(model))


def table_facts(model: TrainedTable) -> list[tuple[str, str]]:
    """What is known of the model of a table, as (name, value) pairs in the order of interest."""
    data, m = _whole(model.info.get("data", {}), "source", "rows"), model.model
    training = _whole(model.info.get("training", {}), "steps", "seconds")
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(c.kind for c in model.codec.schema).items())
    source = f"{data['source']}: {data['rows']:,} rows to train on; " if data else ""
    found = [("data", f"{source}{len(model.codec.schema)} columns ({kinds})")]
    if m.reference is not None:
        found.append(
            ("reference", f"mixture of {len(m.reference.law.weights)} Gaussians in {m.network.dim} dimensions")
        )
    count = sum(p.numel() for p in m.parameters())
    found.append(("network", f"masked-mlp, {count:,} parameters"))
    found.append(("noise range", f"sigma {m.sigma_min:g} to {m.sigma_max:.4g}, in standard deviations of each number"))
    found += _training(training)
    memory = _whole(model.info.get("memorisation", {}), "value", "floor", "meaning")
    if memory:
        found.append(
            ("memorisation", f"{memory['value']:.3f} ({memory['floor']:.3f} for real rows): {memory['meaning']}")
        )
    else:
        found.append(("memorisation", "not measured; `scorefield evaluate` measures it"))
    found.append(
        ("stored plans", ", ".join(str(n) for n in sorted(model.plans)) or "none; plans.default(steps) is used")
    )
    if "version" in model.info:
        found.append(("written by", f"scorefield {model.info['version']}"))
    return found


DENSITY = """A row's log-density is in nats, in the units of the table: relative to Lebesgue measure for continuous
columns and times, to counting measure for categories, booleans, ordinals, whole numbers and atoms. Constants and copies
are left out. A row with holes has the marginal density of what is there."""
"""What the log-density of a row means."""


def describe_table(model: TrainedTable) -> str:
    """The same as text: the facts, the schema, what a log-density means."""
    return f"{_lines(table_facts(model))}\n\n{model.codec.schema}\n\n{DENSITY}"


def _training(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not training:
        return []
    settings = _whole(training.get("settings", {}), "batch", "seed")
    batch = f" of batch {settings['batch']}" if settings else ""
    seed = f", seed {settings['seed']}" if settings else ""
    found = [("training", f"{training['steps']:,} steps{batch} in {training['seconds']:.0f} s{seed}")]
    evaluations = [e for e in training.get("evaluations", ()) if _whole(e, "mean", "step")]
    if evaluations:
        best = min(evaluations, key=lambda e: e["mean"])
        found.append(("held-out loss", f"{best['mean']:.4f} after {best['step']:,} steps"))
    return found


def _whole(part: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A part of what is known of a run, where it has all of these; else nothing."""
    return part if all(name in part for name in names) else {}


def _lines(pairs: list[tuple[str, str]]) -> str:
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
