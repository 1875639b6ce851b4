"""Configurations of ai-toolkit."""

from __future__ import annotations

import pytest

from engine.interop.importing import import_text
from engine.interop.reading import ImportProblem
from engine.schema.check import check

CONFIG = """---
job: extension
config:
  name: kitty
  process:
    - type: sd_trainer
      training_folder: output
      device: cuda:0
      trigger_word: p3r5on
      network:
        type: lora
        linear: 16
        linear_alpha: 8
        network_kwargs:
          only_if_contains: [transformer.single_transformer_blocks.7.proj_out]
      save: {dtype: float16, save_every: 250, max_step_saves_to_keep: 4}
      datasets:
        - folder_path: /cats
          caption_ext: txt
          caption_dropout_rate: 0.05
          shuffle_tokens: true
          flip_x: true
          cache_latents_to_disk: true
          resolution: [512, 768]
        - folder_path: /persons
          is_reg: true
          resolution: [512, 768]
      train:
        batch_size: 1
        steps: 2000
        gradient_accumulation_steps: 2
        train_unet: true
        train_text_encoder: false
        noise_scheduler: flowmatch
        timestep_type: linear
        optimizer: prodigy
        optimizer_params: {d_coef: 2}
        lr: 1e-4
        ema_config: {use_ema: true, ema_decay: 0.99}
        dtype: bf16
        free_u: true
      model: {name_or_path: some/flux, is_flux: true, quantize: true, qtype: qint8}
      sample:
        sampler: flowmatch
        sample_every: 100
        guidance_scale: 4
        seed: 42
        walk_seed: true
        prompts:
          - a cat --m 0.5
          - "[trigger] on a roof"
"""


def test_a_configuration_becomes_a_job() -> None:
    job = check(import_text(CONFIG, "c.yaml").data).job
    assert (job.model.architecture, job.model.weights) == ("flux", "int8")
    assert (job.network.rank, job.network.alpha, job.network.train) == (16, 8.0, "denoiser")
    assert job.network.include_patterns == [r"single_blocks\.7\.linear2"]
    assert (job.optimizer.name, job.optimizer.learning_rate) == ("Prodigy", 1e-4)
    assert job.optimizer.args.d_coef == 2.0
    assert (job.training.steps, job.training.gradient_accumulation) == (2000, 2)
    assert (job.training.ema, job.objective.timestep_sampling) == (0.99, "uniform")
    assert (job.dataset.resolution, job.dataset.trigger_word) == (["512", "768"], "p3r5on")
    cats, persons = job.dataset.folders
    assert (cats.caption_extension, cats.flip, cats.shuffle_tags) == (".txt", 0.5, True)
    assert (persons.role, job.dataset.cache_latents) == ("regularization", "disk")
    assert (job.output.name, job.output.precision, job.output.every_steps) == ("kitty", "fp16", 250)
    assert (job.samples.guidance, job.samples.walk_seed) == (4.0, True)
    assert job.samples.prompts[0].weight == 0.5


def test_what_has_no_counterpart_is_told() -> None:
    told = {line.key: line for line in import_text(CONFIG, "c.yaml").lines}
    assert told["train.free_u"].outcome == "no counterpart"
    assert told["train.noise_scheduler"].outcome == "taken"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("is_flux: true", "arch: wan21", "wan21"), ("job: extension", "job: generate", "generate")],
)
def test_what_is_not_trained_here_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ImportProblem, match=words):
        import_text(CONFIG.replace(old, new), "c.yaml")
