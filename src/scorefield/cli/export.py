"""The commands that bring a run elsewhere: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scorefield.cli.app import ExportedSteps, Guidance, app
from scorefield.cli.progress import ProgressBar


@app.command(
    help_epilogue="""Examples:
  scorefield export run -o model.onnx                 (x, sigma) -> (x0, eps), standardised
  scorefield export run -o sampler.onnx --steps 18    (noise) -> (sample) in the data's own units
  scorefield export run -o model.pt2                  the same for torch.export.load"""
)
def export(
    run: Path,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    steps: ExportedSteps | None = None,
    guidance: Guidance = 1.0,
    quiet: bool = False,
) -> None:
    """Write a model as one file that runs without scorefield: its denoiser, or a whole sampler.

    The file is tried beside the model before it is written. Its metadata, under the name scorefield, tell units, codec
    and the range of noise. Posteriors, and tables with numbers that not every row has, are not exported.

    Args:
        run: folder of a trained model.
        output: file to write: .onnx (for onnxruntime and others) or .pt2 (for torch.export.load).
        steps: network evaluations of a sampler, which is written in place of the denoiser; in a .pt2 file each takes
            about a second.
        guidance: of a sampler conditional on classes: 1 follows the class, more exaggerates it.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.interop.export import export_model

    with ProgressBar("tracing the model", quiet):
        written = export_model(runs.load_for(run, "export"), output, steps, guidance=guidance)
    print(written)
