"""A pip for the tests: planted into a fresh .venv, it installs made-up packages from nowhere.

What it does is told by the JSON file that FAKE_PIP names:
    log          file that each call's arguments are appended to
    fail         list of [words, output]: a call with these words prints the output and fails
    die_in       name of a package half-way through which it is killed, once
    local        local version of torch when it comes from the usual index, e.g. "+cpu"
    cuda         what torch.version.cuda says, by build ("" for the usual index)
    wrong        package that arrives in version 0.0
    broken       module that raises when imported
    hang         file to wait beside for ever, once it was created
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

MODULES = {
    "pyside6-essentials": ["PySide6/__init__.py", "PySide6/QtCore.py"],
    "pillow": ["PIL/__init__.py", "PIL/Image.py"],
    "safetensors": ["safetensors/__init__.py", "safetensors/torch.py"],
    "torch": ["torch/__init__.py", "torch/version.py"],
}
SITE = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    scenario_path = Path(os.environ["FAKE_PIP"])
    scenario = json.loads(scenario_path.read_text("utf-8"))
    with open(scenario["log"], "a", encoding="utf-8") as file:
        file.write(json.dumps(arguments) + "\n")
    joined = " ".join(arguments)
    for words, output in scenario.get("fail", []):
        if words in joined:
            say(output)
            return 1
    if hang := scenario.get("hang"):
        Path(hang).write_text("", "utf-8")
        while True:
            time.sleep(1)
    taken = []
    for requirement in requirements(arguments):
        name, version = requirement.split("==")
        name = re.sub(r"\[.*\]", "", name)
        there = installed(name)
        if there and there.partition("+")[0] == version and "--force-reinstall" not in arguments:
            say(f"Requirement already satisfied: {name}=={version} in {SITE} ({there})")
            continue
        say(f"Collecting {name}=={version}")
        say(f"  Downloading {name}-{version}-py3-none-any.whl (2.0 MB)")
        for done in (0, 1_000_000, 2_000_000):
            say(f"Progress {done} of 2000000")
        taken.append((name, version))
    say("Installing collected packages: " + ", ".join(name for name, _ in taken))
    for name, version in taken:
        if name == scenario.get("die_in"):
            del scenario["die_in"]
            scenario_path.write_text(json.dumps(scenario), "utf-8")
            write(name, version, scenario, half=True)
            os.kill(os.getpid(), 9)
        write(name, version, scenario)
    say("Successfully installed")
    return 0


def requirements(arguments: list[str]) -> list[str]:
    found = [argument for argument in arguments if "==" in argument]
    if "-r" in arguments:
        text = Path(arguments[arguments.index("-r") + 1]).read_text("utf-8")
        found += [line for line in text.splitlines() if line]
    return found


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def installed(name: str) -> str:
    for folder in SITE.glob("*.dist-info"):
        there, _, version = folder.name.removesuffix(".dist-info").partition("-")
        if there == name.replace("-", "_"):
            return version
    return ""


def write(name: str, version: str, scenario: dict, half: bool = False) -> None:
    """Write a package's modules and metadata; half of it leaves a module out."""
    if name == "torch" and "+" not in version:
        version += scenario.get("local", "")
    if name == scenario.get("wrong"):
        version = "0.0"
    for old in SITE.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(old)
    info = SITE / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    files = MODULES.get(name.lower(), [f"{name.replace('-', '_')}/__init__.py"])
    rows = []
    for path in files:
        text = "# a module\n"
        if path == "torch/version.py":
            cuda = scenario.get("cuda", {}).get(version.partition("+")[2])
            text = f"cuda = {cuda!r}\nhip = None\n"
        if path == "torch/__init__.py":
            text = "from torch import version\n"
        if path.split("/")[0] == scenario.get("broken"):
            text = "raise ImportError('libgraft.so.1: cannot open shared object file')\n"
        rows.append(f"{path},sha256=x,{len(text)}")
        if half and path == files[-1]:
            continue
        (SITE / path).parent.mkdir(exist_ok=True)
        (SITE / path).write_text(text, "utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,"]) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
