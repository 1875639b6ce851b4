"""Training the demo's text encoder and denoiser: text warm-up, narrow set, broad set.

Every random number of a step is a function of (seed, step), so a stopped training goes on as if it
had not been (spec: demo-model, "Training and what it gave").
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from pytorch_optimizer import Muon
from torch import Tensor, nn
from torch.nn import functional as F

from resources.demo.make.check import Verdict, judge, subjects
from resources.demo.make.latents import LatentSet
from resources.demo.make.parts import TEXT_WIDTH, Parts, new_scheduler
from resources.demo.make.sample import grid, sample
from resources.demo.make.vae import HAS_BF16, save_whole


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard. Rates are peaks; they fall over the last `cooldown` of the steps."""

    warmup_steps: int = 500
    warmup_batch: int = 64
    narrow_steps: int = 2_000
    steps: int = 6_500
    batch: int = 16
    matrix_rate: float = 0.01
    rate: float = 1.2e-3
    cooldown: float = 0.4
    average: float = 0.999
    drop_caption: float = 0.1
    noise_offset: float = 0.1
    check_every: int = 500
    check_prompts: int = 32
    seed: int = 1
    muon: bool = True


def timestep_weights(alphas_cumprod: Tensor) -> Tensor:
    """Weight of the epsilon loss at each timestep, (1000,).

    Min-SNR 5 where there is more signal than noise; where there is less, SNR^-0.5 up to 4, because
    there the colors are decided and the plain loss hardly sees them.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return torch.where(snr > 1, snr.clamp(max=5) / snr, snr.rsqrt().clamp(max=4))


def new_optimizer(nets: nn.ModuleDict, plan: Plan) -> torch.optim.Optimizer:
    """Muon for the matrices and kernels, AdamW for embeddings, norms and biases."""
    if not plan.muon:
        return torch.optim.AdamW(
            nets.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
    matrices, others = [], []
    for name, parameter in nets.named_parameters():
        is_matrix = parameter.ndim >= 2 and "embedding" not in name and "conv_out" not in name
        (matrices if is_matrix and "conv_in" not in name else others).append(parameter)
    groups = [
        {"params": matrices, "use_muon": True, "lr": plan.matrix_rate, "weight_decay": 0.01},
        {"params": others, "use_muon": False, "lr": plan.rate, "betas": (0.9, 0.99), "eps": 1e-8},
    ]
    return Muon(groups)


def set_rates(optimizer: torch.optim.Optimizer, step: int, plan: Plan) -> None:
    """Warm up over 100 steps, hold, fall linearly at the end."""
    left = (plan.steps - step) / (plan.cooldown * plan.steps)
    factor = min(1.0, (step + 1) / 100, max(0.02, left))
    for group in optimizer.param_groups:
        group.setdefault("peak", group["lr"])
        group["lr"] = group["peak"] * factor


def warm_up_text(parts: Parts, data: LatentSet, plan: Plan) -> None:
    """Teach the text encoder what its words look like: the end token's state, through a small net
    that is then thrown away, tells its picture's latents pooled to 4x4."""
    pooled = F.adaptive_avg_pool2d(data.latents, 4).flatten(1)
    head = nn.Sequential(nn.Linear(TEXT_WIDTH, 256), nn.GELU(), nn.Linear(256, pooled.shape[1]))
    parameters = [*parts.text.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1.5e-3, betas=(0.9, 0.99), fused=True)
    tokens = parts.tokens(data.captions, 24)
    for step in range(plan.warmup_steps):
        generator = torch.Generator().manual_seed(plan.seed * 7_919 + step)
        chosen = torch.randint(len(pooled), (plan.warmup_batch,), generator=generator)
        loss = F.mse_loss(head(parts.text(tokens[chosen]).pooler_output), pooled[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * (1 - step / plan.warmup_steps)
        if (step + 1) % 100 == 0:
            print(f"text step {step + 1} loss {loss.item():.3f}", flush=True)


@dataclass(slots=True)
class Objective:
    """The noisy task of one step, ready to be weighed."""

    weights: Tensor
    alphas_cumprod: Tensor

    def loss(self, parts: Parts, latents: Tensor, tokens: Tensor, plan: Plan, seed: int) -> Tensor:
        """Weighted epsilon loss of latents (n, 4, 16, 16); the timesteps are stratified."""
        count = len(latents)
        generator = torch.Generator().manual_seed(seed)
        strata = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        timesteps = (strata * len(self.weights)).long()
        noise = torch.randn(latents.shape, generator=generator)
        # Without the offset the noise at the last timestep still tells the mean color of the
        # picture, and sampling, which starts from noise alone, would take its color from chance.
        shift = torch.randn((*latents.shape[:2], 1, 1), generator=generator)
        noise = noise + plan.noise_offset * shift
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16):
            text = parts.text(tokens).last_hidden_state
            predicted = parts.unet(noisy, timesteps, text).sample
        errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        return (errors * self.weights[timesteps]).mean()


def choose(step: int, count: int, plan: Plan) -> Tensor:
    """Which samples step number `step` takes: without repeats inside an epoch of `count`."""
    places = torch.arange(step * plan.batch, (step + 1) * plan.batch)
    chosen = torch.empty_like(places)
    for epoch in (places // count).unique().tolist():
        order = torch.randperm(
            count, generator=torch.Generator().manual_seed(plan.seed * 31 + epoch)
        )
        inside = places // count == epoch
        chosen[inside] = order[places[inside] % count]
    return chosen


def run_check(
    parts: Parts, vae: AutoencoderKL, file: Path, *, seed: int = 0, count: int = 32
) -> tuple[float, float, float, float]:
    """Draw `count` subjects into `file`; the shares right of shape, front, back, all three."""
    wanted = subjects()[:count]
    pictures = sample(parts, vae, [subject.prompt for subject in wanted], seed=seed)
    verdicts: list[Verdict] = [
        judge(picture, subject) for picture, subject in zip(pictures, wanted, strict=True)
    ]
    labels = [
        f"{'' if verdict.right else '! '}{subject.front} {subject.shape} on {subject.back}"
        for verdict, subject in zip(verdicts, wanted, strict=True)
    ]
    grid(pictures, labels).save(file)
    return (
        sum(verdict.shape for verdict in verdicts) / count,
        sum(verdict.front for verdict in verdicts) / count,
        sum(verdict.back for verdict in verdicts) / count,
        sum(verdict.right for verdict in verdicts) / count,
    )


@torch.no_grad()
def follow(average: nn.Module, nets: nn.Module, step: int, plan: Plan) -> None:
    """Move the running average towards the nets."""
    decay = min(plan.average, (1 + step) / (10 + step))
    for kept, fresh in zip(average.parameters(), nets.parameters(), strict=True):
        kept.lerp_(fresh, 1 - decay)


def train_base(
    parts: Parts,
    vae: AutoencoderKL,
    narrow: LatentSet,
    broad: LatentSet,
    folder: Path,
    plan: Plan,
    until: int | None = None,
) -> Parts:
    """Train from `folder`/base.pt, or from the start, to step `until` (default: the plan's end).

    Returns the averaged nets. Every `check_every` steps a check, its grid and the state are left.
    """
    nets = parts.modules()
    alphas = new_scheduler().alphas_cumprod
    objective = Objective(timestep_weights(alphas), alphas)
    state_file = folder / "base.pt"
    state = torch.load(state_file, weights_only=True) if state_file.is_file() else None
    step = 0
    if state is None:
        warm_up_text(parts, narrow, plan)
    average_parts = Parts(parts.tokenizer, copy.deepcopy(parts.text), copy.deepcopy(parts.unet))
    average = average_parts.modules().requires_grad_(False)
    optimizer = new_optimizer(nets, plan)
    if state is not None:
        nets.load_state_dict(state["nets"])
        average.load_state_dict(state["average"])
        peaks = [group["lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(state["optimizer"])
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["peak"] = peak
        step = state["step"]
    tokens = {id(data): parts.tokens(data.captions) for data in (narrow, broad)}
    empty = parts.tokens([""])
    recent: list[float] = []
    clock = time.perf_counter()
    while step < (plan.steps if until is None else until):
        data = narrow if step < plan.narrow_steps else broad
        chosen = choose(step, len(data.captions), plan)
        generator = torch.Generator().manual_seed(plan.seed * 104_729 + step)
        dropped = torch.rand(plan.batch, 1, generator=generator) < plan.drop_caption
        ids = torch.where(dropped, empty, tokens[id(data)][chosen])
        seed = plan.seed * 1_299_709 + step
        set_rates(optimizer, step, plan)
        loss = objective.loss(parts, data.latents[chosen], ids, plan, seed)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(nets.parameters(), 1.0)
        optimizer.step()
        step += 1
        follow(average, nets, step, plan)
        recent.append(loss.item())
        if step % 100 == 0:
            seconds = (time.perf_counter() - clock) / 100
            print(f"base step {step} loss {sum(recent) / 100:.4f} {seconds:.3f} s", flush=True)
            recent.clear()
            clock = time.perf_counter()
        if step % plan.check_every == 0:
            grid_file = folder / f"grid-{step:05d}.png"
            shares = run_check(average_parts, vae, grid_file, count=plan.check_prompts)
            words = "shape {:.2f} front {:.2f} back {:.2f} all {:.2f}".format(*shares)
            print(f"check step {step} {words}", flush=True)
            saved = {"nets": nets.state_dict(), "average": average.state_dict(), "step": step}
            save_whole({**saved, "optimizer": optimizer.state_dict()}, state_file)
            clock = time.perf_counter()
    return average_parts
