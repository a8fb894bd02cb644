"""ChatGLM2's own way: numbered rounds of plain text, one after the other in one text.

It has no control tokens for roles: what a user writes can look like another round.
"""

from collections.abc import Iterator, Mapping

from serve_app.engine.dialects.chatglm3 import PREFIX
from serve_app.engine.dialects.prompt import Part, offered
from serve_app.engine.dialects.slots import check_unicode
from serve_app.errors import InvalidRequest
from serve_app.messages import ChatRequest, Ending, Message, Role


class ChatGlm2Prompt:
    """Spells conversations in which users ask and the assistant answers.

    What a system message says stands at the beginning of the next question.
    """

    def __init__(self, control: Mapping[str, int]) -> None:
        self._prefix = [control[word] for word in PREFIX]

    def parts(self, request: ChatRequest) -> Iterator[Part]:
        """Yield the prompt; raises InvalidRequest for what cannot be spelt."""
        if offered(request):
            raise InvalidRequest("This model cannot call tools.", "tools")
        if request.ending is not Ending.ANSWER:
            raise InvalidRequest(
                "This model's prompts end where an answer begins; leave 'add_generation_prompt' and"
                " 'continue_final_message' out.",
                "messages",
            )
        if request.messages[-1].role is not Role.USER:
            raise InvalidRequest("For this model the last message must be a user's.", "messages")
        yield from self._prefix
        yield "".join(_rounds(request.messages))


def _rounds(messages: tuple[Message, ...]) -> Iterator[str]:
    asked, before = 0, ""
    for number, message in enumerate(messages):
        check_unicode(message.content, f"messages[{number}].content")
        match message.role:
            case Role.SYSTEM:
                before += message.content
            case Role.USER:
                asked += 1
                yield f"[Round {asked}]\n\n问：{before}{message.content}\n\n答："
                before = ""
            case Role.ASSISTANT if asked and not message.tool_calls:
                yield f"{message.content}\n\n"
            case _:
                raise InvalidRequest(
                    "This model knows questions and answers to them, nothing else.",
                    f"messages[{number}]",
                )
