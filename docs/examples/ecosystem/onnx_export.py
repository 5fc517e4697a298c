"""
A sampler that runs without torch
=================================

A model and its whole sampler become ONNX files, and onnxruntime draws from them what PyTorch draws.

The files need numpy and onnxruntime alone. A file is run beside its model before it is written, and refused
where they differ.
"""

import json
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from scorefield import Denoiser, Settings, TrainedModel, export_model, fit_codec, nets, train
from scorefield.data import load

board = load("checkerboard")
codec = fit_codec(board)
network = Denoiser(nets.ResidualMLP(2, width=64, depth=3), sigma_max=20.0)
for progress in train(network, codec.encode(board.records), settings=Settings(steps=600, batch=128)):
    pass
model = TrainedModel(network.eval(), codec)
folder = Path(tempfile.mkdtemp())
print(export_model(model, folder / "denoiser.onnx"))
print(export_model(model, folder / "sampler.onnx", steps=7))

# %%
# From here on nothing knows of torch. The metadata tell what goes in and what comes out.

sampler = onnxruntime.InferenceSession(folder / "sampler.onnx")
print(json.dumps(json.loads(sampler.get_modelmeta().custom_metadata_map["scorefield"]), indent=1)[:400], "...")
noise = np.random.default_rng(0).standard_normal((4000, 2)).astype("float32")
begun = time.perf_counter()
(drawn,) = sampler.run(None, {"noise": noise})
seconds = time.perf_counter() - begun

# %%
# The denoiser, asked over a grid: where it moves noisy points, and beside it the draws of the sampler and
# PyTorch's.

denoiser = onnxruntime.InferenceSession(folder / "denoiser.onnx")
side = np.linspace(-2, 2, 15, dtype="float32")
grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
x0, _ = denoiser.run(None, {"x": grid, "sigma": np.full(len(grid), 0.5, "float32")})
begun = time.perf_counter()
own = model.sample(4000, steps=7)
own_seconds = time.perf_counter() - begun
print(f"4,000 draws: onnxruntime {seconds:.2f} s, PyTorch {own_seconds:.2f} s")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
axes[0].quiver(*grid.T, *(x0 - grid).T, angles="xy", scale_units="xy", scale=1, width=0.004)
axes[0].set(title="onnxruntime: denoiser, sigma 0.5", aspect="equal")
for axis, points, name in ((axes[1], drawn, "onnxruntime: sampler"), (axes[2], own, "PyTorch: sampler")):
    axis.scatter(*points.T, s=1, alpha=0.5)
    axis.set(title=f"{name}, 7 evaluations", aspect="equal", xlim=(-4.3, 4.3), ylim=(-4.3, 4.3))
plt.show()
