"""Sequences of tokens (text, DNA, categories): noise by Markov chains, score entropy, masked diffusion, exact laws.

    model(x, total, condition=None) -> log p(x0_l = k | x), (n, L, K)

is the one question: the law of each clean token given a corrupted sequence. Concrete scores, reversed rates and steps
of samplers are views of it (`discrete.views`). A corruption is a Markov chain that acts on every token by itself,
`total` the noise so far; `Exact` answers for any small law and for Markov chains of any length in closed form, and
stands where a network does in every law that is tested.

What may enter: what only tokens need: a corruption, a schedule of it, a loss that is least at the true ratios or laws,
a sampler, a bound, a network over tokens.
"""

from scorefield.discrete.corruptions import Absorbing, Corruption, Substitutions, Uniform, corrupt
from scorefield.discrete.exact import Exact, Joint, MarkovChain, all_sequences, law_of_steps
from scorefield.discrete.families import TokenLoss, Tokens, fit_family, ising
from scorefield.discrete.fit import fit, fit_sequences
from scorefield.discrete.likelihood import LogProbBound, exact_log_prob, log_prob_bound
from scorefield.discrete.losses import (
    cross_entropy,
    denoising_concrete,
    denoising_score_entropy,
    masked_cross_entropy,
    order_cross_entropy,
    score_entropy,
)
from scorefield.discrete.network import TokenDenoiser, TokenTransformer
from scorefield.discrete.noise import Geometric, LogLinear, Noise
from scorefield.discrete.objectives import OrderCrossEntropy, ScoreEntropy
from scorefield.discrete.sampling import sample, unmask
from scorefield.discrete.static import (
    TokenEnergy,
    concrete,
    implicit_score_entropy,
    log_conditionals,
    pseudo_likelihood,
    ratio_matching,
)
from scorefield.discrete.trained import TrainedSequences
from scorefield.discrete.views import Step, TokenModel, analytic, euler, posterior, rates_into, ratios
from scorefield.discrete.vocabulary import Vocabulary, windows

__all__ = [
    "Absorbing",
    "Uniform",
    "Substitutions",
    "Corruption",
    "corrupt",
    "LogLinear",
    "Geometric",
    "Noise",
    "TokenModel",
    "Step",
    "posterior",
    "ratios",
    "rates_into",
    "analytic",
    "euler",
    "Exact",
    "Joint",
    "MarkovChain",
    "all_sequences",
    "law_of_steps",
    "score_entropy",
    "denoising_score_entropy",
    "denoising_concrete",
    "cross_entropy",
    "masked_cross_entropy",
    "order_cross_entropy",
    "TokenEnergy",
    "log_conditionals",
    "pseudo_likelihood",
    "ratio_matching",
    "concrete",
    "implicit_score_entropy",
    "TokenLoss",
    "Tokens",
    "ising",
    "fit_family",
    "sample",
    "unmask",
    "LogProbBound",
    "log_prob_bound",
    "exact_log_prob",
    "TokenTransformer",
    "TokenDenoiser",
    "OrderCrossEntropy",
    "ScoreEntropy",
    "fit",
    "fit_sequences",
    "TrainedSequences",
    "Vocabulary",
    "windows",
]
