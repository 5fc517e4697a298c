"""Folders of image files of every kind: read right, or one sentence that names the file and what to do."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scorefield import data
from scorefield.data import DataError, ImageReading
from scorefield.data.imagefile import read_image

RNG = np.random.default_rng(0)
H, W = 6, 4
GREY = RNG.integers(0, 256, (24, H, W), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (24, H, W, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (24, H, W, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (24, H, W), dtype=np.uint16)

Maker = Callable[[int], Image.Image]


def folder_of(folder: Path, make: Maker, suffix: str = ".png", **how: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(24):
        make(i).save(folder / f"{i:02d}{suffix}", **how)
    return folder


def colour(i: int) -> Image.Image:
    return Image.fromarray(COLOUR[i])


def grey(i: int) -> Image.Image:
    return Image.fromarray(GREY[i])


def alpha(i: int) -> Image.Image:
    return Image.fromarray(ALPHA[i])


def grey_alpha(i: int) -> Image.Image:
    return Image.merge("LA", (grey(i), Image.fromarray(ALPHA[i, ..., 3])))


def palette(i: int) -> Image.Image:
    return colour(i).quantize(24)


def message(source: object, images: ImageReading | None = None) -> str:
    with pytest.raises(DataError) as caught:
        data.load(source, images=images)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text and text.endswith("."), text
    return text


def luminance(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601-2, as PIL rounds it."""
    weights = np.array([19595, 38470, 7471])
    return ((rgb.astype(np.int64) @ weights + 0x8000) >> 16).astype(np.uint8)


# ----------------------------------------------------------------------------------------------------- modes

OWN = {  # mode: (how it is made, what is read of it when nothing is told)
    "1": (lambda i: Image.fromarray(GREY[i] > 127), np.where(GREY > 127, 255, 0).astype(np.uint8)),
    "L": (grey, GREY),
    "LA": (grey_alpha, np.stack([GREY, GREY, GREY, ALPHA[..., 3]], -1)),
    "P": (palette, COLOUR),
    "RGB": (colour, COLOUR),
    "RGBA": (alpha, ALPHA),
    "I;16": (lambda i: Image.fromarray(DEEP[i]), DEEP),
}


@pytest.mark.parametrize("mode", OWN)
def test_each_mode_is_read_as_it_is(mode: str, tmp_path: Path) -> None:
    make, expected = OWN[mode]
    dataset = data.load(folder_of(tmp_path, make))
    np.testing.assert_array_equal(dataset.records, expected)
    assert dataset.records.dtype == expected.dtype and dataset.reading is None and dataset.said == ""


def with_hole(i: int) -> Image.Image:
    image = palette(i)
    image.info["transparency"] = 3
    return image


def test_a_palette_with_a_transparent_colour_keeps_it(tmp_path: Path) -> None:
    records = data.load(folder_of(tmp_path, with_hole)).records
    assert records.shape == (24, H, W, 4)
    hole = np.array([np.asarray(palette(i)) == 3 for i in range(24)])
    np.testing.assert_array_equal(records[..., 3], np.where(hole, 0, 255))
    np.testing.assert_array_equal(records[..., :3][~hole], COLOUR[~hole])


@pytest.mark.parametrize("mode", OWN)
def test_every_mode_becomes_grey_rgb_or_rgba_when_told(mode: str, tmp_path: Path) -> None:
    make, own = OWN[mode]
    folder_of(tmp_path, make)
    full = np.rint(own / 257).astype(np.uint8) if mode == "I;16" else own
    rgb = full[..., :3] if full.ndim == 4 else np.stack([full] * 3, -1)
    over = full[..., 3] if full.ndim == 4 and full.shape[-1] == 4 else np.full(full.shape[:3], 255, np.uint8)
    np.testing.assert_array_equal(
        data.load(tmp_path, images=ImageReading(mode="rgba")).records, np.concatenate([rgb, over[..., None]], -1)
    )
    if mode in ("LA", "RGBA"):
        assert "transparent" in message(tmp_path, ImageReading(mode="rgb"))
        share = over[..., None] / 255.0
        for background, value in (("white", 255), ("black", 0)):
            laid = data.load(tmp_path, images=ImageReading(mode="rgb", background=background)).records  # type: ignore[arg-type]
            assert np.abs(laid - (share * rgb + (1 - share) * value)).max() <= 1  # a level, by rounding
        return
    np.testing.assert_array_equal(data.load(tmp_path, images=ImageReading(mode="rgb")).records, rgb)
    np.testing.assert_array_equal(data.load(tmp_path, images=ImageReading(mode="grey")).records, luminance(rgb))


def test_opaque_alpha_is_dropped_without_loss(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: colour(i).convert("RGBA"))
    np.testing.assert_array_equal(data.load(tmp_path, images=ImageReading(mode="rgb")).records, COLOUR)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".tif"), ("CMYK", ".jpg"), ("YCbCr", ".tif")])
def test_other_colours_are_converted_when_told(mode: str, suffix: str, tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: colour(i).convert(mode), suffix)
    if not (mode == "YCbCr" and suffix == ".jpg"):
        said = message(tmp_path)
        assert f"00{suffix} has the mode {mode}" in said and "--image-mode rgb" in said
    dataset = data.load(tmp_path, images=ImageReading(mode="rgb"))
    assert dataset.records.shape == (24, H, W, 3) and f"24 converted from {mode}" in dataset.said
    if suffix == ".tif" and mode == "CMYK":  # kept without loss: its naive conversion is 255 - ink
        np.testing.assert_array_equal(dataset.records, COLOUR)


@pytest.mark.parametrize(("mode", "suffix"), [("F", ".tif"), ("I", ".tif")])
def test_pixels_of_no_known_range_are_refused(mode: str, suffix: str, tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: grey(i).convert(mode), suffix)
    for images in (None, ImageReading(mode="grey")):
        said = message(tmp_path, images)
        assert f"00{suffix} has the mode {mode}" in said and ".npz" in said


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_either_byte_order(order: str, tmp_path: Path) -> None:
    mode = "I;16" if order == "<" else "I;16B"
    folder_of(tmp_path, lambda i: Image.frombytes(mode, (W, H), DEEP[i].astype(f"{order}u2").tobytes()), ".tif")
    records = data.load(tmp_path).records
    assert records.dtype == np.uint16
    np.testing.assert_array_equal(records, DEEP)


def deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits per colour, which PIL cannot write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    h, w, c = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", w, h, 16, {2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_per_colour_are_not_cut_silently(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (24, H, W, 3), dtype=np.uint16)
    for i in range(24):
        (tmp_path / f"{i:02d}.png").write_bytes(deep_png(deep[i]))
    said = message(tmp_path)
    assert "00.png has 16 bits per colour" in said and "--image-mode rgb" in said
    np.testing.assert_array_equal(data.load(tmp_path, images=ImageReading(mode="rgb")).records, deep >> 8)


def test_mixed_modes_name_both_files_and_the_option(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    colour(7).save(tmp_path / "07.png")
    Image.fromarray(DEEP[9]).save(tmp_path / "09.png")
    said = message(tmp_path)
    for part in ("07.png has the mode RGB", "00.png the mode L", "--image-mode"):
        assert part in said
    records = data.load(tmp_path, images=ImageReading(mode="grey")).records
    expected = GREY.copy()
    expected[7], expected[9] = luminance(COLOUR[7]), np.rint(DEEP[9] / 257)
    np.testing.assert_array_equal(records, expected)
    rgb = data.load(tmp_path, images=ImageReading(mode="rgb")).records
    np.testing.assert_array_equal(rgb[7], COLOUR[7])


# ----------------------------------------------------------------------------------------------------- sizes


def smooth(width: int, height: int, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:height, :width]
    ramp = 20 + 200 * np.stack([x / max(width - 1, 1), y / max(height - 1, 1), (x + y) / (width + height)], -1)
    return Image.fromarray(np.rint(ramp).astype(np.uint8)).convert(mode)


def test_mixed_sizes_name_both_files_and_the_option(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    smooth(9, 5, "L").save(tmp_path / "07.png")
    said = message(tmp_path)
    for part in ("07.png is 9x5 pixels", "00.png is 4x6", "--image-size"):
        assert part in said


def test_resized_when_told(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(4 * (10 + i), 3 * (10 + i)))
    dataset = data.load(tmp_path, images=ImageReading(size=(16, 12)))
    assert dataset.shape == (12, 16, 3) and "enlarged" not in dataset.said
    # ramps stay ramps away from the edges: half a pixel of the small one is the most that a kernel moves them
    for record in dataset.records:
        slope = np.diff(record[3:-3, 3:-3, 0].astype(float), axis=1)
        assert np.abs(slope - 200 / 15).max() < 4


def test_another_shape_is_cut_only_when_told(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(40, 30))
    said = message(tmp_path, ImageReading(size=(16, 16)))
    assert "00.png is 40x30 pixels" in said and "--crop" in said and "16x12" in said
    dataset = data.load(tmp_path, images=ImageReading(size=(30, 30), crop=True))
    whole = np.asarray(smooth(40, 30))
    np.testing.assert_array_equal(dataset.records[0], whole[:, 5:35])  # the middle, pixel for pixel
    assert "24 cropped" in dataset.said
    tall = data.load(tmp_path, images=ImageReading(size=(40, 10), crop=True)).records
    np.testing.assert_array_equal(tall[0], whole[10:20])


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_photographs_are_what_they_are_when_decoded_whole(orientation: int, tmp_path: Path) -> None:
    """A JPEG is decoded at a fraction of its size where that is enough; a PNG of its pixels is not."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = smooth(1333, 1000)
    how = ImageReading(size=(48, 64) if orientation == 6 else (64, 48), crop=True)
    pixels.save(tmp_path / "a.jpg", exif=exif, quality=100)
    pixels.save(tmp_path / "a.png", exif=exif)
    small, whole = (read_image(tmp_path / name, how).astype(int) for name in ("a.jpg", "a.png"))
    assert np.abs(small - whole).max() <= 4  # half a pixel of the fraction, and what JPEG loses
    with pytest.raises(DataError, match="1333x1000" if orientation == 1 else "1000x1333"):
        read_image(tmp_path / "a.jpg", ImageReading(size=(64, 64)))


@pytest.mark.parametrize("size", [(641, 480), (640, 481), (639, 479)])
def test_a_pixel_more_is_no_other_shape(size: tuple[int, int], tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(*size))
    assert data.load(tmp_path, images=ImageReading(size=(64, 48))).shape == (48, 64, 3)


def test_small_images_are_enlarged_and_it_is_said(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(8, 8) if i else smooth(1, 1))
    dataset = data.load(tmp_path, images=ImageReading(size=(8, 8)))
    assert dataset.shape == (8, 8, 3) and "1 enlarged" in dataset.said
    assert len(np.unique(dataset.records[0].reshape(-1, 3), axis=0)) == 1


def test_sixteen_bits_are_resized_with_all_of_them(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: Image.fromarray(np.full((8, 8), 1000 + 3 * i, np.uint16)))
    records = data.load(tmp_path, images=ImageReading(size=(4, 4))).records
    assert records.dtype == np.uint16
    np.testing.assert_array_equal(records, np.broadcast_to(1000 + 3 * np.arange(24)[:, None, None], (24, 4, 4)))


def test_what_is_hidden_does_not_bleed_when_resized(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:] = (200, 100, 50, 255)
    pixels[:, :4] = (255, 255, 255, 0)  # white that nobody sees
    folder_of(tmp_path, lambda i: Image.fromarray(pixels))
    record = data.load(tmp_path, images=ImageReading(size=(4, 4))).records[0]
    seen = record[record[..., 3] > 128]
    assert (np.abs(seen[:, :3] / (200, 100, 50) - 1) < 0.1).all()  # by which Lanczos's kernel overshoots an edge


def test_a_huge_picture_beside_small_ones(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(32, 32))
    Image.new("L", (6000, 6000), 77).save(tmp_path / "05.png")
    dataset = data.load(tmp_path, images=ImageReading(size=(16, 16), mode="rgb"))
    assert (dataset.records[5] == 77).all()
    Image.new("1", (10_000, 10_000)).save(tmp_path / "05.png")
    assert "05.png" in message(tmp_path, ImageReading(size=(16, 16), mode="rgb"))


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 5), (7, 5)])
def test_odd_and_tiny_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    w, h = size
    pixels = RNG.integers(0, 256, (24, h, w, 3), dtype=np.uint8)
    folder_of(tmp_path, lambda i: Image.fromarray(pixels[i]))
    np.testing.assert_array_equal(data.load(tmp_path).records, pixels)


# ------------------------------------------------------------------------------------------------------ EXIF

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # upright = TURNED[k](as stored): the EXIF standard
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_pictures_are_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if suffix == ".webp" else {}
    folder_of(tmp_path, colour, suffix, exif=exif, **how)
    dataset = data.load(tmp_path)
    np.testing.assert_array_equal(dataset.records, np.stack([TURNED[orientation](x) for x in COLOUR]))
    assert ("24 turned upright" in dataset.said) == (orientation != 1)


def test_a_turned_photograph_is_as_wide_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder_of(tmp_path, lambda i: smooth(40, 30), ".jpg", quality=100)
    smooth(30, 40).save(tmp_path / "07.jpg", exif=exif, quality=100)
    dataset = data.load(tmp_path)
    assert dataset.shape == (30, 40, 3) and "1 turned upright" in dataset.said


# ------------------------------------------------------------------------------------------------- many frames


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animations_are_not_cut_to_their_first_frame_silently(suffix: str, tmp_path: Path) -> None:
    how = {"lossless": True} if suffix == ".webp" else {}
    make = palette if suffix == ".gif" else colour
    folder_of(tmp_path, make, suffix, **how)
    make(7).save(tmp_path / f"07{suffix}", save_all=True, append_images=[make(8), make(9)], **how)
    said = message(tmp_path)
    assert f"07{suffix} has 3 frames" in said and "--first-frame" in said
    records = data.load(tmp_path, images=ImageReading(first_frame=True)).records
    np.testing.assert_array_equal(records, COLOUR)


def test_a_photograph_with_a_preview_is_one_picture(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(16, 16), ".jpg")
    smooth(16, 16).save(tmp_path / "07.jpg", format="MPO", save_all=True, append_images=[smooth(8, 8)])
    assert data.load(tmp_path).shape == (16, 16, 3)


# ------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(("suffix", "form"), [(".png", "PNG"), (".jpg", "JPEG"), (".gif", "GIF"), (".bmp", "BMP"),
                                              (".tif", "TIFF"), (".webp", "WEBP")])  # fmt: skip
def test_a_cut_file_is_refused_or_read_whole(suffix: str, form: str, tmp_path: Path) -> None:
    folder_of(
        tmp_path, lambda i: Image.fromarray(RNG.integers(0, 256, (20, 20), dtype=np.uint8)).convert("RGB"), suffix
    )
    path = tmp_path / f"07{suffix}"
    whole, expected = path.read_bytes(), data.load(tmp_path).records
    refused = 0
    for cut in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:cut])
        try:
            records = data.load(tmp_path).records
        except DataError as error:
            assert path.name in str(error) and "\n" not in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(records, expected)
    assert refused >= 20


def test_an_empty_file_is_said_to_be_one(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    (tmp_path / "07.png").write_bytes(b"")
    assert "07.png cannot be read as an image: it is empty (0 bytes)" in message(tmp_path)


def test_the_first_fault_in_order_is_named_each_time(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    for i in (5, 6, 17, 23):
        (tmp_path / f"{i:02d}.png").write_bytes(b"none")
    assert {message(tmp_path).count("05.png") for _ in range(5)} == {2}  # by us, and in what PIL says


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    folder_of(tmp_path, lambda i: smooth(16, 16), ".jpg", quality=95)
    expected = data.load(tmp_path).records
    for path in sorted(tmp_path.iterdir()):
        path.rename(path.with_suffix(".png"))
    np.testing.assert_array_equal(data.load(tmp_path).records, expected)


def test_postscript_is_not_run(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    (tmp_path / "07.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 6\n%%EndComments\n")
    assert "07.png cannot be read as an image" in message(tmp_path)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    grey(0).save(tmp_path / "one.png")
    assert "has 1 images; at least 20" in message(tmp_path)


def test_links_and_names(tmp_path: Path) -> None:
    real = folder_of(tmp_path / "real", grey)
    linked = tmp_path / "linked"
    linked.mkdir()
    for i in range(24):
        os.symlink(real / f"{i:02d}.png", linked / f"{i:02d} é 画像.png")
    np.testing.assert_array_equal(data.load(linked).records, GREY)
    (real / "07.png").unlink()
    said = message(linked)
    assert "07 é" in said and "link" in said


def test_images_of_other_formats_are_not_passed_over(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    (tmp_path / "photo.HEIC").write_bytes(b"x")
    assert "photo.HEIC" in message(tmp_path) and "convert" in message(tmp_path)


# ------------------------------------------------------------------------------------------------------ folders


def test_images_deeper_than_classes_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path / "cat", grey)
    folder_of(tmp_path / "dog", grey)
    folder_of(tmp_path / "cat" / "indoor", colour)
    said = message(tmp_path)
    assert str(Path("cat") / "indoor" / "00.png") in said and "class" in said
    for name in sorted((tmp_path / "cat").glob("*.png")):
        name.unlink()
    assert str(Path("cat") / "indoor" / "00.png") in message(tmp_path)


def test_without_labels_every_image_below_is_one(tmp_path: Path) -> None:
    folder_of(tmp_path, grey)
    folder_of(tmp_path / "a" / "b", lambda i: Image.fromarray(255 - GREY[i]))
    os.symlink(tmp_path, tmp_path / "a" / "again")  # a circle
    records = data.load(tmp_path, labels=False).records
    np.testing.assert_array_equal(records, np.concatenate([GREY, 255 - GREY]))


# ------------------------------------------------------------------------------------------------- the options


@pytest.mark.parametrize(
    "given",
    [{"mode": "cmyk"}, {"size": (0, 4)}, {"size": (4,)}, {"size": 64}, {"crop": True}, {"size": (4, 4), "crop": 1},
     {"background": "red"}, {"background": "white"}, {"mode": "rgba", "background": "white"}, {"first_frame": "yes"},
     {"size": (2.0, 2)}, {"size": (10**6, 2)}],
    ids=str,
)  # fmt: skip
def test_readings_that_are_none(given: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        ImageReading(**given)


def test_a_reading_is_stored_and_found_again() -> None:
    for reading in (ImageReading(), ImageReading("rgb", (64, 48), True, "white", True)):
        assert ImageReading.from_json(reading.to_json()) == reading
    for wrong in ({"mode": "x"}, {"size": 3}, {"sizes": [3, 3]}, [], None):
        with pytest.raises(DataError):
            ImageReading.from_json(wrong)  # type: ignore[arg-type]


def test_what_is_no_folder_has_no_reading(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREY)
    for source in (tmp_path / "a.npy", GREY, "digits"):
        assert "--image-size" in message(source, ImageReading(size=(4, 4)))


def test_many_workers_read_what_one_reads(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (500, 5, 5, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i:03d}.png")
    np.testing.assert_array_equal(data.load(tmp_path).records, pixels)
    with io.BytesIO() as one:  # and PIL agrees
        Image.fromarray(pixels[0]).save(one, "PNG")
        np.testing.assert_array_equal(np.asarray(Image.open(one)), pixels[0])
