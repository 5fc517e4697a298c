"""A sampler's network, written once: the steps of its graph ask for it, and copies of what was written answer them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.core import Estimate, Level
from scorefield.interop.graphs import Graph

_DOMAIN, _NAME = "scorefield", "Evaluation"
_PREFIX = "network."  # of the names of what an evaluation brings into a sampler


class _Evaluation(nn.Module):
    """`(x, alpha, sigma[, given]) -> (x0, eps)`: what a sampler's step asks, its level as tensors."""

    def __init__(self, answer: nn.Module) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.answer(x, Level(alpha, sigma), given))


class _Asked(nn.Module):
    """In a sampler's place of `answer`: a module of tensors, or where there is none a node for ONNX to fill."""

    def __init__(self, written: nn.Module | None) -> None:
        super().__init__()
        self.written = written

    def forward(self, x: Tensor, level: Level, given: Tensor | None) -> Estimate:
        alpha, sigma = (torch.full((), float(v), dtype=x.dtype) for v in level)
        asked = (x, alpha, sigma) if given is None else (x, alpha, sigma, given)
        if self.written is not None:
            return Estimate(*self.written(*asked))
        operator, kinds, shapes = f"{_DOMAIN}::{_NAME}", [x.dtype] * 2, [x.shape] * 2
        return Estimate(*torch.onnx.ops.symbolic_multi_out(operator, asked, dtypes=kinds, shapes=shapes, version=1))


def evaluation(graph: Graph) -> Graph:
    """What a step of a sampler asks, as a graph of its own; levels are 0-d."""
    answer: Any = graph.module.answer
    x, *given = graph.evaluated
    level = {"alpha": x.new_ones(()), "sigma": x.new_ones(())}
    inputs = {"x": x, **level, **({"given": given[0]} if given else {})}
    return Graph(_Evaluation(answer), inputs, ("x0", "eps"), {})


def asking(graph: Graph, written: nn.Module | None = None) -> Graph:
    """A sampler that asks `written`, or leaves nodes for `filled`, where it would evaluate its network."""
    module = copy.copy(graph.module)
    module._modules = {**module._modules, "answer": _Asked(written)}
    return Graph(module, graph.inputs, graph.outputs, graph.about)


def filled(sampler: Any, one: Any) -> Any:
    """The ONNX file of a sampler that asks, with the nodes of one evaluation in place of each question.

    Args:
        sampler: a ModelProto with `Evaluation` nodes, changed.
        one: the ModelProto of an evaluation. Its weights are taken over once.
    """
    import onnx
    from onnx import helper, inliner

    weights = [tensor.name for tensor in one.graph.initializer]
    for node in sampler.graph.node:
        if (node.domain, node.op_type) == (_DOMAIN, _NAME):
            node.input.extend(_PREFIX + name for name in weights)
    for tensor in one.graph.initializer:
        sampler.graph.initializer.add().CopyFrom(tensor)
        sampler.graph.initializer[-1].name = _PREFIX + tensor.name
    inputs = [value.name for value in one.graph.input] + weights
    outputs = [value.name for value in one.graph.output]
    nodes, needs = list(one.graph.node), list(one.opset_import)
    sampler.functions.append(helper.make_function(_DOMAIN, _NAME, inputs, outputs, nodes, needs))
    whole: onnx.ModelProto = inliner.inline_local_functions(sampler)
    return whole
