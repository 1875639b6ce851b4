"""What other programs call the base models and their network modules (spec: networks 2.2, 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

SAI = "https://github.com/Stability-AI/generative-models"


@dataclass(frozen=True)
class BaseNames:
    """Names of a base model in a file's metadata.

    Attributes:
        version: `ss_base_model_version`.
        kind: `modelspec.architecture`, without its ending `/lora`.
        module: `ss_network_module` of a plain adapter.
        implementation: `modelspec.implementation`.
    """

    version: str
    kind: str
    module: str = "networks.lora"
    implementation: str = "diffusers"


_FLUX_MODULE = "networks.lora_flux"
_FLUX = "https://github.com/black-forest-labs/flux"
_SD3_MODULE = "networks.lora_sd3"

NAMES: dict[tuple[str, str], BaseNames] = {
    ("sd1", ""): BaseNames("sd_v1", "stable-diffusion-v1"),
    ("sd2", "epsilon"): BaseNames("sd_v2", "stable-diffusion-v2-512"),
    ("sd2", "v"): BaseNames("sd_v2_v", "stable-diffusion-v2-768-v"),
    ("sdxl", ""): BaseNames(
        "sdxl_base_v1-0", "stable-diffusion-xl-v1-base", implementation=SAI
    ),
    ("flux", ""): BaseNames("flux1", "flux-1-dev", _FLUX_MODULE, _FLUX),
    ("flux", "schnell"): BaseNames("flux1", "flux-1-schnell", _FLUX_MODULE, _FLUX),
    ("flux", "chroma"): BaseNames(
        "chroma", "chroma", _FLUX_MODULE, "https://huggingface.co/lodestones/Chroma"
    ),
    ("sd3", ""): BaseNames("medium", "stable-diffusion-3-medium", _SD3_MODULE),
    ("sd3", "3.5-medium"): BaseNames("5-medium", "stable-diffusion-3-5-medium", _SD3_MODULE),
    ("sd3", "3.5-large"): BaseNames("5-large", "stable-diffusion-3-5-large", _SD3_MODULE),
    ("lumina2", ""): BaseNames(
        "lumina2", "lumina-2", "networks.lora_lumina",
        "https://github.com/Alpha-VLLM/Lumina-Image-2.0",
    ),
    ("hunyuan_image", ""): BaseNames(
        "hunyuan-image-2.1", "hunyuan-image-2.1", "networks.lora_hunyuan_image"
    ),
    ("anima", ""): BaseNames(
        "anima", "anima-preview", "networks.lora_anima",
        "https://huggingface.co/circlestone-labs/Anima",
    ),
}  # fmt: skip
"""By architecture and variant (SD 2.x: what it predicts); the empty one is for all others."""


def base_names(architecture: str, variant: str, prediction: str) -> BaseNames:
    """The names of a base model.

    Raises:
        KeyError: for an architecture that there is not.
    """
    if architecture == "sd2":
        variant = prediction
    return NAMES.get((architecture, variant)) or NAMES[architecture, ""]
