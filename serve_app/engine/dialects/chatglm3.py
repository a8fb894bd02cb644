"""ChatGLM3's own way, for which its checkpoints have code instead of a template.

A turn is its role's token, a line with the metadata, and the content; each line is encoded apart,
as SentencePiece puts a blank before each text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from serve_app.engine.dialects.prompt import Part, offered
from serve_app.engine.dialects.pythonic import code_of
from serve_app.engine.dialects.slots import check_unicode
from serve_app.engine.dialects.spelling import call_param, function, json_object
from serve_app.messages import ChatRequest, Ending, Message, Role, Tool

PREFIX = ("[gMASK]", "sop")
TOOLS_TITLE = (
    "Answer the following questions as best as you can. You have access to the following tools:"
)


class ChatGlm3Prompt:
    """Spells conversations; there is no switch for thoughts, and earlier ones are left out."""

    def __init__(self, control: Mapping[str, int]) -> None:
        self._prefix = [control[word] for word in PREFIX]
        self._roles = {role: control[f"<|{role.value}|>"] for role in Role}

    def parts(self, request: ChatRequest) -> Iterator[Part]:
        """Yield the prompt; raises InvalidRequest for what cannot be spelt."""
        yield from self._prefix
        if tools := offered(request):
            yield from self._turn(Role.SYSTEM, _described(tools))
        for number, message in enumerate(request.messages):
            check_unicode(message.content, f"messages[{number}].content")
            yield from self._message(number, message)
        if request.ending is Ending.ANSWER:
            yield self._roles[Role.ASSISTANT]

    def _message(self, number: int, message: Message) -> Iterator[Part]:
        if message.content or not message.tool_calls:
            yield from self._turn(message.role, message.content)
        for place, call in enumerate(message.tool_calls):
            param = call_param(number, place)
            code = code_of(json_object(call.arguments, f"{param}.arguments"))
            check_unicode(call.name, f"{param}.name")
            check_unicode(code, f"{param}.arguments")
            yield from self._turn(message.role, code, metadata=call.name)

    def _turn(self, role: Role, content: str, metadata: str = "") -> Iterator[Part]:
        yield self._roles[role]
        yield f"{metadata}\n"
        yield content


def _described(tools: Sequence[Tool]) -> str:
    functions = [function(tool, number) for number, tool in enumerate(tools)]
    text = json.dumps(functions, indent=4, ensure_ascii=False)
    check_unicode(text, "tools")
    return f"{TOOLS_TITLE}\n{text}"
