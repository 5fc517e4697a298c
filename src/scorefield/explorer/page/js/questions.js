// The question that each scene opens with, by the scene's name: its options, the answer, formula and source.

export const QUESTIONS = {
  field: {
    prompt: "As σ grows, what happens to the arrows between two modes?",
    options: ["They grow longer, and still part towards the nearest mode", "They turn towards the common centre and shorten",
      "They keep direction and length: noise has no direction"],
    correct: 1,
    doing: "Now move σ and look between the modes.",
    answer: "Noise of variance σ² widens every mode until they merge into one hill, so the arrows between them turn to the common "
      + "centre and shorten like 1/σ². At every level the score points from x to the mean of the clean points that x may come from.",
    formula: "∇ log p_σ(x) = (E[x₀ | x] − x) / σ²",
    source: "Tweedie's formula; as a training target: Vincent (2011), building on Hyvärinen (2005). Many levels: Song and Ermon (2019).",
  },
  langevin: {
    prompt: "All particles start in one mode. At one small noise level, when are the modes’ weights right?",
    options: ["After a few hundred steps, for any density", "Hardly ever: between separated modes nobody crosses",
      "At once, because the score knows the weights"],
    correct: 1,
    doing: "Press Run at one level, then switch to annealed and run again.",
    answer: "Between separated modes the density is so small that the walk takes exponentially long to cross, and the score inside a mode "
      + "hardly depends on its weight. Annealing starts where the noise has merged the modes, so particles are shared out before they part.",
    formula: "x ← x + h ∇ log p_σ(x) + √(2h) z,   σ₁ > σ₂ > … > σ_L",
    source: "Song and Ermon (2019). The Metropolis test (adjusted) removes the bias of a finite step h.",
  },
  diffusion: {
    prompt: "Same starting noise, same exact score, 8 steps: do a first-order and a second-order sampler end at the same points?",
    options: ["Yes, both follow the same equation", "No; their errors shrink with the steps at different rates",
      "No, and more steps do not help"],
    correct: 1,
    doing: "Move the number of steps and compare the errors.",
    answer: "With the exact score, deterministic samplers all approximate the solution of one ODE: with enough steps a first-order rule errs "
      + "like 1/steps, a second-order one like 1/steps². The schedule changes what the path looks like in time, and not where the exact ODE ends.",
    formula: "dx = [f(t) x − ½ g(t)² ∇ log p_t(x)] dt;   reverse SDE: dx = [f x − g² ∇ log p_t] dt + g dw̄",
    source: "Reverse SDE: Anderson (1982). Probability-flow ODE: Song and others (2021). DDIM: Song and others (2020). Heun and levels: Karras and others (2022).",
  },
  learn: {
    prompt: "Denoising at one level σ, trained to the end: which score has the network learned?",
    options: ["That of the data", "That of the noised data, p_σ", "None: its loss does not even reach zero"],
    correct: 1,
    doing: "Press Train, then compare the loss with its exact floor.",
    answer: "The best answer to ‘which noise was added?’ is its mean given x, and that is −σ times the score of the noised density. "
      + "The loss ends at a floor above zero, the variance of the noise given x, which no network can remove.",
    formula: "E‖s(x) + ε/σ‖² = E‖s(x) − ∇ log p_σ(x)‖² + const",
    source: "Vincent (2011). The implicit loss with the trace: Hyvärinen (2005); many levels: Song and Ermon (2019).",
  },
  density: {
    prompt: "The divergence is estimated with random probes. What do more probes do to the error bar of log p?",
    options: ["It shrinks like 1/√probes", "Nothing: the error is the solver’s", "It shrinks like 1/probes"],
    correct: 0,
    doing: "Choose more probes and watch the standard error.",
    answer: "The trace of the Jacobian is a mean of zᵀ J z over random z, so its standard error shrinks like the square root of their number. "
      + "The solver’s error is another one: it falls with the tolerance, and no number of probes removes it.",
    formula: "log p₀(x₀) = log p_T(x_T) + ∫₀ᵀ div v(x_t, t) dt,   div v ≈ zᵀ (∂v/∂x) z",
    source: "Song and others (2021); the guided score s + w (s_c − s): Ho and Salimans (2022).",
  },
  images: {
    prompt: "A held-out image gets noise of level σ and is brought back by the sampler. What comes back?",
    options: ["The image itself: the denoiser removes the noise", "At small σ itself, at large σ another image of the data",
      "A blur: the mean of all images"],
    correct: 1,
    doing: "Now move σ and look at the ways back.",
    answer: "Noise of level σ hides what is finer than σ, and the way back draws anew what was hidden: details at small σ, the whole image at large σ. "
      + "The denoiser alone answers with the mean of all images that x may come from, which is why its view blurs as σ grows.",
    formula: "x = x₀ + σ ε,   x̂₀ = E[x₀ | x] = x + σ² ∇ log p_σ(x)",
    source: "Partial noising: Meng and others (2022). Latents and interpolation: Song and others (2020, 2021). Levels: Karras and others (2022).",
  },
  table: {
    prompt: "One cell of a row is set, the others are left open. What do the other columns’ laws do?",
    options: ["Nothing: each column has a law of its own", "Those that go with it move, as whole laws", "Their means move, their spread stays"],
    correct: 1,
    doing: "Now set a cell in the list and watch the laws of the others.",
    answer: "The model has one law of whole rows. Setting a cell takes the slice of it where the cell has that value: columns that go with "
      + "it move, narrow or split, and the others stay. A cell is surprising where its value is rare in the slice that the others leave.",
    formula: "p(rest | cell) = p(row) / p(cell),   surprise = E[log p(cell | rest)] − log p(cell | rest)",
    source: "Rows of which any part is given, by one network: Ivanov and others (2019). Multiple draws: Rubin (1987).",
  },
  posterior: {
    prompt: "The observation is moved a little. What happens to the law of the parameters?",
    options: ["Nothing: it belongs to the model, not to one observation", "It moves, and its width and shape may change too", "Its middle moves, its width stays"],
    correct: 1,
    doing: "Now drag the observation, or move a number of it.",
    answer: "One network has learned the parameters’ law given every observation, so a new one costs no new simulation. Where parameters are told well "
      + "the law is narrow; where different ones make the same observation it is wide, bent, or has several modes.",
    formula: "p(θ | x) ∝ p(x | θ) p(θ)",
    source: "Learned from simulations alone: Papamakarios and Murray (2016). By scores: Geffner and others (2022), Sharrock and others (2022).",
  },
};
