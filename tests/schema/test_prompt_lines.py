"""Prompt lines with flags (data-loop 6, acceptance 24)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema.prompt_lines import parse_prompt, parse_prompts, write_prompt
from engine.schema.samples import Prompt


def test_all_flags() -> None:
    """Acceptance 24: the seven values."""
    line = "masterpiece, 1girl --n low quality, bad --w 768 --h 1024 --d 1 --l 7.5 --s 28"
    prompt, problems = parse_prompt(line)
    assert problems == []
    assert prompt == {
        "prompt": "masterpiece, 1girl", "negative": "low quality, bad", "width": 768,
        "height": 1024, "seed": 1, "cfg": 7.5, "steps": 28,
    }  # fmt: skip
    assert Prompt.model_validate(prompt).negative == "low quality, bad"


def test_the_prompt_itself_is_no_flag() -> None:
    """Acceptance 24: "n cute" has no negative."""
    assert parse_prompt("n cute --w 512") == ({"prompt": "n cute", "width": 512}, [])
    assert parse_prompt("s 20 kids")[0] == {"prompt": "s 20 kids"}
    assert parse_prompt("a well-known -- dash")[0] == {"prompt": "a well-known -- dash"}


def test_random_seed_and_other_spellings() -> None:
    """Acceptance 24: -1 is random; long names and = are understood, the last one counts."""
    assert parse_prompt("a --d -1")[0]["seed"] == -1
    assert parse_prompt("a --w=512 --seed 3 --CFG=2 --seed=4")[0] == {
        "prompt": "a", "width": 512, "seed": 4, "cfg": 2.0,
    }  # fmt: skip
    assert parse_prompt("a --ss k_euler_a")[0]["sampler"] == "euler_a"
    assert parse_prompt("a --g 3.5 --fs 2")[0] == {"prompt": "a", "guidance": 3.5, "flow_shift": 2}
    assert parse_prompt("a --n")[0]["negative"] == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a --am 1", "--am is not a flag"),
        ("a --widht 3", "Did you mean --width?"),
        ("a --w wide", "--w wide: give a number of pixels"),
        ("a --d -2", "--d -2: give a whole number"),
        ("a --ss magic", "one of euler"),
        ("a --cn map.png", "ControlNet"),
    ],
)
def test_errors_name_the_flag(line: str, words: str) -> None:
    """Acceptance 24: `--am 1` is an error naming the flag."""
    prompt, problems = parse_prompt(line)
    assert prompt == {"prompt": "a"}
    assert len(problems) == 1
    assert words in problems[0].message
    assert problems[0].path.startswith("samples.prompts[0].")


def test_a_file_of_prompts() -> None:
    prompts, problems = parse_prompts("# mine\n\na cat --s 20\n  a dog --x\n")
    assert prompts == [{"prompt": "a cat", "steps": 20}, {"prompt": "a dog"}]
    assert [p.path for p in problems] == ["samples.prompts[1].prompt"]


_WORDS = st.text("abc ,.", max_size=20).map(str.strip)


@given(
    st.fixed_dictionaries(
        {"prompt": _WORDS},
        optional={
            "negative": _WORDS, "width": st.integers(64, 2048), "seed": st.integers(-1, 10**9),
            "cfg": st.floats(0, 50), "steps": st.integers(1, 99), "guidance": st.floats(0, 9),
            "sampler": st.sampled_from(["euler", "dpm++_2m"]),
        },
    )
)  # fmt: skip
def test_written_lines_read_back(prompt: dict[str, Any]) -> None:
    assert parse_prompt(write_prompt(prompt)) == (prompt, [])
