"""What a service has done so far, as Prometheus reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """Counts of values up to each bound, their number and their sum."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))] += 1
        self.sum += value

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        """In Prometheus's text format: cumulative."""
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            yield f"{name}_bucket{_labels((*labels, ('le', '+Inf' if bound is None else f'{bound:g}')))} {total}"
        yield f"{name}_sum{_labels(labels)} {self.sum!r}"
        yield f"{name}_count{_labels(labels)} {total}"


@dataclass
class Metrics:
    """Of one service; written by its event loop alone.

    Example:
        >>> metrics = Metrics()
        >>> metrics.answered("density", 200, 0.02)
        >>> 'scorefield_requests_total{endpoint="density",status="200"} 1' in metrics.text(queued=0)
        True
    """

    requests: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[str, Histogram] = field(default_factory=lambda: defaultdict(lambda: Histogram(_SECONDS)))
    batches: dict[str, Histogram] = field(default_factory=lambda: defaultdict(lambda: Histogram(_SIZES)))
    evaluations: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that has its answer, of whichever status."""
        self.requests[endpoint, status] += 1
        self.seconds[endpoint].add(seconds)

    def computed(self, endpoint: str, requests: int, evaluations: int) -> None:
        """Count a call of the model for so many requests."""
        self.batches[endpoint].add(requests)
        self.evaluations[endpoint] += evaluations

    def text(self, queued: int) -> str:
        """All of it, in Prometheus's text format.

        Args:
            queued: requests that wait now.
        """
        lines = [*_head("scorefield_requests_total", "counter", "Requests by endpoint and status.")]
        for (endpoint, status), count in sorted(self.requests.items()):
            lines.append(f"scorefield_requests_total{_labels((_of(endpoint), ('status', str(status))))} {count}")
        lines += _head("scorefield_request_seconds", "histogram", "From a request to its answer.")
        for endpoint, found in sorted(self.seconds.items()):
            lines += found.lines("scorefield_request_seconds", (_of(endpoint),))
        lines += _head("scorefield_batch_requests", "histogram", "Requests that one call of the model answers.")
        for endpoint, found in sorted(self.batches.items()):
            lines += found.lines("scorefield_batch_requests", (_of(endpoint),))
        name = "scorefield_network_evaluations_total"
        lines += _head(name, "counter", "Network evaluations of answered requests, as far as they are known.")
        lines += [f"{name}{_labels((_of(endpoint),))} {n}" for endpoint, n in sorted(self.evaluations.items())]
        lines += _head("scorefield_queue_length", "gauge", "Requests that wait for their computation.")
        return "\n".join([*lines, f"scorefield_queue_length {queued}", ""])


def _of(endpoint: str) -> tuple[str, str]:
    return "endpoint", endpoint


def _head(name: str, kind: str, says: str) -> list[str]:
    return [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
