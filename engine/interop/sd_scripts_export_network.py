"""The network of a job in sd-scripts' options and --network_args."""

from __future__ import annotations

import re
from typing import Any

from engine.interop.exported import Sheet, plain
from engine.interop.option_map import table_of
from engine.schema.architectures import UNET
from engine.schema.options import options

_MODULES = {
    "flux": "networks.lora_flux", "sd3": "networks.lora_sd3", "lumina2": "networks.lora_lumina",
    "hunyuan_image": "networks.lora_hunyuan_image", "anima": "networks.lora_anima",
}  # fmt: skip
_LYCORIS = ("use_tucker", "use_scalar", "dora_wd", "train_norm", "rs_lora")
_PATTERNS = ("include_patterns", "exclude_patterns", "network_reg_dims", "network_reg_lrs")
_OWN = ("kind", "rank", "alpha", "train", "dropout", "max_norm", "start_from", "rank_from_file",
        "dylora_mode", "wd_on_output", *_LYCORIS, *_PATTERNS)  # fmt: skip


def put_network(sheet: Sheet) -> None:
    """Write module, rank, alpha, parts and the further arguments."""
    network = sheet.job.network
    lycoris = [key for key in _LYCORIS if sheet.get(f"network.{key}")]
    module = _MODULES.get(sheet.architecture, "networks.lora")
    arguments: list[str] = []
    kind = sheet.get("network.kind")
    if kind != "lora" and sheet.architecture not in UNET:
        sheet.lack("network.kind", f"sd-scripts has {kind} for SD and SDXL alone; it is LoRA there")
    elif kind != "lora":
        module = f"networks.{kind}"
    if lycoris and kind == "lora" and sheet.architecture in UNET:
        module = "lycoris.kohya"
        arguments += ["algo=lora", f"preset={'full' if network.conv_dim else 'attn-mlp'}"]
        arguments += [f"{key}=True" for key in lycoris]
        if "dora_wd" in lycoris:
            arguments.append(f"wd_on_output={sheet.get('network.wd_on_output')}")
    else:
        for key in lycoris:
            sheet.lack(f"network.{key}", "sd-scripts has it through LyCORIS for SD and SDXL alone")
    sheet.used.add("network.wd_on_output")
    sheet.put("network_module", module)
    for path, name in (
        ("network.rank", "network_dim"),
        ("network.alpha", "network_alpha"),
        ("network.dropout", "network_dropout"),
        ("network.max_norm", "scale_weight_norms"),
        ("network.start_from", "network_weights"),
        ("network.rank_from_file", "dim_from_weights"),
    ):
        value = sheet.get(path)
        sheet.put(name, None if value == 0 and name == "network_dropout" else value)
    train = sheet.get("network.train")
    sheet.put("network_train_unet_only", train == "denoiser")
    sheet.put("network_train_text_encoder_only", train == "text_encoder")
    arguments += _further(sheet)
    arguments += _patterns(sheet)
    if arguments:
        sheet.put("network_args", arguments)


def _further(sheet: Sheet) -> list[str]:
    """Arguments of the same name and meaning, where they are not at their default."""
    found = []
    names = table_of("sd-scripts network_args")
    for path, option in options().items():
        if not path.startswith("network.") or option.key in _OWN or option.key not in names:
            continue
        value = sheet.get(path)
        if not option.applies(sheet.architecture) or value == option.default:
            continue
        if option.key == "unit" and sheet.job.network.kind != "dylora":
            continue
        found.append(f"{option.key}={_word(value)}")
    if sheet.job.network.kind == "dylora" and not any(f.startswith("unit=") for f in found):
        found.append(f"unit={sheet.job.network.unit}")
    if sheet.job.network.conv_dim and sheet.job.network.conv_alpha is None:
        found.append("conv_alpha=1")
    sheet.used |= {"network.unit", "network.dylora_mode"}
    if sheet.job.network.kind == "dylora" and sheet.job.network.dylora_mode != "gate":
        sheet.lack("network.dylora_mode", "sd-scripts' DyLoRA always gates")
    return found


def _word(value: Any) -> str:
    return ",".join(plain(each) for each in value) if isinstance(value, list) else plain(value)


def _patterns(sheet: Sheet) -> list[str]:
    """Patterns: looked for inside the name here and for FLUX.1, met as a whole for Anima."""
    found = []
    for key in _PATTERNS:
        value = sheet.get(f"network.{key}")
        if not value:
            continue
        if sheet.architecture == "anima":
            found.append(f"{key}={_whole(value, key.startswith('network_reg'))}")
        elif sheet.architecture == "flux" and key.startswith("network_reg"):
            found.append(f"{key}={','.join(value)}")
        else:
            sheet.lack(f"network.{key}", "sd-scripts has such patterns for FLUX.1 and Anima alone")
    return found


def _whole(patterns: list[str], pairs: bool) -> str:
    """Anima's patterns as sd-scripts reads them: pairs with commas, else a Python list."""
    made = []
    for each in patterns:
        pattern, sign, rank = each.rpartition("=") if pairs else (each, "", "")
        bound = re.fullmatch(r"\^\(\?:(.*)\)\$", pattern)
        made.append((bound[1] if bound else f".*(?:{pattern}).*") + sign + rank)
    return ",".join(made) if pairs else repr(made)
