"""Black and white of drawn images: as frequent as in the data, where they are far more so than what lies beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.data import Dataset
from scorefield.records import fit
from scorefield.records.ends import Ends, have_ends, measured
from scorefield.records.image_codec import ImageCodec
from scorefield.records.trained import TrainedModel

CODEC = ImageCodec(2, 2, 1, mean=40.0, std=50.0, levels=256, dtype="uint8", channel_axis=False)


def counts(**at: int) -> np.ndarray:
    """A histogram of 256 levels with one pixel at each, and so many at those named."""
    found = np.ones(256, np.int64)
    for level, count in at.items():
        found[int(level[1:])] = count
    return found


@pytest.mark.parametrize(
    ("histogram", "wanted"),
    [
        (counts(), (False, False)),
        (counts(_0=40), (True, False)),
        (counts(_0=39), (False, False)),
        (counts(_0=1000, _3=200), (False, False)),  # a smooth dark picture is no scan
        (counts(_0=1000, _255=1000), (True, True)),
        (np.eye(1, 256, 0, dtype=np.int64)[0], (True, False)),
        (np.array([0, 10]), (False, True)),
    ],
)
def test_an_end_is_far_more_frequent_than_what_lies_beside(histogram: np.ndarray, wanted: tuple[bool, bool]) -> None:
    assert have_ends(histogram) == wanted


@pytest.mark.parametrize("spread", [0.1, 0.7, 1.2])
def test_as_many_drawn_pixels_are_black_as_in_the_data(spread: float) -> None:
    """Pixels are 0 with probability 0.8, else uniform on 20..250; what draws them errs by a normal of some levels."""
    rng = np.random.default_rng(0)
    black = rng.random(400_000) < 0.8
    pixels = np.where(black, 0.0, rng.uniform(20, 250, len(black))) + spread * rng.normal(size=len(black))
    histogram = counts(_0=4 * 230)
    histogram[1:20] = 0
    ends = measured(pixels[:200_000], histogram)
    share = histogram[0] / histogram.sum()
    fresh = torch.as_tensor((pixels[200_000:] - CODEC.mean) / CODEC.std).reshape(-1, 1, 2, 2)
    drawn = CODEC.decode(ends.taken(CODEC, fresh))
    error = 4 * (share * (1 - share) / 200_000) ** 0.5
    if spread == 0.1:
        assert ends == Ends() and abs((drawn == 0).mean() - black[200_000:].mean()) < error
    else:
        assert ends.low > 0.5 and ends.high == 0.5
        assert abs((drawn == 0).mean() - share) < 2 * error
    assert np.array_equal(drawn[drawn > 19], CODEC.decode(fresh)[drawn > 19])


def test_no_threshold_lies_beyond_the_levels_beside() -> None:
    blur = measured(np.linspace(0, 255, 10_000), counts(_0=10**6, _255=10**6))
    assert blur == Ends(4.5, 4.5)


@pytest.mark.parametrize("value", [0.4, np.nan, np.inf, "1", True])
def test_other_thresholds_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"Ends\(low=...\) is a number of levels"):
        Ends(low=value)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    pictures = np.where(rng.random((60, 8, 8)) < 0.7, 0, rng.integers(100, 256, (60, 8, 8))).astype(np.uint8)
    folder = tmp_path_factory.mktemp("ends") / "run"
    settings = {"steps": 3, "batch": 8}
    list(fit.fit(Dataset(pictures, "image", source="scans"), folder, settings=settings, size="small"))
    return folder


def test_a_run_keeps_them_and_draws_by_them(run: Path) -> None:
    model = TrainedModel.load(run)
    assert model.ends.low > 0.5 and model.ends.high == 0.5
    plain = TrainedModel(model.model, model.codec, info=model.info)
    new, before = model.sample(40, steps=3), plain.sample(40, steps=3)
    changed = new != before
    assert changed.any() and (new[changed] == 0).all() and (before[changed] <= 4).all()
    model.save(run.parent / "again")
    assert TrainedModel.load(run.parent / "again").ends == model.ends


def test_photographs_and_what_is_not_drawn_stay_as_they_are(run: Path) -> None:
    model = TrainedModel.load(run)
    levels = np.arange(256, dtype=np.uint8)[:64].reshape(1, 8, 8)
    assert np.array_equal(model.codec.decode(model.codec.encode(levels)), levels)
    smooth = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    folder = run.parent / "smooth"
    list(fit.fit(Dataset(smooth, "image", source="smooth"), folder, settings={"steps": 1, "batch": 4}, size="small"))
    assert TrainedModel.load(folder).ends == Ends()
