"""One look at one road: observe, decide, write the status, then act.

The status is written before anything is done, and every act follows from the status alone. So a
controller that dies between the two leaves a road that the next look brings in line: the acts are
repeated, never skipped. The route is read before the road: who then writes it from an outdated
status is refused by the API server, for the route has changed since it was read.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from k8s import faults
from k8s.checks import Facts
from k8s.clocks import Clocks, Look, jump
from k8s.decide import decide
from k8s.errors import BadRoad
from k8s.faults import Fault
from k8s.gates import judge
from k8s.ledger import Record, missing
from k8s.phases import thresholds_of
from k8s.reports import Summary, counts
from k8s.road import Phase, Road, Status, Step, Transition, Verdict
from k8s.road.route import is_taken, named, render_route
from k8s.rules import Observed
from k8s.sampler import Reading, Sampler
from k8s.samples import NOTHING
from k8s.world import World


@dataclass
class _Memory:
    """What a controller knows of a road beyond its status; it may be lost at any time."""

    uid: str
    sampler: Sampler
    look: Look | None = None
    recorded: int = 0  # the last transition that is in the ledger
    head: Record | None = None  # the ledger's last record, as far as this controller wrote it
    told: int | None = None  # the number of the last transition that was told
    route: Mapping[str, Any] | None = None  # the spec that was last seen or written


class Controller:
    """Reconciles roads, one look at a time."""

    def __init__(
        self,
        world: World,
        new_sampler: Callable[[], Sampler],
        clocks: Clocks,
        fault: Fault = faults.none,
    ) -> None:
        self._world = world
        self._clocks = clocks
        self._fault = fault
        self._new_sampler = new_sampler
        self._memories: dict[str, _Memory] = {}

    def reconcile(self, name: str) -> Road | None:
        """Bring one road a step further at most; None when it is gone."""
        live = self._world.route(name)
        road = self._world.road(name)
        if road is None:
            self._memories.pop(name, None)
            return None
        memory = self._remembered(road)
        ready = self._world.ready(named(road))
        look = self._clocks.look()
        routed = None if live is None else is_taken(live)
        observed = Observed(
            road=road, ready=ready, now=look.wall, routed=routed, jump=jump(memory.look, look)
        )
        decided = self._decided(observed, memory, look)
        moved = decided.transitions > road.status.transitions
        if decided != road.status:
            road = self._world.write_status(road, decided)
        memory.look = look
        self._at("status-written", road, moved=moved)
        self._route(road, ready, live, memory)
        self._at("route-written", road, moved=moved)
        self._record(road, memory)
        self._at("recorded", road, moved=moved)
        self._tell(road, memory)
        return road

    def _remembered(self, road: Road) -> _Memory:
        """Of this very road: one that was made anew under the same name begins anew."""
        memory = self._memories.get(road.name)
        if memory is None or memory.uid != road.uid:
            memory = self._memories[road.name] = _Memory(road.uid, self._new_sampler())
        return memory

    def _at(self, act: str, road: Road, *, moved: bool) -> None:
        if moved:
            self._fault(f"{road.status.phase}:{act}")

    def _decided(self, observed: Observed, memory: _Memory, look: Look) -> Status:
        """Ways back are looked for first: they wait for no report, no pods and no numbers."""
        urgent = decide(observed)
        if urgent.transitions > observed.status.transitions:
            return urgent
        summary = self._summary(observed.road)
        report = self._report(observed, memory, look, summary)
        digest = summary.digest if summary else ""
        return decide(replace(observed, report=report, evaluation_digest=digest))

    def _summary(self, road: Road) -> Summary | None:
        """Of this attempt and these very models; any other under the same name is none."""
        if road.status.phase is not Phase.EVALUATING or road.status.candidate is None:
            return None
        try:
            summary = self._world.summary(road.status.candidate)
        except BadRoad:
            return None  # what cannot be read is no report; the deadline ends the waiting
        return summary if summary and counts(summary, road) else None

    def _report(
        self, observed: Observed, memory: _Memory, look: Look, summary: Summary | None
    ) -> Sequence[Verdict] | None:
        """The gate's answer, where there is anything new to judge."""
        road, status = observed.road, observed.status
        step = status.current_step()
        if step is None or status.candidate is None or status.stable is None:
            return None
        evaluating = status.phase is Phase.EVALUATING
        reading = Reading() if evaluating else self._reading(observed, memory, look)
        if reading is None:
            return None
        facts = Facts(
            thresholds=thresholds_of(road.spec.policy, step),
            candidate=reading.samples.get(status.candidate, NOTHING),
            stable=reading.samples.get(status.stable, NOTHING),
            ready=observed.ready.get(status.candidate, 0),
            restarts=self._restarts(observed),
            evaluation=_evaluation(road, summary),
            scored=road.spec.policy.mirror.service is not None,
            looks=_looks(step, road),
            unseen=reading.unseen,
        )
        return judge(status.phase, facts)

    def _reading(self, observed: Observed, memory: _Memory, look: Look) -> Reading | None:
        status, started, policy = observed.status, observed.started_at, observed.spec.policy
        if status.candidate is None or status.stable is None or started is None:
            return None
        window_s = look.wall - started - policy.settle
        if window_s < 0:
            return None
        step = (status.transitions, status.step_started_at)
        versions = (status.stable, status.candidate)
        return memory.sampler.read(step, versions, window_s, policy.interval)

    def _restarts(self, observed: Observed) -> int:
        status, started = observed.status, observed.started_at
        if status.phase is Phase.EVALUATING or not (status.candidate and started):
            return 0
        return self._world.restarts(status.candidate, started)

    def _route(
        self, road: Road, ready: Mapping[str, int], live: Mapping[str, Any] | None, memory: _Memory
    ) -> None:
        wanted = render_route(road, ready.keys(), live)
        if wanted is None:
            return
        if live is None or live["spec"] != wanted["spec"]:
            self._world.write_route(wanted, live)
            if wanted["spec"] == memory.route:
                message = f"somebody changed the route of {road.name}; it follows the road again"
                self._world.note(road, "RouteRestored", message)
        memory.route = wanted["spec"]

    def _record(self, road: Road, memory: _Memory) -> None:
        if memory.recorded >= road.status.transitions:
            return
        head = memory.head or self._world.head(road.name)  # to read the whole book takes long
        for record in missing(road, head):
            if not self._world.append(road.name, record):
                memory.head = None  # another controller wrote there: the next look reads it
                return
            memory.head = record
        memory.recorded = road.status.transitions

    def _tell(self, road: Road, memory: _Memory) -> None:
        """What happened since; of what was before this controller, the last transition."""
        before = road.status.transitions - 1 if memory.told is None else memory.told
        for transition in road.status.history:
            if transition.number > before:
                self._world.tell(road, transition, warning=_is_warning(transition))
        memory.told = road.status.transitions


def _evaluation(road: Road, summary: Summary | None) -> Sequence[Verdict] | None:
    """None while a report is needed and missing."""
    if summary is not None:
        return summary.verdicts
    return None if road.spec.policy.evaluate.required else ()


def _looks(step: Step, road: Road) -> int:
    return math.ceil(step.deadline / max(road.spec.policy.interval, 1.0))


def _is_warning(transition: Transition) -> bool:
    return transition.target in {Phase.ROLLED_BACK, Phase.ABORTED}
