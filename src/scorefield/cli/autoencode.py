"""The command before a run of latents: autoencode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scorefield.cli.app import Batch, LatentChannels, Probability, Rate, Seed, TrainingSteps, app, seconds
from scorefield.cli.progress import ProgressBar, say_end, watch
from scorefield.cli.reading import AS_THEY_ARE, Images, say


@app.command(
    help_epilogue="""Examples:
  scorefield autoencode photos/ -o ae --image-size 64 --crop --time 5m
  scorefield fit photos/ -o run --image-size 64 --crop --autoencoder ae --time 20m
  scorefield autoencode photos/ -o ae8 --factor 8 --channels 8"""
)
def autoencode(
    data: str,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    time: str | None = None,
    steps: TrainingSteps | None = None,
    factor: Literal[2, 4, 8, 16] = 4,
    channels: LatentChannels = 4,
    seed: Seed | None = None,
    batch: Batch | None = None,
    learning_rate: Rate | None = None,
    held: Probability | None = None,
    resume: bool = False,
    quiet: bool = False,
    images: Images = AS_THEY_ARE,
) -> None:
    """Train a small autoencoder of pictures, whose latents `scorefield fit --autoencoder` then learns.

    Says how many numbers of a picture it takes as one, and how far held-out pictures are off that went through it.

    Args:
        data: a folder of images, a .npy or .npz file of them, or digits.
        output: folder to write to.
        time: training time; 3m unless --steps is given.
        steps: optimiser steps, instead of a time or together with it.
        factor: how many times smaller the sides of a latent are than those of a picture.
        channels: of a latent.
        seed: of everything random; 0 unless given.
        batch: pictures per step; 32 unless given.
        learning_rate: after warm-up; 2e-3 unless given.
        held: share of the pictures held out; default: 0.1.
        resume: go on with what the folder holds, also after a crash.
        quiet: show no progress.
    """
    with ProgressBar("loading", quiet):  # a sign of life: imports take their seconds
        from scorefield.data.reading import is_folder_of_images
        from scorefield.records import autoencode as encoding
        from scorefield.records.files import read_to_fit
        from scorefield.training import parallel

    told = images.reading
    if told is not None and not is_folder_of_images(data):
        raise ValueError(f"{data} is no folder of images, so it has no option {told.given[0]}; leave it out.")
    first = parallel.first_process()
    with ProgressBar("reading the images", quiet or not first) as bar:
        found = read_to_fit(data, told, output if resume else None, bar)
    settings = {
        "steps": steps,
        "seconds": None if time is None else seconds(time),
        "seed": seed,
        "batch": batch,
        "learning_rate": learning_rate,
    }
    loop = encoding.autoencode(
        say(found) if first else found,
        output,
        settings=settings,
        factor=factor,
        latent=channels,
        held_share=held,
        resume=resume,
    )
    last = watch(loop, quiet or not first)
    if not first:
        return
    say_end(output, last)
    if last is None:
        return
    print(f"Held out: {encoding.held_out_error(output)}.")
    print(f"{output}: `scorefield fit {data} -o run --autoencoder {output}` learns its latents.")
