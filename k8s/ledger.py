"""The ledger: one record for every transition, each holding the hash of the one before it.

In the cluster a record is an immutable ConfigMap whose name is its number: it cannot be changed,
and of two who write number 7 one is told that it is there. The controller may create them, never
update or delete.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from k8s.errors import BrokenLedger
from k8s.road import Road, Transition, render_status
from k8s.road.wire import time_of

GENESIS: Final = "0" * 64
"""What stands before the first record."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the book; `body` is plain JSON values."""

    number: int
    previous: str
    body: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 over number, previous hash and body, in one canonical form."""
        whole = {"number": self.number, "previous": self.previous, "body": self.body}
        return hashlib.sha256(_canonical(whole).encode()).hexdigest()

    def line(self) -> str:
        """As it is kept and exported."""
        return _canonical(
            {
                "number": self.number,
                "previous": self.previous,
                "body": self.body,
                "hash": self.hash,
            }
        )


def read(line: str) -> Record:
    """Raises BrokenLedger where the record is not what its hash says."""
    try:
        plain = json.loads(line)
        record = Record(plain["number"], plain["previous"], plain["body"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenLedger("a record of the ledger cannot be read") from error
    if type(record.number) is not int:  # a bool is none
        raise BrokenLedger(f"a record of the ledger has no number but {record.number!r}")
    if plain.get("hash") != record.hash:
        raise BrokenLedger(f"record {record.number} was changed after it was written")
    return record


def verify(records: Sequence[Record]) -> None:
    """Raises BrokenLedger at the first record that is missing or does not follow."""
    previous = GENESIS
    for number, record in enumerate(records, start=1):
        if record.number != number:
            raise BrokenLedger(f"record {number} is missing")
        if record.previous != previous:
            raise BrokenLedger(f"record {number} does not follow record {number - 1}")
        previous = record.hash


def book(lines: Iterable[str]) -> tuple[list[Record], list[str]]:
    """Records that can be read, in order, and what is wrong with the others."""
    records, faults = [], []
    for line in lines:
        try:
            records.append(read(line))
        except BrokenLedger as fault:
            faults.append(fault.message)
    return sorted(records, key=lambda record: record.number), faults


def told(records: Sequence[Record], road: Road) -> int:
    """The last transition of this very road that is written down; 0 for none."""
    return max((e.body["transition"] for e in records if e.body["uid"] == road.uid), default=0)


def complete(records: Sequence[Record], road: Road) -> None:
    """Raises BrokenLedger where the last records are missing: who cuts the end breaks no chain."""
    last = told(records, road)
    if last < road.status.transitions:
        raise BrokenLedger(
            f"the ledger ends at transition {last} of {road.status.transitions}: its last records "
            "were taken away, or no controller has written them yet"
        )


def faults(records: Sequence[Record], road: Road) -> list[str]:
    """What is wrong with the whole, in words."""
    found = []
    for check in (partial(verify, records), partial(complete, records, road)):
        try:
            check()
        except BrokenLedger as fault:
            found.append(fault.message)
    return found


def missing(road: Road, head: Record | None) -> Iterable[Record]:
    """Records of transitions that the status tells of and the ledger does not, in order.

    The book goes on where a road of the same name was made anew.
    """
    number, previous = (head.number, head.hash) if head else (0, GENESIS)
    same = head is not None and head.body["uid"] == road.uid
    written = head.body["transition"] if head and same else 0
    for transition in road.status.history:
        if transition.number > written:
            record = Record(number + 1, previous, _body(road, transition))
            number, previous = record.number, record.hash
            yield record


def _body(road: Road, transition: Transition) -> dict[str, Any]:
    """Who released what, with which digests, on which verdicts."""
    version = road.spec.version(transition.version)
    latest = transition.number == road.status.transitions
    return {
        "road": f"{road.namespace}/{road.name}",
        "uid": road.uid,
        "transition": transition.number,
        "at": time_of(transition.at),
        "event": transition.event,
        "from": str(transition.source),
        "to": str(transition.target),
        "version": transition.version,
        "step": transition.step or "",
        "by": transition.by,
        "message": transition.message,
        "generation": transition.generation,
        "modelDigest": version.model_digest if version else "",
        "imageDigest": version.image_digest if version else "",
        "chartVersion": version.chart_version if version else "",
        "configDigest": version.config_digest if version else "",
        **(_numbers(road) if latest else {}),
    }


def _numbers(road: Road) -> dict[str, Any]:
    """What only the latest transition can be told with: traffic, verdicts, evaluation."""
    status = render_status(road.status)
    return {
        "weights": status["weights"],
        "verdicts": status["decidedOn"],
        "evaluationDigest": road.status.evaluation_digest,
    }


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
