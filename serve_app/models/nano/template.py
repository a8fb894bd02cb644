"""GLM-4's chat format: special tokens, the Jinja template shipped with the model, its Python twin.

A turn is its role token, a line feed and the content.  The assistant's turn ends where the next
turn opens: with `<|user|>`, or with `<|observation|>` after a tool call, whose content is the
tool's name, a line feed and its arguments as JSON.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from serve_app.messages import Message, Role

END_OF_TEXT = "<|endoftext|>"
PREFIX = ("[gMASK]", "<sop>")
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
END_TOKENS = (END_OF_TEXT, "<|user|>", "<|observation|>")

_TOOLS_TITLE = "# 可用工具"
_TOOLS_RULE = "在调用上述函数时，请使用 Json 格式表示调用的参数。"

CHAT_TEMPLATE = (
    "[gMASK]<sop>"
    "{% if tools %}<|system|>\n" + _TOOLS_TITLE + "{% for tool in tools %}"
    "{% set function = tool.function if tool.function is defined else tool %}"
    # In an expression, because a line feed after a tag is trimmed.
    "{{ '\n\n## ' + function.name }}\n\n{{ function | tojson(indent=4, ensure_ascii=False) }}"
    "\n" + _TOOLS_RULE + "{% endfor %}{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def role_token(role: Role) -> str:
    """What opens a turn of that role."""
    return f"<|{role.value}|>"


def render(messages: Iterable[Message]) -> str:
    """The prompt for the next answer, as the Jinja template writes it."""
    turns = "".join(f"{role_token(each.role)}\n{each.content}" for each in messages)
    return f"{''.join(PREFIX)}{turns}{role_token(Role.ASSISTANT)}\n"


def describe_tools(functions: Sequence[dict[str, Any]]) -> str:
    """The system message that offers tools, as the template writes it for `tools=`."""
    return _TOOLS_TITLE + "".join(map(_describe_tool, functions))


def _describe_tool(function: dict[str, Any]) -> str:
    schema = json.dumps(function, indent=4, ensure_ascii=False)
    return f"\n\n## {function['name']}\n\n{schema}\n{_TOOLS_RULE}"


def call(name: str, arguments: dict[str, Any]) -> str:
    """A tool call as the assistant writes it."""
    return f"{name}\n{json.dumps(arguments, ensure_ascii=False)}"
