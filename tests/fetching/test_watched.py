"""A run that fetches is watched like any other: its summary, its timeline, its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import UsageError

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

if TYPE_CHECKING:
    from tests.fetching.conftest import Site


def urls(site: Site, count: int) -> list[str]:
    return [site.url(f"page-{n}") for n in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_summary_says_how_many_at_once_and_not_how_far_it_looks_ahead(
    site: Site, workers: int
) -> None:
    run = outpace.fetch(urls(site, 4), in_flight=2, workers=workers)
    assert all(outcome.ok for outcome in run)
    assert run.summary.in_flight == 2
    assert "(2 at once)" in str(run.summary)


def test_the_timeline_has_every_page_with_its_url(site: Site) -> None:
    pages = urls(site, 20)
    run = outpace.fetch(pages, in_flight=4)
    outcomes = list(run)
    timeline = run.timeline
    assert sorted(timeline.items.index) == list(range(20))
    assert timeline.in_flight == 4
    assert set(timeline.items.label) == set(pages)
    assert len(timeline.lanes) <= 4
    assert {outcome.kind for outcome in outcomes} == {"done"}


def test_without_a_record_there_is_no_timeline(site: Site) -> None:
    run = outpace.fetch(urls(site, 1), record="off")
    list(run)
    with pytest.raises(UsageError, match='no timeline of a run with record="off"'):
        _ = run.timeline


def test_its_progress_is_that_of_every_run(site: Site) -> None:
    shown: list[Any] = []
    list(outpace.fetch(urls(site, 5), progress=shown.append))
    assert shown[-1].finished
    assert shown[-1].settled == 5


def test_what_is_no_record_is_one_line(site: Site) -> None:
    with pytest.raises(UsageError, match="record is 'off', 'default' or 'full', not 'on'"):
        outpace.fetch(urls(site, 1), record="on")  # type: ignore[arg-type]
