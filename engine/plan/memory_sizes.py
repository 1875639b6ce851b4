"""Sizes that the estimate of memory needs and that no site table holds, as data."""

from __future__ import annotations

PACKED_BYTES = {"int8": 1.0, "fp8": 1.0, "fp8_scaled": 1.0, "nf4": 0.5 + 1 / 64 + 1 / 4096}
"""Bytes of a packed number in each format; rows' scales are counted apart, nf4's are in it."""

CLIP_VOCABULARY = 49408

EMBEDDINGS = {
    "sdxl": CLIP_VOCABULARY * (768 + 1280),
    "flux": CLIP_VOCABULARY * 768 + 32128 * 4096,
    "sd3": CLIP_VOCABULARY * (768 + 1280) + 32128 * 4096,
    "lumina2": 256_000 * 2304,
    "anima": 151_936 * 1024,
    "hunyuan_image": 6_600_000_000 + 219_000_000,  # what is read of Qwen2.5-VL, and ByT5
}
"""Numbers of the text encoders outside of layers that can be adapted, at the published sizes."""

VAE_PARAMETERS = {"hunyuan_image": 405_000_000, "anima": 127_000_000}
USUAL_VAE = 83_653_863  # AutoencoderKL of SD, SDXL, and with 16 channels nearly the same

PACKED_SHARES = {"hunyuan_image": 0.92}
"""Share of text encoders in Linears of blocks, which 8 bits are for, where no site counts them."""
