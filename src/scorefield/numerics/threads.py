"""Parts of a batch side by side: a thread of Python for each, with one thread of the processor to itself.

torch shares each operation out among the processor's threads and waits for all of them after each. Where an answer is
hundreds of small operations, parts that run through all of them on their own wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Protocol, TypeVar

import torch

Part = TypeVar("Part")
Answer = TypeVar("Answer")


class Map(Protocol):
    """The answers of some work on each of some parts, in their order."""

    def __call__(self, work: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
        """Do it."""
        ...


def one_by_one(work: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
    """The answers to the parts, one after the other."""
    return [work(part) for part in parts]


def shares(n: int, least: int, device: torch.device) -> int:
    """How many parts of a batch of n are worked on side by side: as many as threads, none of fewer than `least`."""
    return max(1, min(torch.get_num_threads(), n // least)) if device.type == "cpu" else 1


def cut(n: int, parts: int) -> list[slice]:
    """The rows of each of so many parts of nearly equal length of a batch of n."""
    ends = [n * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


@contextmanager
def side_by_side(count: int) -> Iterator[Map]:
    """A map over up to `count` parts at once; the first of them runs in the calling thread.

    What is local to a thread of torch (autocast, no_grad) is not handed on: the work enters it. Between calls torch has
    as many threads as before.

    Args:
        count: of parts; 1 is `one_by_one`.

    Example:
        >>> with side_by_side(2) as over:
        ...     over(lambda rows: sum(range(10)[rows]), cut(10, 2))
        [10, 35]
    """
    if count == 1:
        yield one_by_one
        return
    usual = torch.get_num_threads()
    with ThreadPoolExecutor(count - 1, "scorefield-part", torch.set_num_threads, (1,)) as pool:

        def over(work: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
            torch.set_num_threads(1)
            others = [pool.submit(work, part) for part in parts[1:]]
            try:
                first = [work(part) for part in parts[:1]]
            finally:
                wait(others)  # nothing of this call is under way when it ends, be it by an error
                torch.set_num_threads(usual)
            return [*first, *(other.result() for other in others)]

        yield over
