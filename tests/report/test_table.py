"""What a race looks like."""

from outpace.racing.result import Entrant, Race, Recommendation
from outpace.racing.stats import MedianRange
from outpace.report.progress import StatusLine
from outpace.report.table import race_table

MACHINE = {"cpus": 2, "python": "3.11.7", "gil": True}
JOB = {"name": "pages", "items": 160, "item_wall_s": 0.1, "item_cpu_s": 0.001, "waits": 0.99}


def make() -> Race:
    """Make a race with a row of each kind."""
    spread = MedianRange(0.14, 0.13, 0.15, 3)
    figures = {"startup_s": 0.01, "cpu_s": 0.05, "peak_rss_bytes": 50_000_000, "results": "same"}
    whole = MedianRange(16.0, 16.0, 16.0, 1)
    entrants = [
        Entrant("serial", "f", "ran", None, 1, 1, makespan_s=whole, **figures),
        Entrant("asyncio", "f", "ran", None, 1, 160, makespan_s=spread, speedup=114.2, **figures),
        Entrant("dask", "f", "not-eligible", "dask is not installed: pip install dask"),
        Entrant(
            "threads", "f", "stopped", "stopped after 2 s", 1, 5,
            makespan_s=MedianRange(99.0, 99.0, 99.0, 0), **figures,
        ),
    ]  # fmt: skip
    return Race(MACHINE, JOB, entrants, Recommendation("asyncio", ("it is fast",)), ["a note"])


def test_the_table_has_a_row_for_everyone_and_says_why_not() -> None:
    text = race_table(make())

    lines = text.splitlines()
    assert lines[0].startswith("pages: 160 items, with serial 100 ms each of which 99% waiting")
    assert any(line.split()[:4] == ["asyncio", "160", "10", "ms"] for line in lines)
    assert "x114" in text
    assert "not-eligible" in text
    assert "dask: dask is not installed: pip install dask" in lines
    assert "about 99 s" in text
    assert lines[-1] == "Use asyncio: it is fast."


def test_a_remark_is_a_line_that_does_nothing_to_a_terminal() -> None:
    race = make()
    race.notes = ["ValueError: bad\nnews \x1b[31m", "x" * 5_000]

    text = race_table(race)

    assert "\nValueError: bad news ?[31m\n" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 600


def test_a_narrow_terminal_loses_columns_and_not_letters() -> None:
    for width in (110, 80, 60):
        table = race_table(make(), width).split("\n\n")[1]
        assert max(map(len, table.splitlines())) <= width
        assert "makespan" in table
        assert "speedup" in table
    assert "memory" in race_table(make(), 110)
    assert "memory" not in race_table(make(), 70)


def test_the_published_seconds_stand_beside_when_there_are_any() -> None:
    race = make()
    assert "published" not in race_table(race)
    race.entrants[0].published_s = 147.57
    assert "147.57 s" in race_table(race)


class Terminal:
    """Be a stream that says it is a terminal, or not."""

    def __init__(self, *, tty: bool) -> None:
        self.tty, self.text = tty, ""

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_progress_is_drawn_on_a_terminal_only_and_not_too_often() -> None:
    terminal, pipe = Terminal(tty=True), Terminal(tty=False)
    for stream in (terminal, pipe):
        line = StatusLine(stream)
        for n in range(1000):
            line(f"item {n}")
        line.clear()

    assert "item 0" in terminal.text
    assert terminal.text.count("item") < 20
    assert terminal.text.endswith("\r\x1b[K")
    assert pipe.text == ""
