"""What a field must be, in words: the sentence for a request that breaks the public format."""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from serve_app.errors import InvalidRequest

_LATER = "is not supported yet"
_INT64 = "a whole number from -9223372036854775808 to 9223372036854775807"

MUST_BE: Mapping[str, str] = {
    "model": "the name of a model; GET /v1/models lists them",
    "messages": "a list of at least one message",
    "messages[]": "an object with 'role' and 'content'",
    "messages[].role": "one of system, developer, user, assistant and tool",
    "messages[].content": "a string or a list of at least one text part",
    "messages[].content[]": 'an object like {"type": "text", "text": "..."}',
    "messages[].content[].type": f"text; other content {_LATER}",
    "messages[].content[].text": "a string",
    "messages[].tool_calls": f"left out or []; calling tools {_LATER}",
    "messages[].function_call": f"left out; calling functions {_LATER}",
    "messages[].audio": f"left out; audio {_LATER}",
    "stream": "true or false",
    "stream_options": "an object with 'include_usage'",
    "stream_options.include_usage": "true or false",
    "temperature": "a number from 0 to 2",
    "top_p": "a number above 0 and at most 1",
    "max_tokens": "a whole number of at least 1 that fits the model's context",
    "max_completion_tokens": "a whole number of at least 1 that fits the model's context",
    "stop": "a string or a list of up to 4, each of 1 to 1024 characters",
    "stop[]": "a string of 1 to 1024 characters",
    "seed": _INT64,
    "n": "1; ask again for another answer",
    "frequency_penalty": f"left out or 0; a penalty {_LATER}",
    "presence_penalty": f"left out or 0; a penalty {_LATER}",
    "logit_bias": f"left out or {{}}; a bias {_LATER}",
    "logprobs": f"left out or false; asking for probabilities {_LATER}",
    "top_logprobs": f"left out or 0; asking for probabilities {_LATER}",
    "tools": f"left out or []; calling tools {_LATER}",
    "tool_choice": f"left out, none or auto; calling tools {_LATER}",
    "functions": f"left out or []; calling functions {_LATER}",
    "function_call": f"left out, none or auto; calling functions {_LATER}",
    "response_format": f'left out or {{"type": "text"}}; a forced format {_LATER}',
    "modalities": f'left out or ["text"]; anything but text {_LATER}',
    "audio": f"left out; audio {_LATER}",
    "prediction": f"left out; a predicted output {_LATER}",
    "web_search_options": f"left out; searching the web {_LATER}",
    "reasoning_effort": f"left out or none; reasoning {_LATER}",
    "verbosity": f"left out or medium; another length {_LATER}",
}
"""By path, list positions left empty."""

_LONGEST_NAME = 64  # of a field nobody knows: enough to find it, too little to echo a text


def refusal(error: ValidationError) -> InvalidRequest:
    """The first fault as a sentence that says what to change; no value is quoted."""
    fault = error.errors(include_url=False, include_input=False)[0]
    path = fault["loc"]
    if not path:
        return InvalidRequest("The body must be a JSON object with 'model' and 'messages'.")
    param = _join(_shown(step) for step in path)
    if fault["type"] == "extra_forbidden":
        return InvalidRequest(f"'{param}' is not a known field; leave it out.", param)
    row = _join("[]" if isinstance(step, int) else f".{step}" for step in path)
    return InvalidRequest(f"'{param}' must be {MUST_BE[row]}.", param)


def _shown(step: str | int) -> str:
    """A step of a path as OpenAI writes it: messages[2].content."""
    if isinstance(step, int):
        return f"[{step}]"
    name = "".join(letter if letter.isprintable() else "?" for letter in step[:_LONGEST_NAME])
    return f".{name}"


def _join(steps: Iterable[str]) -> str:
    return "".join(steps).removeprefix(".")
