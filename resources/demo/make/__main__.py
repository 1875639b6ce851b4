"""Make the demo again from nothing: `python -m resources.demo.make all` (see report.md).

Each stage reads what the stages before it left in the work folder and goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from resources.demo.make.base import Plan, run_check, train_base
from resources.demo.make.concept import write_concept
from resources.demo.make.draw import BROAD, NARROW
from resources.demo.make.export import export_model
from resources.demo.make.latents import encode_set
from resources.demo.make.parts import Parts, new_parts
from resources.demo.make.showcase import write_showcase
from resources.demo.make.tokenizer import new_tokenizer
from resources.demo.make.vae import train_vae

DEMO = Path(__file__).resolve().parent.parent
STAGES = ("vae", "base", "export", "concept")
NARROW_PICTURES, BROAD_PICTURES = 6_000, 10_000


def make_vae(work: Path, steps: int) -> None:
    """Stage one: the VAE and the tokenizer."""
    train_vae(work, steps=steps)
    new_tokenizer(work / "tokenizer")


def load_parts(work: Path, plan: Plan) -> tuple[AutoencoderKL, Parts]:
    """What stage one left, and fresh nets beside it."""
    vae = AutoencoderKL.from_pretrained(work / "vae")
    return vae, new_parts(new_tokenizer(work / "tokenizer"), plan.seed)


def make_base(work: Path, plan: Plan, ends: list[int]) -> None:
    """Stage two: latents, text warm-up, narrow set, broad set; the rate falls towards each end."""
    vae, parts = load_parts(work, plan)
    latents = work / "latents"
    narrow = encode_set(vae, latents, "narrow", seed=2, kinds=NARROW, count=NARROW_PICTURES)
    broad = encode_set(vae, latents, "broad", seed=3, kinds=BROAD, count=BROAD_PICTURES)
    for steps in ends:
        train_base(parts, vae, narrow, broad, work, replace(plan, steps=steps))


def make_model(work: Path, plan: Plan) -> None:
    """Stage three: the averaged nets of the last saved step as a pipeline folder, checked."""
    vae, parts = load_parts(work, plan)
    state = torch.load(work / "base.pt", weights_only=True)
    parts.modules().load_state_dict(state["average"])
    export_model(parts, vae, DEMO / "model")
    for seed in range(3):
        shares = run_check(parts, vae, work / f"final-{seed}.png", seed=seed)
        words = "shape {:.2f} front {:.2f} back {:.2f} all {:.2f}".format(*shares)
        print(f"step {state['step']} seed {seed}: {words}", flush=True)


def main() -> int:
    """Run the named stage, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m resources.demo.make", description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "all", "showcase"])
    parser.add_argument("--work", type=Path, default=Path("demo-work"), help="folder for states")
    parser.add_argument("--vae-steps", type=int, default=4_900)
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[6_500, 8_500],
        help="steps of the denoiser; after each number but the last the rate rises again",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", type=Path, help="the demo run that showcase copies from")
    arguments = parser.parse_args()
    if arguments.stage == "showcase":
        if arguments.run is None:
            parser.error("showcase needs --run, the folder of a finished demo run")
        write_showcase(arguments.run, DEMO / "showcase")
        return 0
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    plan = Plan()
    stages = STAGES if arguments.stage == "all" else (arguments.stage,)
    if "vae" in stages:
        make_vae(arguments.work, arguments.vae_steps)
    if "base" in stages:
        make_base(arguments.work, plan, arguments.steps)
    if "export" in stages:
        make_model(arguments.work, plan)
    if "concept" in stages:
        write_concept(DEMO)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
