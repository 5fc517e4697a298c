"""The command that makes a run of a network of diffusers: adopt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from scorefield.cli.app import Share, app
from scorefield.cli.progress import ProgressBar

if TYPE_CHECKING:
    from scorefield.records import TrainedModel


@app.command(
    help_epilogue="""Examples:
  scorefield adopt ddpm-cat-256/ -o cats
  scorefield adopt hub:google/ddpm-cat-256 -o cats          fetches its JSON and safetensors
  scorefield sample cats -n 16 -o new.png --steps 20
  scorefield calibrate cats --steps 10                      fits a plan of 10 evaluations to it"""
)
def adopt(
    folder: Path,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    std: Share = 0.5,
    quiet: bool = False,
) -> None:
    """Make a run of a pipeline of diffusers, from its folder: a UNet2DModel of pixels, with its scheduler's convention.

    The run samples, restores, gives densities, is calibrated and distilled as one that was fitted here. Its folder
    holds the weights, and needs the package diffusers to be read. No code is read. A pipeline that was made of a run of
    scorefield becomes that run again.

    Args:
        folder: of the pipeline: model_index.json, unet and scheduler, with safetensors; or hub:USER/NAME.
        output: folder to write to.
        std: standard deviation of the images it was trained on, on the scale from -1 to 1.
        quiet: show no progress.
    """
    with ProgressBar("reading the pipeline", quiet):  # a sign of life: imports take their seconds
        from scorefield.records import TrainedModel
        from scorefield.training import parallel

        if (output / "model.json").exists():
            raise ValueError(f"{output} holds a run already; give another folder to write to.")
        model = TrainedModel.from_diffusers(folder, sigma_data=std)
    with parallel.folder_lock(output):
        model.save(output)
    print(_told(model))
    print(f"{output}: `scorefield sample {output} -n 16 -o new.png` draws from it.")


def _told(model: TrainedModel) -> str:
    """What was adopted."""
    known = model.info.get("adopted")
    own, weights = model.model, sum(p.numel() for p in model.model.parameters())
    classes = f" of {own.classes} classes" if own.classes else ""
    if known is None:
        return f"the run of which this pipeline was made{classes}, {weights:,} weights."
    size = " x ".join(map(str, known["size"]))
    said = (
        f"{known['network']}{classes}, {weights:,} weights, images of {size}; convention of {known['scheduler']}, "
        f"predicts {known['prediction']}, sigma / alpha from {own.sigma_min:.4g} to {own.sigma_max:.4g}."
    )
    return "\n".join([said, *known["notes"]])
