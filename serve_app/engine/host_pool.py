"""Which pages lie in the host's memory: those that the device had no room for any more.

A page evicted from the device goes to a slot here and is found by the same hash; the longest unused
one gives way. What comes back to the device stays here too, so that it need not be put away again.
Books alone: who moves bytes is told by `Moves`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum


class Slot(StrEnum):
    """Where a slot stands."""

    FREE = "free"
    ARRIVING = "arriving"  # a step under way puts a page here; nobody finds it yet
    KEPT = "kept"  # found by its hash; gives way to what comes
    READ = "read"  # likewise, but stays as it is: somebody is to get it back


TRANSITIONS: Mapping[Slot, frozenset[Slot]] = {
    Slot.FREE: frozenset({Slot.ARRIVING}),
    Slot.ARRIVING: frozenset({Slot.KEPT, Slot.FREE}),  # FREE: its step failed
    Slot.KEPT: frozenset({Slot.READ, Slot.FREE}),
    Slot.READ: frozenset({Slot.READ, Slot.KEPT, Slot.FREE}),  # FREE: forgotten meanwhile
}


class HostPool:
    """The slots of one host, by number; holds no tensors."""

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.stored = 0  # pages that came here, in all
        self._free = list(range(total - 1, -1, -1))
        self._states = [Slot.FREE] * total
        self._readers = [0] * total
        self._slot_of: OrderedDict[bytes, int] = OrderedDict()  # kept and read; oldest first
        self._arriving: dict[bytes, int] = {}
        self._key_of: dict[int, bytes] = {}  # no key: forgotten, or free
        self._planned: list[tuple[int, int]] = []

    @property
    def used(self) -> int:
        return self.total - len(self._free)

    def store(self, key: bytes, page: int) -> None:
        """Plan to put a page away before its next owner writes to it, if a slot can be had."""
        if key in self._slot_of:
            self._slot_of.move_to_end(key)
        elif self.total and key not in self._arriving and self._make_room():
            slot = self._free.pop()
            self._move(slot, Slot.ARRIVING)
            self._arriving[key], self._key_of[slot] = slot, key
            self._planned.append((page, slot))

    def planned(self) -> tuple[tuple[int, int], ...]:
        """Pages and their slots, told once."""
        planned, self._planned = tuple(self._planned), []
        return planned

    def arrived(self, slots: Iterable[int]) -> None:
        """What was planned is done."""
        for slot in slots:
            key = self._key_of.get(slot)
            if key is None:
                self._free_up(slot)
                continue
            self._move(slot, Slot.KEPT)
            self._slot_of[key] = self._arriving.pop(key)
            self.stored += 1

    def lost(self, slots: Iterable[int]) -> None:
        """What was planned failed."""
        for slot in slots:
            self._arriving.pop(self._key_of.get(slot, b""), None)
            self._free_up(slot)

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """Slots of the longest known beginning of a chain; asks no further."""
        slots: list[int] = []
        for key in hashes:
            slot = self._slot_of.get(key)
            if slot is None:
                break
            slots.append(slot)
        return slots

    def read(self, slots: Sequence[int]) -> None:
        """Hold slots until they are `done`; the beginning of a chain lives longest."""
        for slot in reversed(slots):
            self._move(slot, Slot.READ)
            self._readers[slot] += 1
            self._slot_of.move_to_end(self._key_of[slot])

    def done(self, slots: Iterable[int]) -> None:
        """Let go of slots that were read, or need not be any more."""
        for slot in slots:
            self._readers[slot] -= 1
            if self._readers[slot]:
                continue
            if slot in self._key_of:
                self._move(slot, Slot.KEPT)
            else:
                self._free_up(slot)

    def forget(self, key: bytes) -> None:
        """Let a page be found no more; who reads it goes on."""
        slot = self._slot_of.pop(key, None)
        if slot is None:
            slot = self._arriving.pop(key, None)
        if slot is not None:
            del self._key_of[slot]
            if self._states[slot] is Slot.KEPT:
                self._free_up(slot)

    def distrust(self, slots: Iterable[int]) -> None:
        """Forget what lies in some slots: it could not be brought back."""
        for slot in slots:
            key = self._key_of.get(slot)
            if key is not None:
                self.forget(key)

    def check(self) -> None:
        """Raise RuntimeError unless every slot is in exactly one place."""
        found = {*self._slot_of.values(), *self._arriving.values()}
        free = {slot for slot, state in enumerate(self._states) if state is Slot.FREE}
        read = {slot for slot, state in enumerate(self._states) if state is Slot.READ}
        keys = {**self._slot_of, **self._arriving}
        sound = (
            sorted(self._free) == sorted(free)
            and not free & found
            and len(found) == len(keys) == len(self._key_of)
            and all(self._key_of[slot] == key for key, slot in keys.items())
            and read == {slot for slot, readers in enumerate(self._readers) if readers > 0}
            and min(self._readers, default=0) >= 0
        )
        if not sound:
            raise RuntimeError("The books of the host's pages do not balance.")

    def _make_room(self) -> bool:
        """Let the longest unused slot give way, if none is free and one can."""
        if not self._free:
            kept = (key for key, slot in self._slot_of.items() if self._is(slot, Slot.KEPT))
            oldest = next(kept, None)
            if oldest is not None:
                self.forget(oldest)
        return bool(self._free)

    def _is(self, slot: int, state: Slot) -> bool:
        return self._states[slot] is state

    def _free_up(self, slot: int) -> None:
        self._key_of.pop(slot, None)
        self._move(slot, Slot.FREE)
        self._free.append(slot)

    def _move(self, slot: int, state: Slot) -> None:
        """Raise ValueError, and change nothing, if the table forbids it."""
        if state not in TRANSITIONS[self._states[slot]]:
            raise ValueError(f"A slot cannot go from {self._states[slot]} to {state}.")
        self._states[slot] = state
