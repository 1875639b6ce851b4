"""Names and shapes of the tensors in a .ckpt or .pt file, without torch and without running it.

A pickle is a program; here every class it names is replaced by an object that does nothing, so
looking at a file is safe. Loading the weights themselves is left to torch's restricted reader.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.plan.header import FileProblem

# What torch's restricted reader lets pass, as far as checkpoints use it
_LOADABLE_MODULES = ("torch", "torch._utils", "torch._tensor", "torch.storage")
_LOADABLE = {
    ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "Counter"),
    ("_codecs", "encode"), ("builtins", "set"), ("builtins", "bytearray"), ("builtins", "complex"),
}  # fmt: skip
_LEGACY_PREFACE = 3  # magic number, protocol and system information, each a pickle


@dataclass(frozen=True)
class PickledTensor:
    """A tensor as the pickle describes it."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class PickleNames:
    """Tensor name → shape, and the classes torch's restricted reader will not load."""

    shapes: dict[str, tuple[int, ...]]
    foreign: tuple[str, ...]


class _Inert:
    """Stands for any object of the pickle; takes whatever is done to it."""

    def __init__(self, *_: object, **__: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...
    def __setitem__(self, _: object, __: object) -> None: ...
    def __call__(self, *_: object, **__: object) -> _Inert:
        return self

    def append(self, _: object) -> None:
        """Take an item of a list-like object."""

    def extend(self, _: object) -> None:
        """Take several items of a list-like object."""


def _tensor(*arguments: Any) -> PickledTensor:
    """Stand in for torch's rebuild functions: (storage, offset, size, stride, …)."""
    return PickledTensor(tuple(int(n) for n in arguments[2]))


def _parameter(*arguments: Any) -> Any:
    return arguments[0]


class _Reader(pickle.Unpickler):
    """Builds inert objects only."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.foreign: list[str] = []

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        if global_name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _tensor
        if global_name == "_rebuild_parameter":
            return _parameter
        named = (module_name.replace("__builtin__", "builtins"), global_name)
        if module_name not in _LOADABLE_MODULES and named not in _LOADABLE:
            self.foreign.append(".".join(named))
        return _Inert

    def persistent_load(self, pid: object, /) -> object:
        return _Inert()


def read_pickle_names(path: Path) -> PickleNames:
    """Read the tensor names and shapes of a torch checkpoint, of both container formats.

    Raises:
        FileProblem: if it cannot be read as one.
    """
    try:
        with path.open("rb") as file:
            content, foreign = _read(file)
    except FileNotFoundError:
        raise FileProblem(f"{path}: there is no such file.") from None
    except OSError as error:
        raise FileProblem(f"{path}: it cannot be read: {error.strerror or error}.") from None
    # A damaged pickle can fail anywhere in the unpickler, with any exception.
    except Exception as error:  # noqa: BLE001
        raise FileProblem(
            f"{path.name}: this is not a readable checkpoint ({type(error).__name__}). Download it "
            "again, or use the .safetensors version."
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    shapes = (
        {
            str(name): value.shape
            for name, value in state.items()
            if isinstance(value, PickledTensor)
        }
        if isinstance(state, dict)
        else {}
    )
    return PickleNames(shapes, tuple(dict.fromkeys(foreign)))


def _read(file: BinaryIO) -> tuple[Any, list[str]]:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            inside = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            with archive.open(inside) as pickled:
                reader = _Reader(pickled)  # pyright: ignore[reportArgumentType]
                return reader.load(), reader.foreign
    file.seek(0)
    for _ in range(_LEGACY_PREFACE):
        _Reader(file).load()
    reader = _Reader(file)
    return reader.load(), reader.foreign
