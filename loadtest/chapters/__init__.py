"""Chapters of the report, in the order in which they are read."""

from loadtest.chapters import bad_day, cost, dial, scale, speed
from loadtest.chapters.chapter import Chapter
from loadtest.results import Results


def chapters(results: Results) -> tuple[Chapter, ...]:
    """Those for which something was measured."""
    found = (one.chapter(results) for one in (cost, speed, scale, bad_day, dial))
    return tuple(chapter for chapter in found if chapter.plots)
