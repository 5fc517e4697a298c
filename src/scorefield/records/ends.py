"""Black and white of drawn images: the ends of the grey levels, where they are far more frequent than those beside.

Scans, drawings and masks are black or white in most of their pixels, exactly. A network's draw misses such a level by
a part of one, to either side; rounding and clipping make half of these pixels right and leave the rest a level or two
beside it, where real images have next to none. So a draw is taken for black below a threshold at which as many pixels
are black as in the training images. What is not drawn, such as the known part of a restored image, is rounded as ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.data.dataset import Array
from scorefield.records.greys import Counts
from scorefield.records.image_codec import ImageCodec

ROUNDING = 0.5
_RARER = 10  # times as rare as an end are the levels beside it together, where it is taken for one
_BESIDE = 64  # of all levels, the part that lies beside an end


@dataclass(frozen=True)
class Ends:
    """How far from the lowest and the highest grey level a drawn pixel may lie and still be it, in levels.

    Args:
        low: from the lowest; 0.5 is rounding.
        high: from the highest.

    Example:
        >>> codec = ImageCodec(1, 3, 1, mean=8.0, std=4.0, levels=256, dtype="uint8", channel_axis=False)
        >>> Ends(low=2.0).taken(codec, (torch.tensor([[[[1.2, 2.2, 254.0]]]]) - 8.0) / 4.0)
        tensor([[[[-2.0000, -1.4500, 61.5000]]]])
    """

    low: float = ROUNDING
    high: float = ROUNDING

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not ROUNDING <= value < math.inf:
                raise ValueError(f"Ends({name}=...) is a number of levels >= 0.5, got {shown(value)}.")

    def taken(self, codec: object, x: Tensor) -> Tensor:
        """Encoded draws `(n, c, h, w)` with what lies so near to an end at it."""
        if self == Ends() or not isinstance(codec, ImageCodec) or not codec.levels:
            return x
        lowest, highest, low, high = (
            (level - codec.mean) / codec.std
            for level in (0.0, codec.levels - 1.0, self.low, codec.levels - 1.0 - self.high)
        )
        return torch.where(x < low, lowest, torch.where(x > high, highest, x))


def have_ends(counts: Counts) -> tuple[bool, bool]:
    """Whether the lowest and the highest level are that much more frequent than those beside them.

    Args:
        counts: how often each grey level occurs.

    Example:
        >>> have_ends(np.array([80, 1, 1, 1, 1, *[2] * 251]))
        (True, False)
    """
    beside = _beside(len(counts))
    ends = ((counts[0], counts[1 : 1 + beside]), (counts[-1], counts[-1 - beside : -1]))
    low, high = (bool(end > 0 and end >= _RARER * near.sum()) for end, near in ends)
    return low, high


def measured(drawn: Array, counts: Counts) -> Ends:
    """The thresholds at which as large a share of drawn pixels is at an end as of the training images.

    They are never beyond the levels beside an end.

    Args:
        drawn: pixels in grey levels, before rounding.
        counts: of the training images, for all levels of the codec.

    Example:
        >>> counts = np.array([50, 0, 0, 0, 0, *[1] * 50, *[0] * 201])
        >>> measured(np.concatenate([np.linspace(-2, 2, 100), np.linspace(5, 50, 100)]), counts).low
        3.5
    """
    top, most = len(counts) - 1, _beside(len(counts)) + ROUNDING
    found = []
    pixels = np.asarray(drawn, np.float64).ravel()
    for is_end, count, from_end in zip(have_ends(counts), (counts[0], counts[-1]), (pixels, top - pixels), strict=True):
        share = float(count) / float(counts.sum())
        found.append(float(np.clip(np.quantile(from_end, share), ROUNDING, most)) if is_end else ROUNDING)
    return Ends(*found)


def _beside(levels: int) -> int:
    return max(1, levels // _BESIDE)
