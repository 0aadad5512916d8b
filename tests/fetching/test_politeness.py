"""Who is asked when, in virtual time: scenarios, and what holds whatever happens."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from outpace.errors import FetchError, TemporaryFetchError
from outpace.fetching.page import Page
from outpace.fetching.politeness import (
    CATCH_UP,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    RECOVERY,
    HopelessRequest,
    Politeness,
    wait_for,
)


def page(status: int = 200, body: bytes = b"") -> Page:
    return Page("", "", status, len(body), None, None, "1.1", 0.1, None, None, body)


def said(status: int, retry_after: float | None = None) -> FetchError:
    return TemporaryFetchError(f"HTTP {status}", "http", retry_after, page(status))


def pushed(policy: Politeness, *urls: str) -> Politeness:
    for index, url in enumerate(urls):
        policy.push(index, url)
    return policy


def taken(policy: Politeness, now: float = 0.0) -> list[Any]:
    """Take all that may go out now."""
    tickets = []
    while (ticket := policy.take(now)) is not None:
        tickets.append(ticket)
    return tickets


def urls(host: str, count: int) -> list[str]:
    return [f"http://{host}/{n}" for n in range(count)]


def test_a_host_is_asked_only_so_often_at_once():
    policy = pushed(Politeness(per_host=2), *urls("a", 5))

    first = taken(policy)
    policy.ended(first[0], 1.0, page(), None)
    second = taken(policy, 1.0)

    assert [ticket[0] for ticket in first + second] == [0, 1, 2]


def test_hosts_take_turns_however_many_pages_one_has():
    policy = pushed(Politeness(per_host=3), *urls("many", 100), "http://few/x", "http://one/x")

    hosts = [ticket[2].name for ticket in taken(policy)]

    assert hosts == ["many", "few", "one", "many", "many"]


def test_starts_at_a_host_are_a_delay_apart():
    policy = pushed(Politeness(per_host=5, delay=2.0), *urls("a", 3), "http://b/0")

    assert [t[2].name for t in taken(policy, 10.0)] == ["a", "b"]
    assert policy.due() == 12.0
    assert not taken(policy, 11.9)
    assert len(taken(policy, 12.0)) == 1


def test_the_rate_holds_over_all_hosts():
    policy = pushed(Politeness(per_host=9, rate=10.0), *(f"http://h{n}/" for n in range(100)))

    starts = [now / 100 for now in range(200) for _ in taken(policy, now / 100)]

    assert len(starts) <= 10 * 2.0 + 10 * CATCH_UP + 1
    assert len(starts) >= 19


def test_a_429_without_a_time_pauses_the_host_longer_each_time_and_no_other():
    policy = pushed(Politeness(per_host=1), *urls("a", 3), *urls("b", 3))
    a, b = taken(policy)
    policy.ended(a, 0.0, None, said(429))
    policy.ended(b, 0.0, page(), None)

    assert [t[2].name for t in taken(policy, 0.5)] == ["b"]
    (again,) = taken(policy, FIRST_PAUSE)
    assert again[2].name == "a"
    policy.ended(again, FIRST_PAUSE, None, said(503))
    assert not [t for t in taken(policy, FIRST_PAUSE) if t[2].name == "a"]
    assert policy.due() == FIRST_PAUSE + 2 * FIRST_PAUSE


def test_retry_after_is_obeyed_to_the_second():
    policy = pushed(Politeness(per_host=1), *urls("a", 2))
    (ticket,) = taken(policy)
    policy.ended(ticket, 5.0, None, said(503, 42.0))

    assert not taken(policy, 46.9)
    assert len(taken(policy, 47.0)) == 1


def test_a_retry_after_longer_than_anybody_waits_fails_what_the_host_still_has():
    policy = pushed(Politeness(per_host=1), *urls("a", 3))
    (ticket,) = taken(policy)
    policy.ended(ticket, 0.0, None, said(503, LONGEST_PAUSE + 1))

    refused = taken(policy, 1.0)

    assert [t[3].kind for t in refused] == ["http", "http"]
    assert not isinstance(refused[0][3], TemporaryFetchError)


def test_a_host_that_was_slowed_down_recovers_one_by_one():
    policy = pushed(Politeness(per_host=4), *urls("a", 200))
    out = taken(policy)
    policy.ended(out.pop(), 0.0, None, said(429))
    now, most = FIRST_PAUSE, 0
    for _ in range(RECOVERY * 6):
        out += taken(policy, now)
        most = max(most, len(out))
        policy.ended(out.pop(0), now, page(), None)
        if _ == RECOVERY // 2:
            assert len(out) <= 2

    assert most == 4


def test_a_429_pauses_a_host_also_where_starts_are_apart_anyway():
    policy = pushed(Politeness(per_host=2, delay=0.5), *urls("a", 4))
    (ticket,) = taken(policy)
    policy.ended(ticket, 0.1, None, said(429))

    assert not taken(policy, 1.0)
    assert len(taken(policy, 0.1 + FIRST_PAUSE)) == 1


def test_one_storm_of_429s_is_one_pause():
    policy = pushed(Politeness(per_host=8), *urls("a", 20))
    for ticket in taken(policy):
        policy.ended(ticket, 0.0, None, said(429))

    assert not taken(policy)
    assert policy.due() == FIRST_PAUSE
    assert len(taken(policy, FIRST_PAUSE)) == 4


class RobotsRules:
    delay = 0.0

    def __init__(self, text: bytes) -> None:
        self.text = text.decode()

    def allows(self, url: str) -> bool:
        return "private" not in url or not self.text


def test_robots_txt_comes_first_and_what_it_forbids_does_not_go_out():
    policy = Politeness(per_host=4, read_rules=RobotsRules)
    pushed(policy, "https://a/1", "https://a/private", "https://a/2")

    (first,) = taken(policy)
    assert (first[0], first[1].url) == (-1, "https://a/robots.txt")
    policy.ended(first, 0.0, page(body=b"rules"), None)

    assert [(t[0], t[3] and t[3].kind) for t in taken(policy)] == [
        (0, None),
        (1, "robots"),
        (2, None),
    ]


def test_no_robots_txt_allows_everything_and_an_unreadable_one_nothing():
    for error, kinds in ((said(404), [None]), (said(500), ["http"]), (said(429), ["http"])):
        policy = pushed(Politeness(per_host=4, read_rules=RobotsRules), "https://a/private")
        (first,) = taken(policy)
        policy.ended(first, 0.0, None, error)

        assert [t[3] and t[3].kind for t in taken(policy)] == kinds


def test_what_is_no_url_is_refused_at_once():
    policy = Politeness(per_host=1)
    policy.push(0, HopelessRequest("nonsense", "it cannot be read"))

    ((index, _, _, error),) = taken(policy)

    assert (index, error.kind, str(error)) == (0, "invalid-url", "it cannot be read")


def test_hosts_with_nothing_to_remember_are_forgotten():
    policy = pushed(Politeness(per_host=1), *(f"http://h{n}/" for n in range(1000)))
    for ticket in taken(policy):
        policy.ended(ticket, 0.0, page(), None)

    assert not policy._sites


def test_the_engine_waits_as_long_as_the_site_asks_and_longer_each_time_if_it_does_not():
    assert wait_for(1, said(429, 7.0)) == 7.0
    assert [wait_for(n, said(500)) for n in (1, 2, 3, 99)] == [0.5, 1.0, 2.0, 30.0]


# Whatever happens.

hosts = st.sampled_from("abc")
endings = st.sampled_from([None, None, None, (429, None), (503, 2.0), (500, None)])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(hosts, min_size=1, max_size=60),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([None, 20.0]),
    st.data(),
)
def test_every_request_goes_out_once_and_never_too_many(names, per_host, delay, rate, data):
    policy = Politeness(per_host=per_host, delay=delay, rate=rate)
    pushed(policy, *(f"http://{name}/{n}" for n, name in enumerate(names)))
    now, running, gone, last = 0.0, [], Counter(), {}

    while len(gone) < len(names) or running:
        for ticket in taken(policy, now):
            index, _, host, _ = ticket
            gone[index] += 1
            assert now - last.get(host.name, -9.0) >= delay - 1e-9
            last[host.name] = now
            running.append(ticket)
            assert Counter(t[2].name for t in running)[host.name] <= per_host
        if running:
            ticket = running.pop(data.draw(st.integers(0, len(running) - 1)))
            ending = data.draw(endings)
            now += 0.01
            if ending is None:
                policy.ended(ticket, now, page(), None)
            else:
                policy.ended(ticket, now, None, said(*ending))
        else:
            due = policy.due()
            assert due is not None
            assert due > now
            now = due

    assert set(gone.values()) == {1}
    assert policy.waiting == 0
