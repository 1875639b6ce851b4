"""Which torch goes to which machine: pure choices over made-up machines."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from engine.setup.devices import serves
from engine.setup.errors import SetupError
from engine.setup.machine import Gpu, Machine
from engine.setup.torch_build import choose_build, index_answers

INDEX = "https://download.pytorch.org/whl/"


def machine(system: str, arch: str = "x86_64", *caps: tuple[int, int], **more: object) -> Machine:
    gpus = tuple(Gpu(f"NVIDIA card {cap}", cap, 8 * 2**30) for cap in caps)
    return Machine(system, arch, (3, 12), gpus, **more)  # type: ignore[arg-type]


def never(url: str) -> bool:
    raise AssertionError(f"asked {url}")


@pytest.mark.parametrize(
    ("where", "build", "index"),
    [
        (machine("Linux", "x86_64", (8, 9), cuda=(13, 0)), "cu130", None),
        (machine("Linux", "x86_64", (8, 9), cuda=(12, 4)), "cu126", INDEX + "cu126"),
        (machine("Linux", "x86_64", (6, 1), cuda=(13, 0)), "cu126", INDEX + "cu126"),
        (machine("Linux", "x86_64", (12, 0), cuda=(13, 0)), "cu130", None),
        (machine("Linux", "x86_64", (6, 1), (8, 9), cuda=(13, 0)), "cu126", INDEX + "cu126"),
        (machine("Linux", "x86_64", (0, 0), cuda=(13, 0)), "cu130", None),
        (machine("Linux", "arm64", (9, 0), cuda=(13, 0)), "cu130", INDEX + "cu130"),
        (machine("Windows", "x86_64", (8, 9), cuda=(13, 1)), "cu130", INDEX + "cu130"),
        (machine("Windows", "x86_64", (7, 0), cuda=(12, 8)), "cu126", INDEX + "cu126"),
        (machine("Windows"), "pypi", None),
        (machine("Darwin", "arm64"), "pypi", None),
    ],
)
def test_build_and_index_by_driver_and_card(where: Machine, build: str, index: str | None) -> None:
    chosen = choose_build(where, answers=never)
    assert (chosen.name, chosen.index, chosen.warning) == (build, index, "")
    assert chosen.cuda == build.startswith("cu")
    assert (chosen.space_bytes > 8 * 2**30) == chosen.cuda


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_linux_without_a_card_asks_the_cpu_index_once(arch: str) -> None:
    asked: list[str] = []

    def answers(url: str) -> bool:
        asked.append(url)
        return True

    chosen = choose_build(machine("Linux", arch), answers=answers)
    assert (chosen.name, chosen.index) == ("cpu", INDEX + "cpu")
    assert asked == [INDEX + "cpu/torch/"]


def test_linux_without_a_card_and_without_the_cpu_index_takes_pypi_and_room_for_cuda() -> None:
    chosen = choose_build(machine("Linux"), answers=lambda _: False)
    assert (chosen.name, chosen.index) == ("pypi", None)
    assert chosen.space_bytes > 8 * 2**30


def test_old_driver_trains_on_the_processor_and_says_so() -> None:
    where = machine("Linux", "x86_64", (7, 5), cuda=(11, 4), driver="470.82")
    chosen = choose_build(where, answers=never)
    assert chosen.name == "cpu"
    assert "470.82 is too old" in chosen.warning
    assert "setup --redo" in chosen.warning


def test_new_card_with_an_older_driver_is_told_to_update_it() -> None:
    """sm_120 under a CUDA 12.8 driver (pytorch #150733)."""
    where = machine("Windows", "x86_64", (12, 0), cuda=(12, 8), driver="572.1")
    chosen = choose_build(where, answers=never)
    assert chosen.name == "cu130"
    assert "driver 580" in chosen.warning


def test_intel_mac_is_told_that_torch_ended() -> None:
    with pytest.raises(SetupError, match="Intel"):
        choose_build(machine("Darwin", "x86_64"), answers=never)


def test_amd_card_is_shown_the_way_to_rocm() -> None:
    chosen = choose_build(machine("Linux", other_gpu="AMD"), answers=lambda _: True)
    assert "--torch rocm7.2" in chosen.warning


def test_a_build_can_be_asked_for_by_name() -> None:
    where = machine("Linux", "x86_64", (8, 9), cuda=(13, 0))
    assert choose_build(where, "cpu", never).index == INDEX + "cpu"
    assert choose_build(where, "rocm7.2", never).index == INDEX + "rocm7.2"
    assert choose_build(where, "pypi", never).index is None
    with pytest.raises(SetupError, match="cu999"):
        choose_build(where, "cu999", never)


class _Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/torch/" else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def test_index_that_answers_refuses_or_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.HTTPServer(("127.0.0.1", 0), _Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    assert index_answers(url + "/torch/")
    assert not index_answers(url + "/forbidden/")
    server.shutdown()
    server.server_close()
    assert not index_answers(url + "/torch/")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not index_answers(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.2)


@pytest.mark.parametrize(
    ("capability", "compiled_for", "expected"),
    [
        ((8, 9), ["sm_80", "sm_90"], True),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((6, 1), ["sm_75", "sm_80"], False),
        ((9, 0), ["sm_90a"], True),
        ((8, 0), ["sm_86"], False),
        ((8, 0), [], True),
    ],
)
def test_card_against_what_torch_was_compiled_for(
    capability: tuple[int, int], compiled_for: list[str], expected: bool
) -> None:
    assert serves(capability, compiled_for) is expected
