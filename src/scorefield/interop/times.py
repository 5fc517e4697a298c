from scorefield.times import BetaTimes as BetaTimes
from scorefield.times import FlowTimes as FlowTimes
from scorefield.times import LogSigmaTimes as LogSigmaTimes
from scorefield.times import SigmaTimes as SigmaTimes
from scorefield.times import Times as Times
