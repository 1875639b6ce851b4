"""Settings that every test shares."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The workers of a run share the cores; threads of one worker would only wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
