"""A runner whose steps can be seen on the card's own clock."""

import torch

from serve_app.engine.batch import Batch
from serve_app.engine.flight import Flight, Runner

Mark = tuple[torch.cuda.Event, torch.cuda.Event]


class Marked:
    """Marks on the card where each step begins and ends."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.marks: list[Mark] = []

    def begin(self, batch: Batch) -> Flight:
        mark = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        mark[0].record()
        flight = self._runner.begin(batch)
        mark[1].record()
        self.marks.append(mark)
        return flight

    def steps_ms(self) -> list[float]:
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in self.marks]

    def gaps_ms(self) -> list[float]:
        """Milliseconds for which the card had nothing to do, before each step but the first."""
        torch.cuda.synchronize()
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [end.elapsed_time(begin) for (_, end), (begin, _) in pairs]

    @property
    def whole_ms(self) -> float:
        return self.marks[0][0].elapsed_time(self.marks[-1][1])
