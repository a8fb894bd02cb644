"""The ledger: whole, in order, and shown when it is not."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s import ledger
from k8s.errors import BrokenLedger
from k8s.ledger import Record, complete, missing, read, verify
from k8s.road import Outcome, Verdict
from tests.release.roads import Walk, digest_of


def records(walk: Walk) -> list[Record]:
    return list(missing(walk.road, None))


def test_a_release_is_written_down_step_by_step() -> None:
    book = records(Walk(requested_by="pipeline 7").to("canary-10"))
    verify(book)
    assert [each.body["step"] for each in book] == [
        "",
        "evaluate",
        "mirror",
        "canary-1",
        "canary-10",
    ]
    assert book[-1].body["by"] == "pipeline 7"
    assert book[-1].body["modelDigest"] == digest_of("v2")
    assert book[-1].body["weights"] == [
        {"version": "v1", "weight": 90},
        {"version": "v2", "weight": 10},
    ]


def test_a_record_that_comes_late_tells_the_verdicts_of_its_own_step() -> None:
    walk = Walk().to("canary-10")
    at_once = records(walk)[-1]
    walk.look((Verdict(check="samples", outcome=Outcome.WAIT, message="5 of 100 requests"),))
    assert at_once.body["verdicts"]
    assert records(walk)[-1].body["verdicts"] == at_once.body["verdicts"]


def test_what_is_written_is_not_written_again() -> None:
    walk = Walk().to("mirror")
    book = records(walk)
    assert list(missing(walk.road, book[-1])) == []
    walk.to("canary-1")
    more = list(missing(walk.road, book[-1]))
    verify([*book, *more])


def test_the_book_goes_on_when_a_road_is_made_anew() -> None:
    old = records(Walk().to("mirror"))
    walk = Walk()
    walk.road = replace(walk.road, uid="another")
    walk.to("evaluate")
    verify([*old, *missing(walk.road, old[-1])])


def test_a_record_is_read_as_it_was_written() -> None:
    for record in records(Walk().to("canary-1")):
        assert read(record.line()) == record


@given(st.integers(0, 10_000), st.sampled_from("0123456789abcdefghijklmnop"))
def test_no_character_of_a_record_can_be_changed_unseen(place: int, other: str) -> None:
    line = records(Walk().to("canary-1"))[-1].line()
    place %= len(line)
    changed = line[:place] + other + line[place + 1 :]
    if json_of(changed) != json_of(line):
        with pytest.raises(BrokenLedger):
            read(changed)


def json_of(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("number", ["3", 3.0, True, None])
def test_a_record_whose_number_is_none_is_told_of_though_its_hash_is_right(number: Any) -> None:
    whole = records(Walk().to("canary-1"))
    forged = replace(whole[2], number=number).line()
    kept, faults = ledger.book([*(each.line() for each in whole[:2]), forged])
    assert kept == whole[:2]
    assert faults == [f"a record of the ledger has no number but {number!r}"]


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_a_missing_record_is_found(lost: int) -> None:
    book = records(Walk().to("canary-10"))
    del book[lost]
    with pytest.raises(BrokenLedger, match=f"record {lost + 1}"):
        verify(book)


def test_a_record_that_was_written_anew_does_not_fit() -> None:
    book = records(Walk().to("canary-1"))
    book[1] = replace(book[1], body={**book[1].body, "by": "nobody"})
    with pytest.raises(BrokenLedger, match="record 3 does not follow"):
        verify(book)


def test_an_end_that_was_cut_off_is_seen_though_the_chain_holds() -> None:
    walk = Walk().to("canary-10")
    book = records(walk)
    complete(book, walk.road)
    verify(book[:-1])
    with pytest.raises(BrokenLedger, match="ends at transition 4 of 5"):
        complete(book[:-1], walk.road)
