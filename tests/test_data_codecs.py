"""Laws of codecs: exact back, standardised, the right log-det, the same after JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.data import DataError, Dataset
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.codec import Codec, codec_from_json, fit_codec
from scorefield.records.image_codec import ImageCodec

RNG = np.random.default_rng(0)
FLOAT32 = 2.0**-24  # relative rounding


def table(*columns: np.ndarray) -> Dataset:
    return Dataset(np.stack(columns, 1).astype(np.float64), "table", tuple(f"c{j}" for j in range(len(columns))))


def images(x: np.ndarray) -> Dataset:
    return Dataset(x, "image")


Z = RNG.normal(size=(200, 4))
LEVELS = RNG.integers(0, 256, size=(40, 6, 4, 3), dtype=np.uint8)
DATASETS = {
    "continuous": table(Z[:, 0], 5 + 1e3 * Z[:, 1], 1e-8 * Z[:, 2]),
    "integers": table(RNG.integers(0, 9, 200), RNG.integers(-1000, 100_000, 200), 7_000_000 + RNG.integers(0, 3, 200)),
    "mixed": table(Z[:, 0], RNG.integers(0, 2, 200)),
    "large offset": table(1e9 + 1e-3 * Z[:, 0], 1e15 + 8 * RNG.integers(0, 5, 200)),
    "extreme": table(1e300 * Z[:, 0], 1e-300 * Z[:, 1]),
    "grey": images(LEVELS[..., 0]),
    "colour": images(LEVELS),
    "seventeen levels": images(LEVELS[..., :1] // 16 + (LEVELS[..., :1] == 255)),
    "16-bit": images(LEVELS.astype(np.uint16) * 257),
    "odd height": images(LEVELS[:, :5, :, 0]),
    "odd width": images(LEVELS[:, :, :3]),
    "odd both": images(LEVELS[:, :5, :3]),
    "one pixel": images(LEVELS[:, :1, :1, 0]),
    "floats": images((LEVELS / 255).astype(np.float32)),
    "double floats far from 0": images(1e6 + LEVELS[..., 0] / 255),
    "series": Dataset(3 + Z, "series"),
    "series of channels": Dataset(np.stack([5 + 1e3 * Z, 1e-4 * Z**2], 2), "series"),
    "volumes": Dataset(Z[:180].reshape(30, 2, 3, 4), "volume"),
    "volumes of channels": Dataset(Z[:180].reshape(30, 1, 4, 3, 2).astype(np.float32), "volume"),
}
ODD = {"odd height", "odd width", "odd both", "one pixel"}


def is_whole(dataset: Dataset) -> np.ndarray:
    """Which columns (or pixels) hold whole numbers; above 2**53 float64 has no others."""
    if dataset.gridded:
        return np.array(dataset.records.dtype.kind != "f")
    x = dataset.records
    return np.all((x == np.rint(x)) & (np.abs(x) < 2.0**53), axis=0)


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return replace(DATASETS[request.param], source=request.param)


def test_decoding_brings_records_back(dataset: Dataset) -> None:
    """Whole numbers to the last digit; others to float32's rounding of the largest encoded value."""
    codec = fit_codec(dataset)
    assert isinstance(codec, Codec)
    x = codec.encode(dataset.records)
    back = codec.decode(x)
    assert x.dtype == torch.float32 and x.shape == (len(dataset), *codec.shape) and x.is_contiguous()
    assert back.dtype == dataset.records.dtype and back.shape == dataset.records.shape
    if dataset.records.dtype.kind != "f":
        np.testing.assert_array_equal(back, dataset.records)
        return
    error = np.abs(back - dataset.records) * codec.slope
    spacing = np.spacing(np.abs(dataset.records)) * codec.slope  # the records' own rounding
    assert (error <= 2 * FLOAT32 * float(x.abs().max()) + spacing).all()
    if dataset.kind == "table":
        whole = is_whole(dataset)
        np.testing.assert_array_equal(back[:, whole], dataset.records[:, whole])


def test_encoded_data_are_standardised(dataset: Dataset) -> None:
    """Mean 0 and standard deviation 1, per column or over all of the user's pixels."""
    codec = fit_codec(dataset)
    axis = 0 if dataset.kind == "table" else None
    x = codec.layout(codec.encode(dataset.records))
    # the mean itself is rounded to float64, which shows far from 0
    rounding = np.spacing(np.abs(dataset.records).max(axis).astype(np.float64)) * codec.slope
    assert (np.abs(x.mean(axis)) < 1e-6 + rounding).all()
    np.testing.assert_allclose(x.std(axis), 1, atol=1e-6)


def test_log_det_is_that_of_the_jacobian(dataset: Dataset) -> None:
    """Encoding is affine: its Jacobian by finite differences of one standard deviation, for 12 coordinates at most."""
    codec = fit_codec(dataset)
    record = dataset.records[:1].astype(np.float64)
    size = record.size
    step = (np.broadcast_to(1 / codec.slope, record.shape[1:])).reshape(-1)
    moved = record.reshape(1, -1) + np.diag(step)
    difference = codec.layout(codec.encode(moved.reshape(size, *record.shape[1:]))) - codec.layout(codec.encode(record))
    jacobian = difference.reshape(size, size) / step[:, None]
    found = np.log(np.abs(np.linalg.eigvals(jacobian * step))).sum() - np.log(step).sum()
    log_det = codec.log_det(dataset.records)
    assert log_det.dtype == torch.float64 and log_det.shape == (len(dataset),)
    rounding = size * (4e-6 + (np.spacing(np.abs(record)) * codec.slope).max() * 2)
    assert abs(found - float(log_det[0])) < rounding


def test_slope_is_the_change_of_encoding(dataset: Dataset) -> None:
    codec = fit_codec(dataset)
    a, b = dataset.records[:1].astype(np.float64), dataset.records[1:2].astype(np.float64)
    change = codec.layout(codec.encode(b)) - codec.layout(codec.encode(a))
    spacing = np.spacing(np.maximum(np.abs(a), np.abs(b))) * codec.slope
    assert (np.abs(change - (b - a) * codec.slope) <= 1e-6 * (1 + np.abs(change)) + 2 * spacing).all()


def test_json_gives_the_same_codec(dataset: Dataset) -> None:
    codec = fit_codec(dataset)
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    assert again == codec
    assert torch.equal(again.encode(dataset.records), codec.encode(dataset.records))


def test_dequantisation(dataset: Dataset) -> None:
    """Noise of half a resolution to either side on whole numbers, none elsewhere; a function of (seed, index, row)."""
    codec = fit_codec(dataset)
    plain, noisy = codec.encode(dataset.records), codec.encode(dataset.records, seed=3)
    noise = codec.layout(noisy - plain) / codec.slope
    whole = np.broadcast_to(is_whole(dataset), noise.shape)
    rounding = 4 * FLOAT32 * float(plain.abs().max()) / codec.slope
    assert (np.abs(noise) <= 0.5 * whole + rounding).all()
    if whole.any() and dataset.source != "large offset":
        # uniform: mean 0 and variance 1/12, whose standard errors are sqrt(1/12/n) and sqrt(1/180/n)
        n = whole.sum()
        assert abs(noise[whole].mean()) < 5 * (1 / 12 / n) ** 0.5
        assert abs(np.square(noise[whole]).mean() - 1 / 12) < 5 * (1 / 180 / n) ** 0.5
        assert not torch.equal(noisy, codec.encode(dataset.records, seed=3, row=1))
    part = codec.encode(dataset.records[7:9], seed=3, first=7)
    assert torch.equal(part, noisy[7:9])
    assert torch.equal(codec.encode(dataset.records[[8, 7]], seed=3, first=torch.tensor([8, 7])), noisy[[8, 7]])
    assert np.mean(codec.decode(noisy)[whole] == dataset.records[whole]) > 0.999 if whole.any() else True


def test_sizes_are_made_even(dataset: Dataset) -> None:
    if dataset.kind != "image":
        return
    codec = fit_codec(dataset)
    x = codec.encode(dataset.records)
    h, w = dataset.shape[:2]
    assert codec.shape[1:] == (h + h % 2, w + w % 2)
    assert (codec.shape[1:] != (h, w)) == (dataset.source in ODD)
    assert torch.equal(x[:, :, -1, :w], x[:, :, h - 1, :w]) and torch.equal(x[..., -1], x[..., w - 1])


def test_integers_are_clipped_and_floats_are_not() -> None:
    codec = fit_codec(DATASETS["grey"])
    extreme = torch.tensor([-9.0, 9.0])[:, None, None, None] * torch.ones(codec.shape)
    assert codec.decode(extreme)[:, 0].tolist() == [[0] * 4, [255] * 4]
    assert codec.decode_floats(extreme).max() > 300
    codec = fit_codec(DATASETS["floats"])
    assert codec.decode(torch.full((1, *codec.shape), -9.0)).max() < -1
    with pytest.raises(ValueError, match="NaN"):
        fit_codec(DATASETS["grey"]).decode(torch.full((1, 1, 6, 4), torch.nan))


@settings(max_examples=40, deadline=None)
@given(
    offset=st.floats(-1e12, 1e12),
    scale=st.floats(1e-12, 1e12),
    rows=st.lists(st.floats(-1, 1), min_size=20, max_size=40),
)
def test_any_column_comes_back(offset: float, scale: float, rows: list[float]) -> None:
    column = offset + scale * np.array(rows)
    dataset = table(column)
    try:
        codec = fit_codec(dataset)
    except DataError:
        assert np.ptp(column) <= 1e-15 * np.abs(column).max()
        return
    x = codec.encode(dataset.records)
    error = np.abs(codec.decode(x) - dataset.records) * codec.slope
    spacing = np.spacing(np.abs(column)).max() * float(codec.slope[0])
    assert error.max() <= 2 * FLOAT32 * float(x.abs().max()) + 2 * spacing


BAD = {
    "another kind": ({"kind": "audio"}, "table, image, grid, got 'audio'"),
    "no kind": ({}, "got None"),
    "no fields": ({"kind": "table", "columns": ["a"]}, r"lacks the fields \['mean', 'resolution', 'std'\]"),
    "foreign": ({**fit_codec(DATASETS["grey"]).to_json(), "gamma": 2}, r"unknown \['gamma'\]"),
    "std": ({"kind": "table", "columns": ["a"], "mean": [0], "std": [0], "resolution": [0]}, "std > 0"),
    "NaN": ({"kind": "table", "columns": ["a"], "mean": [float("nan")], "std": [1], "resolution": [0]}, "finite"),
    "length": ({"kind": "table", "columns": ["a"], "mean": [0, 1], "std": [1], "resolution": [0]}, "one mean per"),
    "type": ({"kind": "table", "columns": ["a"], "mean": 3, "std": [1], "resolution": [0]}, "cannot be read"),
    "dtype": ({**fit_codec(DATASETS["grey"]).to_json(), "dtype": "int4"}, "'int4'"),
    "levels": ({**fit_codec(DATASETS["grey"]).to_json(), "levels": 257}, "257"),
    "grid sizes": ({**fit_codec(DATASETS["series"]).to_json(), "sizes": [2, 2]}, "one size or three"),
    "grid size": ({**fit_codec(DATASETS["series"]).to_json(), "sizes": [0]}, "whole numbers >= 1"),
    "grid list": ({**fit_codec(DATASETS["series"]).to_json(), "mean": 3.0}, "a list of numbers"),
    "grid std": ({**fit_codec(DATASETS["series"]).to_json(), "std": [-1.0]}, "std > 0"),
    "grid mean": ({**fit_codec(DATASETS["series"]).to_json(), "mean": [float("inf")]}, "finite"),
    "grid dtype": ({**fit_codec(DATASETS["series"]).to_json(), "dtype": "uint8"}, "float32 or float64"),
    "grid axis": ({**fit_codec(DATASETS["series of channels"]).to_json(), "channel_axis": False}, "channel_axis"),
    "no axis": ({**fit_codec(DATASETS["colour"]).to_json(), "channel_axis": False}, "channel_axis"),
}


@pytest.mark.parametrize("name", BAD)
def test_descriptions_of_no_codec(name: str) -> None:
    fields, pattern = BAD[name]
    with pytest.raises(ValueError, match=pattern):
        codec_from_json(fields)


def test_records_of_another_shape() -> None:
    for name in ("mixed", "colour", "series", "volumes"):
        codec = fit_codec(DATASETS[name])
        with pytest.raises(ValueError, match=r"got \(5, 9\)"):
            codec.encode(np.zeros((5, 9)))
        with pytest.raises(ValueError, match=r"got \(5, 9\)"):
            codec.log_det(np.zeros((5, 9)))
        with pytest.raises(ValueError, match=r"got \(5, 9\)"):
            codec.decode(torch.zeros(5, 9))


def test_constant_data_have_no_codec() -> None:
    with pytest.raises(DataError, match="'c1' is constant"):
        fit_codec(table(Z[:, 0], np.ones(200)))
    with pytest.raises(DataError, match="every value of channel 2 is 1"):
        fit_codec(Dataset(np.stack([Z, np.ones_like(Z)], 2), "series"))
    with pytest.raises(DataError, match="every pixel"):
        fit_codec(images(np.ones((30, 4, 4))))


def test_codecs_are_values() -> None:
    assert fit_codec(DATASETS["mixed"]) == fit_codec(DATASETS["mixed"])
    assert isinstance(fit_codec(DATASETS["mixed"]), ArrayCodec) and isinstance(fit_codec(DATASETS["grey"]), ImageCodec)
    assert fit_codec(DATASETS["seventeen levels"]).to_json()["levels"] == 17
