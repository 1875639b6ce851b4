"""The trainer. It imports no Qt; the window imports of it only what needs no torch."""

import os

# pydantic would look through every installed package for plugins, at each start; none are meant.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
