"""The README's code blocks, as the tests run them."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"

_BLOCK = re.MULTILINE | re.DOTALL


def blocks(language: str, *, under: str) -> list[str]:
    """The code blocks in a language under one heading, up to the next heading of the same or a higher level."""
    text = README.read_text("utf-8")
    start = re.search(rf"^(#+) {re.escape(under)}$", text, re.MULTILINE)
    assert start is not None, f"the README has no heading {under!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", re.sub(r"^```.*?^```", _blanked, rest, flags=_BLOCK), re.MULTILINE)
    section = rest[: end.start()] if end else rest
    found = re.findall(rf"^```{language}\n(.*?)^```$", section, _BLOCK)
    assert found, f"the README has no {language} under {under!r}"
    return found


def _blanked(block: re.Match[str]) -> str:
    """Comments in a shell block look like headings."""
    return re.sub(r"\S", "x", block[0])
