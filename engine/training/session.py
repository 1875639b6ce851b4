"""Everything a running training holds, and how it is put together from a job."""

from __future__ import annotations

import logging
import os
import time
import tomllib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import Parameter

from engine.architectures import load
from engine.architectures.architecture import TrainableModel
from engine.data.loader import Loader
from engine.networks.groups import GroupSpec
from engine.networks.network import Network
from engine.networks.problem import AdapterProblem
from engine.networks.start import start_network
from engine.plan.header import FileProblem
from engine.plan.place_notes import place_notes
from engine.plan.site import TEXT_ENCODERS, Site
from engine.plan.steps import RunLength
from engine.protocol import Failure, Hello
from engine.schema.job import Job
from engine.schema.table import steps_of
from engine.schema.text_encoders import live_encoders
from engine.training.accelerator import make_accelerator
from engine.training.block_swap import BlockSwap
from engine.training.checkpointing import offload_checkpoints
from engine.training.control import Control
from engine.training.description import Description
from engine.training.early_checks import check_before_loading, check_places
from engine.training.ema import Ema
from engine.training.events import Events
from engine.training.failures import RunError
from engine.training.feed import Found, find_pictures, keep_encoded
from engine.training.memory import Device, choose_device, choose_precision
from engine.training.objective import Objective, check_objective
from engine.training.optimizer import averaged, check_optimizer, is_schedule_free, make_optimizer
from engine.training.preview import Previews
from engine.training.resume import restore
from engine.training.room import bring_denoiser, loading_of, send_to_rest, swapped_blocks
from engine.training.run import Run
from engine.training.saving import Saver
from engine.training.schedule import Schedule, make_schedule
from engine.training.state import Progress, newest_state
from engine.training.together import Together
from engine.training.validation import Measurements

log = logging.getLogger(__name__)
MOST_GRAPHS = 512  # of one kind of block; torch itself would stop at eight


@dataclass
class Session:
    """A run in memory. `progress` and the tensors are all that changes."""

    job: Job
    run: Run
    events: Events
    control: Control
    device: Device
    accelerator: Accelerator
    model: TrainableModel
    network: Network
    groups: list[GroupSpec]
    parameters: list[Parameter]
    optimizer: torch.optim.Optimizer
    stepper: Any  # the same optimizer as accelerate wraps it: it knows the scaler
    schedule: Schedule
    ema: Ema | None
    objective: Objective
    found: Found
    loader: Loader
    measurements: Measurements
    previews: Previews
    saver: Saver
    progress: Progress
    total_steps: int
    trains_text: bool  # False once `training.stop_text_encoder_after` is reached
    adapts_text: bool
    live_encoders: Collection[str]  # roles of text encoders whose words are never kept
    stop_text_after: int | None
    swap: BlockSwap | None
    together: Together

    @property
    def scaler(self) -> Any:
        """torch's GradScaler in fp16, else None."""
        return self.accelerator.scaler

    @contextmanager
    def showing(self, *, ema: bool = True) -> Iterator[None]:
        """Inside, the adapter is as people will use it: averaged, without dropout."""
        with ExitStack() as stack:
            stack.enter_context(averaged(self.optimizer, self.job.optimizer))
            if self.ema is not None and ema:
                stack.enter_context(self.ema.applied())
            self.network.eval()
            try:
                yield
            finally:
                self.network.train()

    def stop_text_encoder(self) -> None:
        """Leave the text encoder's adapter as it is from here on."""
        self.trains_text = False
        for adapter in self.network.each():
            if _reads_text(adapter.site):
                for parameter in adapter.parameters():
                    parameter.requires_grad_(False)


def prepare(job: Job, run: Run, events: Events, control: Control, together: Together) -> Session:
    """Check what needs no model, load, and build; tells of every part, and can be stopped at any.

    Raises:
        JobError, ModelProblem, RunError and the data package's errors: in words for the person.
        StopRun: if the person wants to stop.
    """
    device = choose_device(_local(job.launch.device, together))
    precision = choose_precision(job, device)
    if job.launch.cpu_threads:
        torch.set_num_threads(job.launch.cpu_threads)
    torch.use_deterministic_algorithms(job.training.deterministic)
    check_optimizer(job.optimizer, device.id)
    check_before_loading(job, device.id)
    control.check()
    accelerator = make_accelerator(job, run, device, precision)
    events.phase("starting", "Reading the pictures")
    found = find_pictures(job, events, control, together.world)
    state = newest_state(run.states) if run.resumed else None
    resumed_from = state.progress.step if state else 0
    hello = _hello(job, run, device, precision, found.length, resumed_from)
    events.emit(hello)
    control.check()
    loading = loading_of(job, events, control, device, precision)
    model = load(loading)
    check_objective(job.objective, model.prediction, model.zero_terminal_snr)
    check_places(job, model.sites)
    loader = _loader(job, run, found, model, accelerator)
    whole = keep_encoded(job, found, loader, events, control, together)
    if whole is not found:
        found = whole
        kept, loader = loader.keep, _loader(job, run, found, model, accelerator)
        loader.keep = kept
        events.emit(_hello(job, run, device, precision, found.length, resumed_from))
    control.check()
    bring_denoiser(job, model, loading, events)
    events.phase("loading", "Placing the adapters")
    network = _network(job, model, events)
    session = _assemble(
        job, run, events, control, device, accelerator, model, network, found, loader, precision,
        together,
    )  # fmt: skip
    if state is not None:
        restore(session, state)
    return session


def _assemble(
    job: Job, run: Run, events: Events, control: Control, device: Device, accelerator: Accelerator,
    model: TrainableModel, network: Network, found: Found, loader: Loader, precision: str,
    together: Together,
) -> Session:  # fmt: skip
    """Make everything that needs the adapters."""
    total = found.length.total_steps
    groups = network.parameter_groups(job.optimizer)
    optimizer = make_optimizer(job.optimizer, groups, total, device.id)
    parameters = [p for group in groups for p in group.params]
    ema = Ema(parameters, job.training.ema) if job.training.ema else None
    of_text = [a for a in network.each() if _reads_text(a.site)]
    stop_after = job.training.stop_text_encoder_after
    description = Description(
        job,
        run.name,
        found,
        model.facts,
        prediction=model.prediction,
        precision=precision,
        version=_version(),
        processes=together.world,
    )
    measurements = Measurements(loader.held_out(), loader.probe())
    with_adapters = {a.site.component for a in of_text}
    live = {TEXT_ENCODERS[i] for i in live_encoders(job)} & with_adapters
    resting = send_to_rest(job, model, live)
    network.attach()
    network.train()
    if job.training.gradient_checkpointing:
        model.enable_gradient_checkpointing()
        if job.training.offload_activations:
            offload_checkpoints(model.components["denoiser"])
    swap = swapped_blocks(job, model, device)
    if job.training.compile:
        # Blocks of a kind share a graph; each further bucket, rank and preview size is one more.
        torch._dynamo.config.recompile_limit = MOST_GRAPHS
        model.compile_blocks()
    if is_schedule_free(job.optimizer):
        optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]
    return Session(
        job=job,
        run=run,
        events=events,
        control=control,
        device=device,
        accelerator=accelerator,
        model=model,
        network=network,
        groups=groups,
        parameters=parameters,
        optimizer=optimizer,
        stepper=accelerator.prepare_optimizer(optimizer),
        schedule=make_schedule(job.optimizer, total),
        ema=ema,
        objective=Objective(
            job.objective,
            model.prediction,
            zero_terminal_snr=model.zero_terminal_snr,
            device=device.id,
        ),
        found=found,
        loader=loader,
        measurements=measurements,
        previews=Previews(
            job.samples, run, model, network, events, control, device=device.id, resting=resting
        ),
        saver=Saver(
            job=job,
            run=run,
            events=events,
            control=control,
            network=network,
            optimizer=optimizer,
            scaler=accelerator.scaler,
            ema=ema,
            fingerprint=found.fingerprint,
            total_steps=total,
            metadata=description.of,
        ),
        progress=Progress(started=time.time()),
        total_steps=total,
        trains_text=any(p.requires_grad for a in of_text for p in a.parameters()),
        adapts_text=bool(of_text),
        live_encoders=live,
        stop_text_after=steps_of(stop_after, total) if stop_after is not None else None,
        swap=swap,
        together=together,
    )


def _reads_text(site: Site) -> bool:
    """It lies in a text encoder, whose output kept captions would hold as it was."""
    return site.component.startswith("text_encoder")


def _local(wish: str, together: Together) -> str:
    """The device of this process: of several on a machine, each has a card of its own."""
    if together.world > 1 and wish in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return wish


def _hello(
    job: Job, run: Run, device: Device, precision: str, length: RunLength, resumed_from: int
) -> Hello:
    return Hello(
        version=_version(),
        run_directory=str(run.path.resolve()),
        name=run.name,
        architecture=job.model.architecture,
        device=device.name,
        device_memory_bytes=device.memory_bytes,
        precision=precision,
        pid=os.getpid(),
        total_steps=length.total_steps,
        total_epochs=length.total_epochs,
        steps_per_epoch=length.steps_per_epoch,
        resumed_from=resumed_from,
    )


def _loader(
    job: Job, run: Run, found: Found, model: TrainableModel, accelerator: Accelerator
) -> Loader:
    return Loader(job, found.order, found.length, model, run.path.parent, accelerator.process_index)


def _network(job: Job, model: TrainableModel, events: Events) -> Network:
    try:
        network, notes = start_network(
            job.network, job.model.architecture, model.sites, model.components, job.training.seed
        )
    except (FileProblem, AdapterProblem) as error:
        field = "network.start_from"
        raise RunError(Failure(kind="file", message=str(error), field=field)) from error
    for note in notes:
        events.warn(note, "network.start_from")
    for note in place_notes(job.network, model.sites, job.model.architecture):
        events.warn(note)
    if job.training.adapter_precision == "bf16":
        network.to(torch.bfloat16)
    return network


def _version() -> str:
    """Graft's own version, which stands in pyproject.toml alone."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["version"]
