"""The command on models of images: restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from scorefield import _ranges
from scorefield.cli.app import Class, Seed, Steps, app, ranged
from scorefield.cli.progress import ProgressBar

if TYPE_CHECKING:
    from scorefield.conditioning.inverse.operators import Operator
    from scorefield.data.dataset import Array
    from scorefield.records.restore import Restored
    from scorefield.records.trained import TrainedModel


@app.command(
    help_epilogue="""Examples:
  scorefield restore run photo.png --operator mask=mask.png --noise 0 --observed -o restored
  scorefield restore run digits --index 3 --operator blur=1 --noise 1 -n 16 -o restored
  scorefield restore run scan.npy --operator radon=12 --noise 2 --observed -o restored"""
)
def restore(
    run: Path,
    image: str,
    *,
    operator: str,
    noise: Annotated[float, ranged(_ranges.real(0, 1e12))],
    output: Annotated[Path, Parameter(("--output", "-o"))],
    n: Annotated[int, ranged(_ranges.DRAWS, "-n")] = 16,
    observed: bool = False,
    index: Annotated[int, ranged(_ranges.ANY_COUNT)] | None = None,
    steps: Steps = 50,
    particles: Annotated[int, ranged(_ranges.whole(1, 100_000))] = 1,
    jacobian: bool = False,
    condition: Class | None = None,
    seed: Seed = 0,
    quiet: bool = False,
) -> None:
    """Draw images given a measurement of one: what was hidden, blurred, shrunk, cut off or projected, and how sure.

    Written to the folder are restored.png (the observation, the mean, the spread, three draws), draws.npz (draws, mean,
    deviation, measurement and, where it is known, truth), mean.png and draws.png.

    Args:
        run: folder of a model of images.
        image: a clean image to try it on, which is measured with seeded noise; with --observed the measurement itself.
            An image file, a .npy or .npz file of one array, or with --index one of many: a .npy or .npz file, a folder
            of images, or digits (then of the images that the run has not seen).
        operator: mask=FILE (not 0 where a pixel is observed), blur=SIGMA (pixels), downsample=K (means of K x K
            pixels), crop (the middle) or crop=TOP,LEFT,HEIGHT,WIDTH, radon=ANGLES, or a matrix in a .npz or .npy file.
        noise: standard deviation of the measurement's noise, in its units (grey levels); 0 is exact.
        output: folder to write to.
        n: draws.
        observed: the image is the measurement, not a clean image; NaN in an array is not observed.
        index: which image, from 0, where there are many.
        steps: network evaluations per draw.
        particles: that are weighted against each other for every so many draws; 1: independent draws without weights.
        jacobian: take the network's Jacobian: nearer to the posterior, at as many times the cost as an image has
            pixels.
        condition: class of the image, where it is known and the model knows classes.
        seed: of all noise.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.records.operators import operator_from_text
    from scorefield.records.restore import codec_of, measure
    from scorefield.records.restore import restore as restored

    model = runs.load_for(run, "restore")
    A = operator_from_text(operator, codec_of(model))
    given = _array(model, image, index, observed)
    truth = None if observed else _clean(model, given, image)
    y = _measured(given, tuple(A.measured), A, image) if truth is None else measure(A, truth, noise, seed)
    with ProgressBar("draws", quiet) as bar:
        found = restored(
            model, A, y, noise, n, steps=steps, particles=particles, jacobian=jacobian, seed=seed,
            condition=condition, truth=truth, report=bar,
        )  # fmt: skip
    _write(output, model, A, found)
    taken = (
        f"{image} was taken as the measurement."
        if observed
        else f"{image} was taken as a clean image and measured with noise {noise:g}; if it is the measurement itself, "
        "give --observed."
    )
    print(f"{output / 'restored.png'}: {n} draws, {steps} network evaluations each, seed {seed}. {taken}")
    if truth is not None and n > 1:
        print(_told(found))


def _told(found: Restored) -> str:
    """How far off the mean is, beside what the draws say."""
    import numpy as np

    off = float(np.sqrt(np.square(found.mean - found.truth).mean()))
    spread = float(np.sqrt(np.square(found.deviation).mean()))
    return f"The mean is off by {off:.3g} per pixel (root mean square); the draws' standard deviation is {spread:.3g}."


def _array(model: TrainedModel, source: str, index: int | None, observed: bool) -> Array:
    """The numbers of an image, read as the run's, or of a measurement, which keeps its size."""
    from dataclasses import replace

    import numpy as np

    from scorefield.data.imagefile import AS_FOUND
    from scorefield.records.files import read_like, reading_of
    from scorefield.records.held import parts_of, unseen
    from scorefield.records.operators import read_pixels

    path = Path(source)
    if index is None and path.is_file():
        how = reading_of(model) or AS_FOUND
        return read_pixels(path, replace(how, size=None, crop=False) if observed else how)
    many = path.suffix.lower() in (".npy", ".npz") and path.is_file()
    if many:
        images = np.asarray(read_pixels(path))
    else:
        dataset = read_like(model, source)
        parts = parts_of(model, dataset)
        images = dataset.records if parts is None else unseen(parts, dataset)[0]
    if index is None:
        raise ValueError(f"{source} has {len(images)} images; say which one by --index, from 0 to {len(images) - 1}.")
    if index >= len(images):
        raise ValueError(f"--index {index} of {source}: there are {len(images)} images, from 0 to {len(images) - 1}.")
    one: Array = images[index]
    return one


def _clean(model: TrainedModel, image: Array, source: str) -> Array:
    """The image, if it is one of the run's size and values."""
    import numpy as np

    from scorefield.records.restore import codec_of

    codec = codec_of(model)
    shape = codec.record_shape
    if image.shape == (*shape, 1):
        image = image[..., 0]
    if image.shape != shape:
        raise ValueError(
            f"{source} has the shape {image.shape} (height, width, channels) and the run's images {shape}; give an "
            "image of that shape, or a measurement with --observed."
        )
    if not np.isfinite(image).all():
        raise ValueError(f"{source} has NaN or infinite pixels; a clean image has none.")
    if codec.levels and not 0 <= image.min() <= image.max() < codec.levels:
        raise ValueError(
            f"{source} has pixels from {image.min():g} to {image.max():g} and the run's images from 0 to "
            f"{codec.levels - 1}; bring it to that range."
        )
    return image


def _measured(y: Array, shape: tuple[int, ...], A: Operator, source: str) -> Array:
    """A measurement, channels first; where single pixels are measured, also the image that they are pixels of."""
    import numpy as np

    y = np.asarray(y, dtype=np.float64)
    forms = [y, np.moveaxis(y, -1, 0) if y.ndim == 3 else y[None]]
    coordinates = getattr(A, "coordinates", None)
    for form in forms:
        if form.shape == shape:
            return form
        if coordinates is not None and form.shape == A.shape:
            pixels: Array = form.reshape(-1)[coordinates.numpy()].reshape(shape)
            return pixels
    if y.ndim == 2 and y.size == y.shape[0] and (y.size,) == shape:
        return y[:, 0]
    raise ValueError(
        f"{source} has the shape {y.shape}, and what is measured of the run's images {A.shape} by this operator has "
        f"the shape {shape} (channels first); give that, or a clean image without --observed."
    )


def _write(folder: Path, model: TrainedModel, A: Operator, found: Restored) -> None:
    """The picture, the draws, their mean."""
    import io

    import numpy as np

    from scorefield import _files, data
    from scorefield.records.restore import codec_of
    from scorefield.report.restored import restored_png

    codec = codec_of(model)
    span = (0.0, codec.levels - 1.0) if codec.levels else (float(found.draws.min()), float(found.draws.max()))
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "draws": found.draws,
        "mean": found.mean,
        "deviation": found.deviation,
        "measurement": found.measurement,
    }
    if found.truth is not None:
        arrays["truth"] = found.truth
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    _files.write_bytes(folder / "draws.npz", out.getvalue())
    _files.write_bytes(folder / "restored.png", restored_png(found, A, span))
    for name, images in (("mean.png", found.mean[None]), ("draws.png", found.draws[:100])):
        _files.write_bytes(folder / name, data.grid_png(images, low=span[0], high=span[1]))
