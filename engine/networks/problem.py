"""What can be wrong with adapters and their files, told to the person."""

from __future__ import annotations


class AdapterProblem(ValueError):
    """An adapter or a file that cannot be used; the message names it and says what to do."""
