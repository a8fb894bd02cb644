"""What the line looks like from inside and from the door: places, waits, when to come back."""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import tee

from serve_app.engine.forecast import Claim, Forecast
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence
from serve_app.messages import LaneStats, Queued


class Outlook:
    """Reads the roster and changes nothing in it."""

    def __init__(self, roster: Roster, forecast: Forecast) -> None:
        self._roster = roster
        self._forecast = forecast
        self._rooms: dict[tuple[int, int], float] = {}

    def lanes(self) -> tuple[LaneStats, ...]:
        """Who runs and who waits, by lane and by weight: tenants of one weight are a class."""
        running, waiting = (
            Counter((one.lane, one.weight) for one in state)
            for state in (self._roster.running, self._roster.waiting)
        )
        return tuple(
            LaneStats(lane, f"{weight:g}", running[lane, weight], waiting[lane, weight])
            for lane, weight in sorted(running | waiting)
        )

    def queued(self, sequence: Sequence) -> Queued | None:
        """Place and wait of a sequence, of its leader if it waits for that; None: it has begun."""
        sequence = sequence.leader if sequence.account is None and sequence.leader else sequence
        if sequence not in self._roster.waiting:
            return None
        for place, (begin, other) in enumerate(self._begins(sequence.lane)):
            if other is sequence:
                return Queued(place, begin)
        return None

    def forget(self) -> None:
        """What was told of room is out of date."""
        self._rooms.clear()

    def room_s(self, sequences: int, tokens: int) -> float:
        """Seconds until so many sequences and tokens have left the line, as told lately."""
        asked = max(0, sequences), max(0, tokens)
        if asked not in self._rooms:
            self._rooms[asked] = self._room_s(*asked)
        return self._rooms[asked]

    def _room_s(self, sequences: int, tokens: int) -> float:
        begin = 0.0
        for begin, sequence in merge(*map(self._begins, Lane), key=lambda pair: pair[0]):  # noqa: B007 - the last one counts
            sequences -= 1
            tokens -= sequence.load
            if sequences <= 0 and tokens <= 0:
                break
        return max(begin, self._forecast.step_s)

    def _begins(self, lane: Lane) -> Iterator[tuple[float, Sequence]]:
        """Seconds until each in a line begins, in the order of turns, if nobody else comes."""
        forecast, roster = self._forecast, self._roster
        pages_for = roster.limits.pages_for
        pace = forecast.short if lane is Lane.SHORT else forecast.long
        order, again = tee(roster.lines[lane].order(self._cost))
        free = roster.limits.max_running - len(roster.running)
        running = [self._held(one, lane) for one in roster.running]
        line = (Claim(one.load, _left(one), pages_for(len(one.tokens))) for one in again)
        available = roster.pages.blocks.available
        return zip(forecast.begins(pace, free, available, running, line), order, strict=True)

    def _held(self, sequence: Sequence, lane: Lane) -> Claim:
        """Prompts wait for those of their own lane alone, but for everybody's pages."""
        reads = sequence.lane is lane and sequence.pending > 1
        pages = len(sequence.pages) + sequence.promised
        return Claim(sequence.pending if reads else 0, _left(sequence), pages)

    def _cost(self, sequence: Sequence) -> float:
        return sequence.load + min(_left(sequence), self._forecast.answer_tokens)


def _left(sequence: Sequence) -> int:
    """Tokens its answer may yet have."""
    return sequence.max_tokens - sequence.completion_tokens
