"""A trained model as one file for other programs: ONNX, or torch's own exported program."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from scorefield import __version__, _files, _ranges
from scorefield._files import reason
from scorefield._optional import package
from scorefield.denoiser import Energy
from scorefield.interop.graphs import BATCH, Graph, denoiser_graph, sampler_graph
from scorefield.interop.written_once import asking, evaluation, filled
from scorefield.numerics.random import normal
from scorefield.records.trained import TrainedModel

if TYPE_CHECKING:
    from scorefield.tables.trained import TrainedTable

METADATA = "scorefield"
"""The key of the metadata in an ONNX file; in a .pt2 file it is the extra file `scorefield.json`."""
SUFFIXES = (".onnx", ".pt2")
_MOST = 2 * 10**9  # bytes of an ONNX file: what its format can hold
_INSTALL = "scorefield[onnx]"


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Args:
        path: of the file.
        inputs: by name their shapes, the first size free.
        outputs: likewise.
        difference: mean difference between the file's answers and the model's, over their mean size, on noise.
        about: what the file says of itself.
    """

    path: Path
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    difference: float
    about: dict[str, Any]

    def __str__(self) -> str:
        told = ["; ".join(_signature(part)) for part in (self.inputs, self.outputs)]
        return f"{self.path}: {self.about['what']}, {told[0]} -> {told[1]}; within {self.difference:.0e} of the model."


def export_model(
    model: TrainedModel | TrainedTable, path: str | Path, steps: int | None = None, *, guidance: float = 1.0
) -> Exported:
    """Write a trained model as a graph that runs without this library: its denoiser, or a whole sampler.

    The denoiser answers `x0, eps` at `x = x0 + sigma * eps` in the codec's standardised units, NaN where the model is
    not trained. The sampler turns noise into records in the user's units by the plan that `sample(steps=steps)` takes;
    what a stochastic plan draws on the way is an input. The first size of every tensor is free. Metadata tell units,
    codec and range.

    Args:
        model: of records, or of a table whose numbers all exist in every row.
        path: to write; `.onnx` (for onnxruntime and others) or `.pt2` (`torch.export.load`).
        steps: network evaluations of a sampler; default: the denoiser alone.
        guidance: of a sampler conditional on classes, as `TrainedModel.sample` has it; other scales than 1 take the
            network twice a step.

    Returns:
        What was written. The file was run beside the model first.

    Raises:
        ValueError: for another suffix, a model that has no such graph, a missing package, or a file whose answers are
            not the model's.

    Example:
        >>> from scorefield import Denoiser, nets
        >>> from scorefield.data import load
        >>> from scorefield.records.codec import fit_codec
        >>> model = TrainedModel(Denoiser(nets.ResidualMLP(4, width=8, depth=1)).eval(), fit_codec(load("iris")))
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_model(model, f"{folder}/iris.pt2").inputs
        {'x': (4,), 'sigma': ()}
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"a model is exported to a file that ends in .onnx or .pt2, got {path.name!r}.")
    if steps is not None:
        _ranges.EXPORTED("export_model(steps=...)", steps)
    _ranges.real(0, 1e3)("export_model(guidance=...)", guidance)
    graph = graph_of(model, steps, guidance)
    about = {"format": "scorefield export", "version": 1, "written_by": __version__, **graph.about}
    gradient = isinstance(model.model, Energy)
    with _quiet(), torch.no_grad():
        write = _onnx if path.suffix == ".onnx" else _pt2
        content, answer = write(graph, gradient, about)
        difference, shapes = _compared(graph, answer)
    _files.write_bytes(path, content)
    inputs = {name: tuple(value.shape[1:]) for name, value in graph.inputs.items()}
    return Exported(path, inputs, dict(zip(graph.outputs, shapes, strict=True)), difference, about)


def graph_of(model: TrainedModel | TrainedTable, steps: int | None = None, guidance: float = 1.0) -> Graph:
    """What `export_model` writes, before it is traced."""
    records = isinstance(model, TrainedModel)
    if guidance != 1 and (steps is None or not records):
        raise ValueError(
            f"guidance is for samplers of arrays and images of classes, got {guidance:g}; give steps, or leave it out."
        )
    if isinstance(model, TrainedModel):
        return denoiser_graph(model) if steps is None else sampler_graph(model, steps, guidance)
    from scorefield.interop.table_graphs import table_denoiser_graph, table_sampler_graph  # tables are another half
    from scorefield.tables.trained import TrainedTable

    if isinstance(model, TrainedTable):
        return table_denoiser_graph(model) if steps is None else table_sampler_graph(model, steps)
    raise TypeError(f"export_model takes a TrainedModel or a TrainedTable, got {type(model).__name__}.")


# ------------------------------------------------------------------------------------------------------------ tracing


class _InOrder(nn.Module):
    """Tensors in their order, whatever the module calls them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.module(*tensors))


def _traced(graph: Graph, gradient: bool) -> Any:
    """The exported program of a graph, the first size of its tensors free but of those that are 0-d.

    Args:
        graph: to trace.
        gradient: the module takes a gradient, which torch.export cannot see through: it is written out first.
    """
    module: nn.Module = _InOrder(graph.module)
    examples = tuple(graph.inputs.values())
    free: Any = tuple({0: torch.export.Dim("n")} if value.ndim else None for value in examples)
    try:
        if gradient:
            module, examples = _written_out(module, examples)
        program = torch.export.export(module, examples, dynamic_shapes=free if gradient else (free,))
    except Exception as fault:  # of a network of the user's own: its branches may depend on values
        raise ValueError(f"torch.export cannot trace this model: {reason(fault)}.") from fault
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # which names folders of this machine
    return program


def _written_out(module: nn.Module, examples: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...]]:
    """The graph of a module that takes a gradient, with the gradient's own steps, and the examples that it had."""
    from torch.fx.experimental.proxy_tensor import make_fx

    # sizes that are equal in the example would be taken for the same size
    rows = 1 + max(BATCH, *(size for value in examples for size in value.shape))
    examples = tuple(v[:1].expand(rows, *v.shape[1:]).contiguous() if v.ndim else v for v in examples)
    return make_fx(module, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*examples), examples


def _onnx(graph: Graph, gradient: bool, about: dict[str, Any]) -> tuple[bytes, Any]:
    """The file, and what answers by it."""
    for name in ("onnx", "onnxscript"):  # what torch.onnx writes with
        package(name, "an .onnx file", _INSTALL)
    onnxruntime = package("onnxruntime", "an .onnx file, which is tried before it is written,", _INSTALL)
    if graph.evaluated:
        proto = filled(_proto(asking(graph), False), _proto(evaluation(graph), gradient))
    else:
        proto = _proto(graph, gradient)
    proto.producer_name, proto.producer_version = "scorefield", __version__
    proto.metadata_props.add(key=METADATA, value=json.dumps(about, allow_nan=False))
    _name_rows(proto.graph)
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def answer(tensors: Sequence[Tensor]) -> list[np.ndarray]:
        return session.run(None, {name: v.numpy() for name, v in zip(graph.inputs, tensors, strict=True)})

    return content, answer


def _proto(graph: Graph, gradient: bool) -> Any:
    """A graph as an ONNX file's content."""
    program = _traced(graph, gradient)
    size = sum(v.numel() * v.element_size() for v in program.state_dict.values())
    if size > _MOST:
        raise ValueError(f"the weights take {size:,} bytes, an ONNX file holds 2 GB; export to .pt2 instead.")
    inputs, outputs = list(graph.inputs), list(graph.outputs)
    try:
        made: Any = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs)
    except Exception as fault:  # an operation that ONNX, or torch's exporter to it, has not
        raise ValueError(f"this model has no ONNX graph: {reason(fault)}; export to .pt2 instead.") from fault
    proto = made.model_proto
    for node in proto.graph.node:  # what torch notes of each for those who debug it: most of a small file
        node.ClearField("metadata_props")
    return proto


def _name_rows(graph: Any) -> None:
    """Call the free size n, as the shapes of a file's tensors say it."""
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(rf"\b{symbol}\b", "n", size.dim_param)


def _pt2(graph: Graph, gradient: bool, about: dict[str, Any]) -> tuple[bytes, Any]:
    """The file, and what answers by it."""
    if gradient and graph.evaluated:
        one = evaluation(graph)
        written, _ = _written_out(_InOrder(one.module), tuple(one.inputs.values()))
        graph, gradient = asking(graph, written), False
    program, file = _traced(graph, gradient), io.BytesIO()
    torch.export.save(program, file, extra_files={f"{METADATA}.json": json.dumps(about, allow_nan=False)})
    module = program.module()
    return file.getvalue(), lambda tensors: [v.numpy() for v in module(*tensors)]


# ----------------------------------------------------------------------------------------------------------- checking

_ROWS = BATCH + 1  # another number of rows than the example had
_CLOSE = 1e-3  # of the answer's size: beyond it, another function was written
_NUDGE, _AMPLIFIED = (
    2.0**-20,
    100.0,
)  # of the noise, for the rounding that a model itself amplifies; how much of it is fine


def _compared(graph: Graph, answer: Any) -> tuple[float, list[tuple[int, ...]]]:
    """The mean difference of a file's answers from the module's, over their mean size; the answers' shapes."""
    asked = [_noise(value, k) for k, value in enumerate(graph.inputs.values())]
    nudged = [v * (1 + _NUDGE) if v.is_floating_point() else v for v in asked]
    expected, beside = ([v.double() for v in graph.module(*tensors)] for tensors in (asked, nudged))
    found = [torch.as_tensor(v).double() for v in answer(asked)]
    worst = 0.0
    for name, one, other, near in zip(graph.outputs, expected, found, beside, strict=True):
        if one.shape != other.shape or not bool((one.isnan() == other.isnan()).all()):
            raise ValueError(f"the exported file answers {name} in another form than the model; report this.")
        difference = _apart(one, other)
        if difference > _CLOSE + _AMPLIFIED * _apart(one, near):
            raise ValueError(f"the exported file's {name} is off by {difference:.1e} of the model's; report this.")
        worst = max(worst, difference)
    return worst, [tuple(v.shape[1:]) for v in expected]


def _apart(one: Tensor, other: Tensor) -> float:
    size = float(one.nan_to_num().abs().mean())
    return float((one - other).nan_to_num().abs().mean()) / (size or 1.0)


def _noise(example: Tensor, purpose: int) -> Tensor:
    """As many rows of an input: noise where it is 0, else as it is."""
    first = example[:1].expand(_ROWS, *example.shape[1:]).clone()
    if not first.is_floating_point() or bool(first.any()):
        return first
    return normal(_ROWS, first.shape[1:], 0, f"export {purpose}", dtype=first.dtype)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself: packages that it does without, functions of its own to come."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _signature(shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    return (f"{name} ({', '.join(map(str, ('n', *shape)))})" for name, shape in shapes.items())
