"""How long users notice something, in numbers for a table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster import traffic
from tests.cluster.node import places
from tests.cluster.traffic import Answer, Traffic

TABLE = places.CACHE / "faults.md"  # what the documents show is copied from here


@dataclass(slots=True)
class Outage:
    """What users had of one fault; times are seconds after it."""

    users: Traffic
    at: float = field(default_factory=time.monotonic)

    def began_after(self) -> list[Answer]:
        return [each for each in self.users.answers if each.began >= self.at]

    def failed(self, kind: str) -> list[Answer]:
        """Answers of that kind that were not whole, under way or begun afterwards."""
        return [
            each
            for each in self.users.answers
            if each.kind == kind and each.fault and each.ended >= self.at
        ]

    def seconds(self) -> float:
        """From the fault to the last request that failed."""
        return max((each.began - self.at for each in self.failed("question")), default=0.0)

    def row(self, what: str) -> str:
        """A line of the table in the documents."""
        asked = len([each for each in self.began_after() if each.kind == "question"])
        questions, streams = len(self.failed("question")), len(self.failed("stream"))
        return f"| {what} | {questions} of {asked} | {self.seconds():.0f} s | {streams} |"


@contextmanager
def of(url: str, fault: Callable[[], None], *, watch_s: float) -> Iterator[Outage]:
    """Users before, during and for `watch_s` after the fault; read it at the end of the block."""
    with traffic.flowing(url, rate=2, streams=4, tokens=600) as users:
        time.sleep(5)  # streams are open
        outage = Outage(users)
        fault()
        yield outage
        time.sleep(max(outage.at + watch_s - time.monotonic(), 0))


def note(row: str) -> None:
    with TABLE.open("a", encoding="utf-8") as table:
        table.write(f"{row}\n")
