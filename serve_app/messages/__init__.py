"""Values that pass through the doors between rooms: frozen, picklable, standard library only."""

from serve_app.messages.conversation import Message, Role, Tool, ToolCall, ToolChoice, ToolMode
from serve_app.messages.events import (
    UNKNOWN,
    Chance,
    Channel,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Queued,
    Spelt,
    Times,
    TokenChances,
    ToolDelta,
    Usage,
)
from serve_app.messages.refusals import OPENING, refuses
from serve_app.messages.reports import EngineStats, LaneStats, ModelCard, Serving
from serve_app.messages.requests import (
    Caller,
    ChatRequest,
    CompletionRequest,
    Ending,
    Handling,
    Request,
    Urgency,
)
from serve_app.messages.sampling import HOTTEST, Sampling, Structure, StructureKind
from serve_app.messages.texts import texts
from serve_app.messages.verdicts import ALLOWED, Action, Side, Verdict

__all__ = [
    "ALLOWED",
    "HOTTEST",
    "OPENING",
    "UNKNOWN",
    "Action",
    "Caller",
    "Chance",
    "Channel",
    "ChatRequest",
    "CompletionRequest",
    "Delta",
    "Echo",
    "Ending",
    "EngineStats",
    "Event",
    "Finish",
    "FinishReason",
    "Handling",
    "LaneStats",
    "Message",
    "ModelCard",
    "Queued",
    "Request",
    "Role",
    "Sampling",
    "Serving",
    "Side",
    "Spelt",
    "Structure",
    "StructureKind",
    "Times",
    "TokenChances",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolDelta",
    "ToolMode",
    "Urgency",
    "Usage",
    "Verdict",
    "refuses",
    "texts",
]
