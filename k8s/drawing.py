"""The tables of a release, drawn for people: `python -m k8s.drawing docs/releases.md`.

Writes between the marks of that file; a test holds the file to the tables.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from pydantic.alias_generators import to_camel

from k8s.gates import GATES, HELD_TO, SCORED
from k8s.phases import TRANSITIONS, UNDER_A_HOLD, Event, plan_of
from k8s.road import UNDER_WAY, Phase, Policy, Thresholds
from k8s.road.wire import duration_of

_MARKED: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def road() -> Iterator[str]:
    """The picture: phases, and what leads from one to the next."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"  [*] --> {Phase.STABLE}"
    for source, moves in TRANSITIONS.items():
        together: dict[Phase, list[Event]] = defaultdict(list)
        for event, target in moves.items():
            together[target].append(event)
        for target, events in together.items():
            if source in UNDER_WAY or target is Phase.EVALUATING:
                yield f"  {source} --> {target}: {'<br/>'.join(events)}"
    yield "```"


def transitions() -> Iterator[str]:
    """The state table; an empty cell is no transition."""
    yield f"| event | under a hold | {' | '.join(Phase)} |"
    yield f"|---|---|{'---|' * len(Phase)}"
    for event in Event:
        cells = (TRANSITIONS[phase].get(event, "") for phase in Phase)
        held = "yes" if event in UNDER_A_HOLD else ""
        yield f"| {event} | {held} | {' | '.join(cells)} |"


def steps() -> Iterator[str]:
    """The plan of a release by the default policy."""
    yield "| step | phase | share of users | mirrored | at least | at most |"
    yield "|---|---|---|---|---|---|"
    for step in plan_of(Policy()):
        least, most = duration_of(step.duration), duration_of(step.deadline)
        shares = f"{step.weight} % | {step.mirror} %"
        yield f"| {step.name} | {step.phase} | {shares} | {least} | {most} |"


def gates() -> Iterator[str]:
    """Which checks stand in which gate, and by which threshold they judge."""
    columns = {str(phase): gate for phase, gate in GATES.items()} | {"Mirroring, scored": SCORED}
    named = {to: [check.name for check in gate] for to, gate in columns.items()}
    checks = dict.fromkeys(name for gate in named.values() for name in gate)
    yield f"| check | {' | '.join(columns)} | held to |"
    yield f"|---|{'---|' * len(columns)}---|"
    for check in checks:
        cells = ("yes" if check in gate else "" for gate in named.values())
        held_to = f"`{to_camel(HELD_TO[check])}`" if check in HELD_TO else ""
        yield f"| {check} | {' | '.join(cells)} | {held_to} |"


def thresholds() -> Iterator[str]:
    """What `policy.gates` may say, and what it says by itself."""
    yield "| `policy.gates` | default |"
    yield "|---|---|"
    for each in fields(Thresholds):
        value = "not asked" if each.default is None else each.default
        yield f"| `{to_camel(each.name)}` | {value} |"


DRAWINGS: Final = {each.__name__: each for each in (road, transitions, steps, gates, thresholds)}


def drawn(text: str) -> str:
    """The text with every drawing made anew."""

    def anew(found: re.Match[str]) -> str:
        lines = "\n".join(DRAWINGS[found[2]]())
        return f"{found[1]}{lines}\n{found[3]}"

    return _MARKED.sub(anew, text)


def main() -> None:
    """Draw in the files that are named."""
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(drawn(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
