"""The pins of pyproject.toml: exact, whole, and from package indexes alone."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from engine.setup.pins import LEVELS, Pin, normalized, read_pins
from engine.setup.start import CODE

PINS = read_pins(CODE)


@pytest.mark.parametrize(
    "loose",
    [
        "torch>=2.13",
        "torch",
        "torch==2.*",
        "x @ git+https://github.com/a/x@abc",
        "-e git+https://x",
    ],
)
def test_anything_but_an_exact_release_is_refused(loose: str) -> None:
    """Git dependencies need git and a compiler (OneTrainer #498, #404, #449)."""
    with pytest.raises(ValueError, match="is not an exact pin"):
        Pin.parse(loose)


def test_an_extra_belongs_to_the_requirement_and_not_to_the_name() -> None:
    pin = Pin.parse("pyright[nodejs]==1.1.414")
    assert (pin.name, pin.version, pin.requirement) == (
        "pyright",
        "1.1.414",
        "pyright[nodejs]==1.1.414",
    )


def test_levels_build_on_each_other_and_no_package_is_pinned_twice() -> None:
    names = [pin.name for pin in (*PINS.up_to("dev"), *PINS.constraints_up_to("dev"))]
    assert len(names) == len(set(names))
    assert PINS.up_to("window") == PINS.levels["window"]
    assert PINS.up_to("engine")[: len(PINS.levels["window"])] == PINS.levels["window"]


def test_the_window_needs_no_torch_and_the_optional_packages_are_never_required() -> None:
    window = {pin.name for pin in PINS.levels["window"]}
    assert not window & {"torch", "diffusers", "transformers", "accelerate"}
    everything = {pin.name for pin in (*PINS.up_to("dev"), *PINS.constraints_up_to("dev"))}
    # LETS #255, kohya_ss #2035; torchvision must match torch's build exactly.
    assert not everything & {"bitsandbytes", "xformers", "triton", "torchao", "torchvision"}


def test_pyside_is_not_the_version_that_aborts_on_python_3_11() -> None:
    assert PINS.version_of("PySide6-Essentials") == "6.11.3"


def test_digest_follows_a_levels_own_pins() -> None:
    digests = {level: PINS.digest(level) for level in LEVELS}
    assert len(set(digests.values())) == 3
    changed = read_pins(CODE)
    changed.levels["engine"] = (*PINS.levels["engine"][:-1], Pin.parse("torch==9.9"))
    assert changed.digest("engine") != digests["engine"]
    assert changed.digest("window") == digests["window"]


def test_everything_that_the_pins_bring_along_is_held_to_one_version() -> None:
    """Walks what is installed here; fails when a package would come in whatever version."""
    held = {pin.name: pin.version for pin in PINS.up_to("dev")}
    held |= {pin.name: pin.version for pin in PINS.constraints_up_to("dev")}
    todo = [Requirement(pin.requirement) for pin in PINS.up_to("dev")]
    seen: set[str] = set()
    while todo:
        wanted = todo.pop()
        name = normalized(wanted.name)
        if name in seen or name.startswith(("nvidia-c", "cuda-", "triton")):
            continue  # CUDA's libraries: torch pins those itself
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # of another extra, or not for this system
        seen.add(name)
        assert held.get(name) == found.version.partition("+")[0], name
        extras = list(wanted.extras) or [""]
        for line in found.requires or []:
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                todo.append(needed)
    assert len(seen) > 40
