"""What a chat's prompt ends with, and what its answer begins with: vLLM's names."""

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import Wire
from serve_app.messages import Ending, Message, Role


class EndingFields(Wire):
    """What a chat may say about where its answer begins."""

    add_generation_prompt: bool | None = None
    continue_final_message: bool = False


def ending(fields: EndingFields) -> Ending:
    """Raises InvalidRequest where the answer would begin in two ways at once."""
    if not fields.continue_final_message:
        return Ending.NOTHING if fields.add_generation_prompt is False else Ending.ANSWER
    if fields.add_generation_prompt:
        raise InvalidRequest(
            "'continue_final_message' and 'add_generation_prompt' exclude each other; send one"
            " of them.",
            "continue_final_message",
        )
    return Ending.CONTINUED


_PUBLIC = {Role.OBSERVATION: "tool"}


def speaker(ends: Ending, last: Message) -> str:
    """Who answers, as vLLM says it: without a turn of its own, whoever spoke last."""
    if ends is Ending.ANSWER:
        return Role.ASSISTANT
    return _PUBLIC.get(last.role, last.role)
