"""The whole job: every table, in the order of the window's panels."""

from __future__ import annotations

from engine.schema.dataset import Dataset
from engine.schema.field import option
from engine.schema.launch import Launch
from engine.schema.model import Model
from engine.schema.network import Network
from engine.schema.objective import Objective
from engine.schema.optimizer import Optimizer
from engine.schema.output import Output
from engine.schema.samples import Samples
from engine.schema.table import Table
from engine.schema.training import Training

SCHEMA_VERSION = 1


class Job(Table):
    """A training job. `Job()` is a valid job but for the model and the pictures."""

    model: Model = option(Model, "Model", "what the adapter is for")
    dataset: Dataset = option(Dataset, "Dataset", "what it learns from")
    network: Network = option(Network, "Network", "what is trained, and how large it is")
    training: Training = option(Training, "Training", "how long, and how fast")
    optimizer: Optimizer = option(Optimizer, "Optimizer", "how it moves")
    objective: Objective = option(Objective, "Objective", "what counts as right")
    samples: Samples = option(Samples, "Samples", "pictures while it learns")
    output: Output = option(Output, "Output", "what is written, and where")
    launch: Launch = option(Launch, "Launch", "where it runs")
