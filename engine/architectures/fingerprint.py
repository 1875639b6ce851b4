"""Fingerprints of loaded modules: what cache keys and metadata say a model was."""

from __future__ import annotations

import json

import torch
import xxhash
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """A hash of every parameter's name, shape, dtype and bytes, and of buffers that are saved.

    A tenth of a second for SD 1.5's VAE and text encoder; adapters are not part of their hosts.
    """
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(module.state_dict().items()):
        head = json.dumps([name, list(tensor.shape), str(tensor.dtype)])
        digest.update(head.encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()
