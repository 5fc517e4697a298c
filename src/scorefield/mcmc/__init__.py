"""Markov chains for a static score or an energy: Langevin, underdamped, Hamiltonian, tempered, with diagnostics.

- `langevin.unadjusted`, `underdamped.unadjusted`: a score without an energy; biased by the step
- `langevin.adjusted`, `underdamped.adjusted`, `hmc`, `nuts`: an energy, exactly
- `replica_exchange`: an energy with modes that are far apart
- `annealed_importance`, `tempered.tempered`: the normalising constant

What may enter: a sampler whose step depends on the state (an acceptance, an adapted step); one that is a table of
coefficients is a plan and belongs to `plans`.
"""

from scorefield.mcmc import diagnostics, langevin, tempered, underdamped
from scorefield.mcmc.annealed import Annealed, annealed_importance
from scorefield.mcmc.chains import Chains
from scorefield.mcmc.hamiltonian import hmc
from scorefield.mcmc.ladders import Ladder, ladder
from scorefield.mcmc.metric import Metric
from scorefield.mcmc.no_u_turn import nuts
from scorefield.mcmc.replica import Replicas, replica_exchange, tuned_ladder

__all__ = [
    "Annealed",
    "Chains",
    "Ladder",
    "Metric",
    "Replicas",
    "annealed_importance",
    "diagnostics",
    "hmc",
    "ladder",
    "langevin",
    "nuts",
    "replica_exchange",
    "tempered",
    "tuned_ladder",
    "underdamped",
]
