"""What a FLUX.1 file lacks is known from its names, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from engine.plan.detect import look_at
from engine.plan.notes import notes_on
from engine.plan.parts import unnamed
from engine.schema.job import Job
from tests.plan.headers import write_header

TRANSFORMER = {
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "img_in.weight": (3072, 64),
    "txt_in.weight": (3072, 4096),
    "vector_in.in_layer.weight": (3072, 768),
    "single_blocks.0.linear2.weight": (3072, 15360),
}
ENCODERS = {
    "text_encoders.clip_l.transformer.text_model.final_layer_norm.weight": (768,),
    "text_encoders.t5xxl.transformer.shared.weight": (32128, 4096),
}
CLIP = {"text_model.embeddings.token_embedding.weight": (49408, 768)}


def job_of(**model: str) -> Job:
    return Job.model_validate({"model": {"architecture": "flux", **model}})


def test_the_parts_that_neither_file_nor_job_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "flux1-schnell.safetensors"
    write_header(path, TRANSFORMER)
    facts = look_at(str(path))
    assert [part.field for part in facts.absent] == ["text_encoder", "text_encoder_2", "vae"]
    clip = write_header(tmp_path / "clip_l.safetensors", CLIP)
    named = job_of(text_encoder=str(clip))
    assert [part.field for part in unnamed(facts.absent, named.model)] == ["text_encoder_2", "vae"]
    notes = list(notes_on(named, facts, None))
    assert "it also needs T5-XXL (t5xxl_fp16.safetensors), VAE (ae.safetensors)." in notes[0]
    assert "comfyanonymous/flux_text_encoders" in notes[0]
    assert "made to draw in four steps" in notes[1]


def test_a_whole_file_needs_what_it_lacks_alone(tmp_path: Path) -> None:
    path = tmp_path / "whole.safetensors"
    dev = {**TRANSFORMER, "guidance_in.in_layer.bias": (3072,),
           "guidance_in.in_layer.weight": (3072, 256)}  # fmt: skip
    write_header(path, {f"model.diffusion_model.{n}": s for n, s in dev.items()} | ENCODERS)
    facts = look_at(str(path))
    assert [part.field for part in facts.absent] == ["vae"]
    vae = write_header(tmp_path / "ae.safetensors", {"decoder.conv_in.weight": (512, 16, 3, 3)})
    assert list(notes_on(job_of(vae=str(vae)), facts, None)) == []
