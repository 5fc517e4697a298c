"""Images by the minute: what a training of so many minutes draws, judged by small networks.

    python benchmarks/images.py mnist-t10k.npz --minutes 10 [--work folder] [--threads 2] [--json figures.json]

The file has `x_train`, `y_train`, `x_test` and `y_test`: images (n, h, w) of uint8 and their classes. `scorefield fit`
and `sample` do the work, as a user would call them; the training sees the first two arrays alone. Three figures, each
beside that of real images and of a mixture of 100 Gaussians fitted to the pixels:

- Frechet distance to the test images in the features of a small network that was trained to tell the classes;
- C2ST: how often another one, trained on half of each, tells new images from training images it has not seen (0.5 is
  perfect; the greatest of three);
- class: how often the first one finds the class that was asked for.

A picture of 100 new images lies beside the figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

JUDGED = 2000
SEEDS = (0, 1, 2)  # of the networks that tell new images from real ones: now and then one learns nothing


class Images(NamedTuple):
    """Images `(n, 1, h, w)` in 0..1 and their classes, to train on and to test by."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


class Judge(nn.Module):
    """Features `(n, 64)` of an image, and its classes by them."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, pool in ((1, 16, True), (16, 32, True), (32, 32, False)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if pool else []
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 64), nn.ReLU())
        self.classes = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.features(x))


def judge(x: Tensor, y: Tensor, epochs: int, seed: int = 0) -> Judge:
    """A network trained to tell classes, on images moved by a pixel now and then."""
    torch.manual_seed(seed)
    net, batch = Judge(x.shape[-1], int(y.max()) + 1), 64
    steps = epochs * (len(x) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            moved = torch.roll(x[rows], torch.randint(-1, 2, (2,)).tolist(), (2, 3))
            loss = cross_entropy(net(moved), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def frechet(net: Judge, a: Tensor, b: Tensor) -> float:
    """Between normal laws with the moments of the features of two sets of images."""
    one, two = (net.features(x).double() for x in (a, b))
    covariances = torch.cov(one.T), torch.cov(two.T)
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0).sqrt().sum()
    apart = (one.mean(0) - two.mean(0)).square().sum()
    return float(apart + covariances[0].trace() + covariances[1].trace() - 2 * root)


def told_apart(a: Tensor, b: Tensor, seed: int) -> float:
    """Balanced accuracy of a small network at telling two sets of images, each half judged by the other's network."""
    half, right = min(len(a), len(b)) // 2, []
    parts = slice(0, half), slice(half, 2 * half)
    for seen, unseen in (parts, parts[::-1]):
        classes = torch.arange(2).repeat_interleave(half)
        net = judge(torch.cat([a[seen], b[seen]]), classes, 12, seed)
        with torch.no_grad():
            right.append(float((net(torch.cat([a[unseen], b[unseen]])).argmax(1) == classes).double().mean()))
    return sum(right) / 2


def figures(net: Judge, images: Images, x: Tensor, y: Tensor | None) -> dict[str, float]:
    """Of images in an order at random, and the classes that they were asked to be of."""
    found = {
        "frechet": frechet(net, x, images.x_test),
        "c2st": max(told_apart(images.x[: len(x)], x, seed) for seed in SEEDS),
    }
    if y is not None:
        with torch.no_grad():
            found["class"] = float((net(x).argmax(1) == y).double().mean())
    return {name: round(value, 3) for name, value in found.items()}


def mixture(images: Images) -> Tensor:
    """Images of 100 Gaussians with full covariances, fitted in the first 100 principal components."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    flat = images.x.flatten(1).numpy()
    axes = PCA(100, random_state=0).fit(flat)
    law = GaussianMixture(100, reg_covar=1e-3, max_iter=30, random_state=0).fit(axes.transform(flat))
    drawn = axes.inverse_transform(law.sample(JUDGED)[0])[np.random.default_rng(0).permutation(JUDGED)]
    return torch.tensor(drawn, dtype=torch.float32).reshape(-1, *images.x.shape[1:]).clamp(0, 1)


def command(*words: object, cwd: Path) -> float:
    """Seconds that a command of scorefield takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "scorefield", *map(str, words)], check=True, cwd=cwd)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--work", type=Path, default=Path("images-run"))
    parser.add_argument("--steps", type=int, default=18, help="evaluations of the network for each image")
    parser.add_argument("--fit", nargs="*", default=[], help="further words for `scorefield fit`")
    parser.add_argument("--reference", action="store_true", help="also judge real images and a mixture")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    with np.load(options.data) as file:
        arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(options.work / "train.npz", x=arrays["x_train"], y=arrays["y_train"])
    made = [torch.tensor(v).float()[:, None] / 255 if v.ndim > 1 else torch.tensor(v).long() for v in arrays.values()]
    images = Images(*made)

    found: dict[str, object] = {}
    if not (options.work / "run" / "model.json").exists():
        words = ("fit", "train.npz", "-o", "run", "--time", f"{options.minutes * 60:g}s", *options.fit)
        found["fit seconds"] = round(command(*words, cwd=options.work))
    words = ("sample", "run", "-n", JUDGED, "--steps", options.steps, "-o", "new.npz")
    found["sample seconds"] = round(command(*words, cwd=options.work), 1)
    command("sample", "run", "-n", 100, "--steps", options.steps, "--seed", 1, "-o", "new.png", cwd=options.work)
    with np.load(options.work / "new.npz") as file:
        x, y = (torch.tensor(file[name]) for name in ("x", "y"))
    net = judge(images.x, images.y, 8)
    found["new"] = figures(net, images, x.reshape(-1, *images.x.shape[1:]).float() / 255, y.long())
    if options.reference:
        other = images.x[-JUDGED:]
        found["real"] = figures(net, images, other, images.y[-JUDGED:])
        found["mixture"] = figures(net, images, mixture(images), None)
    print(json.dumps(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
