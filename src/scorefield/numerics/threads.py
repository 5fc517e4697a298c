"""Parts of a batch side by side: a thread of Python for each, with its share of the processor's threads to itself.

torch shares each operation out among the processor's threads and waits for all of them after each. Where an answer is
hundreds of small operations, parts that run through all of them on their own wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

import torch

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def shares(n: int, least: int, device: torch.device) -> int:
    """How many parts of a batch of n are worked on side by side: as many as threads, none of fewer than `least`."""
    return max(1, min(torch.get_num_threads(), n // least)) if device.type == "cpu" else 1


def cut(n: int, parts: int) -> list[slice]:
    """The rows of each of so many parts of nearly equal length of a batch of n."""
    ends = [n * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


class Workers:
    """A map over parts of some work, `count` of them at once; the first of them runs in the calling thread.

    What is local to a thread of torch (autocast, no_grad) is not handed on: the work enters it. Between calls torch has
    as many threads as before.

    Args:
        count: of threads; 1 goes through the parts one after the other.

    Example:
        >>> with Workers(2) as over:
        ...     over(lambda rows: sum(range(10)[rows]), cut(10, 2))
        [10, 35]
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._each = max(1, torch.get_num_threads() // count)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.count > 1:
            self._pool = ThreadPoolExecutor(self.count - 1, "scorefield-part", torch.set_num_threads, (self._each,))
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def __call__(self, work: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
        """The answers to the parts, in their order."""
        if self._pool is None:
            return [work(part) for part in parts]
        usual = torch.get_num_threads()
        torch.set_num_threads(self._each)
        others = [self._pool.submit(work, part) for part in parts[1:]]
        try:
            first = [work(part) for part in parts[:1]]
        finally:
            wait(others)  # nothing of this call is under way when it ends, be it by an error
            torch.set_num_threads(usual)
        return [*first, *(other.result() for other in others)]


ALONE = Workers()
"""One part after the other."""
