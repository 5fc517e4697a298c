"""The picture of the front page: points of noise become data, in four stages, by the library. Drawn at build time."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "front"
STAGES = {"noise": 5.0, "gathering": 0.9, "nearly": 0.4, "data": 0.0}
"""Names of the pictures, with the noise level that each is of."""


def pictures(points: int = 2500) -> None:
    """Draw the stages, on nothing: they stand on the page's own colour, light or dark."""
    import torch
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from scorefield import levels, plans
    from scorefield.analytic import GaussianMixture
    from scorefield.data import TOYS

    toy = TOYS["spirals"]
    centres = toy.centres[::4].float()
    law = GaussianMixture(torch.ones(len(centres)), centres, toy.std**2 * torch.eye(2).expand(len(centres), 2, 2))
    plan = plans.ddim(levels.karras(24, sigma_max=12.0, sigma_min=0.03))
    states = {state.row: state.x for state, _ in plans.walk(plan, law, plan.start(points, (2,), seed=0))}
    colour = states[plan.evaluations].norm(dim=1)  # of where a point ends
    colours = LinearSegmentedColormap.from_list("front", ["#ee9a3a", "#d65f86", "#8a63b8", "#2f7ec2"])
    reach = 1.2 * float(centres.abs().max())
    FOLDER.mkdir(exist_ok=True)
    for name, sigma in STAGES.items():
        row = int((plan.levels.sigma > sigma).sum())
        figure = Figure(figsize=(3, 3), dpi=150)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.scatter(*states[row].T, c=colour, cmap=colours, s=4, alpha=0.85, linewidths=0)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_axis_off()
        figure.savefig(FOLDER / f"{name}.png", transparent=True)
