"""Every random number of a run is a pure function of the seed and what it is for.

No random state is ever saved: generators are made anew from a key, so that worker processes,
pausing, previews and the number of GPUs change nothing (spec: data-loop 2.4).
"""

from __future__ import annotations

import random
from hashlib import blake2b


def key(*parts: object) -> int:
    """A number of 63 bits made of the parts' texts: `key(seed, "order", epoch)`."""
    text = "|".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def draws(*parts: object) -> random.Random:
    """A generator of the standard library that starts at `key(*parts)`."""
    return random.Random(key(*parts))
