"""The first fields of `[network]`: the kind of adapter and its size."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import option
from engine.schema.table import Table


class NetworkSize(Table):
    """Kind, rank and alpha (spec: networks 1.3)."""

    kind: Literal["lora", "dylora", "lora_fa"] = option(
        "lora",
        "Kind",
        "LoRA learns best for its size. DyLoRA's file can be cut to lower ranks afterwards. "
        "LoRA-FA trains one of the two matrices: half the optimizer's memory, a higher rank "
        "needed. All are saved as plain LoRA.",
        basic=True,
        aliases=("network_module",),
        choice_labels={"lora": "LoRA", "dylora": "DyLoRA", "lora_fa": "LoRA-FA"},
    )
    rank: int = option(
        16,
        "Rank",
        "How many directions each layer may learn. Twice the rank, twice the file and optimizer "
        "memory. Try 8–16 for a subject, 32 for a rich style; lower it when pictures look copied.",
        ge=1,
        le=1024,
        scale="double",
        basic=True,
        aliases=("network_dim",),
    )
    alpha: float = option(
        8.0,
        "Alpha",
        "What is learned is multiplied by alpha ÷ rank. Half the rank is a calm start; if you "
        "halve it, raise the learning rate. 0 means equal to rank.",
        ge=0,
        basic=True,
        aliases=("network_alpha",),
    )
