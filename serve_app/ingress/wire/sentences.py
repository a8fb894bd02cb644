"""What a field must be, in words: the sentence for a request that breaks the public format."""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from serve_app.errors import InvalidRequest

_LATER = "is not supported yet"
_INT64 = "a whole number from -9223372036854775808 to 9223372036854775807"

_TOKENS = "a whole number of at least 1 that fits the model's context"
_NAME = "1 to 64 letters, digits, underscores or hyphens"
_SHAPE = "an object that is a JSON schema"
_PENALTY = "a number from -2 to 2"
_ALTERNATIVES = "a whole number from 0 to 20"
_FLAG = "true or false"
_REGEX = "a regular expression, as a string that is not empty"
_GRAMMAR = "a grammar in Lark or GBNF, as a string that is not empty"
_SPACES = "blanks between parts of JSON are the model's to choose"
_TAGS = "structural tags are not supported yet"
_CHOICES = "a list of 1 to 1024 strings that are not empty"

MUST_BE: Mapping[str, str] = {
    "model": "the name of a model; GET /v1/models lists them",
    # The conversation.
    "messages": "a list of at least one message",
    "messages[]": "an object with 'role' and 'content'",
    "messages[].role": "one of system, developer, user, assistant and tool",
    "messages[].content": "a string or a list of at least one text part",
    "messages[].content[]": 'an object like {"type": "text", "text": "..."}',
    "messages[].content[].type": f"text; other content {_LATER}",
    "messages[].content[].text": "a string",
    "messages[].reasoning_content": "a string",
    "messages[].reasoning": "a string",
    "messages[].tool_calls": "a list of up to 128 calls",
    "messages[].tool_calls[]": "an object with 'id', 'type' and 'function'",
    "messages[].tool_calls[].id": "a string",
    "messages[].tool_calls[].type": "function",
    "messages[].tool_calls[].function": "an object with 'name' and 'arguments'",
    "messages[].tool_calls[].function.name": _NAME,
    "messages[].tool_calls[].function.arguments": "a string, the text of a JSON object",
    "messages[].tool_call_id": "a string, the id of the call that is answered",
    "messages[].function_call": "left out; it is deprecated, use 'tool_calls'",
    "messages[].audio": f"left out; audio {_LATER}",
    "prompt": "a text, a list of texts, a list of token ids or a list of such lists, none empty",
    "suffix": f"left out; filling in before a suffix {_LATER}",
    "echo": _FLAG,
    "best_of": "left out, 1 or the same as 'n'",
    "add_generation_prompt": _FLAG,
    "continue_final_message": _FLAG,
    "truncate_prompt_tokens": "a whole number of at least 1, or -1 for as many tokens as fit",
    "cache_salt": "a string of 1 to 1024 characters",
    "return_token_ids": _FLAG,
    "speculation": _FLAG,
    "request_id": "1 to 64 letters, digits, dots, underscores or hyphens",
    # How the answer travels.
    "stream": _FLAG,
    "stream_options": "an object with 'include_usage'",
    "stream_options.include_usage": _FLAG,
    "stream_options.continuous_usage_stats": _FLAG,
    "priority": "a whole number; lower goes first",
    # How tokens are chosen.
    "temperature": "a number from 0 to 2",
    "top_p": "a number above 0 and at most 1",
    "top_k": "a whole number of at least 1, or 0 or -1 for all",
    "min_p": "a number from 0 to 1",
    "repetition_penalty": "a number above 0; 1 changes nothing",
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "logit_bias": "an object of up to 1024 token ids, as strings, with numbers from -100 to 100",
    "seed": _INT64,
    "n": "a whole number of at least 1",
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "min_tokens": "a whole number of at least 0",
    "ignore_eos": _FLAG,
    "stop": "a string or a list of up to 4, each of 1 to 1024 characters",
    "stop[]": "a string of 1 to 1024 characters",
    "stop_token_ids": "a list of up to 64 token ids",
    "stop_token_ids[]": "a token id, a whole number of at least 0",
    "bad_words": "a string or a list of up to 128, each of 1 to 256 characters",
    "bad_words[]": "a string of 1 to 256 characters",
    "allowed_token_ids": "a list of 1 to 16384 token ids",
    "allowed_token_ids[]": "a token id, a whole number of at least 0",
    "include_stop_str_in_output": _FLAG,
    "skip_special_tokens": _FLAG,
    "prompt_logprobs": _ALTERNATIVES,
    "top_logprobs": _ALTERNATIVES,
    # Tools.
    "tools": "a list of up to 128 tools",
    "tools[]": "an object with 'type' and 'function'",
    "tools[].type": "function",
    "tools[].function": "an object with 'name', 'description' and 'parameters'",
    "tools[].function.name": _NAME,
    "tools[].function.description": "a string",
    "tools[].function.parameters": _SHAPE,
    "tools[].function.strict": _FLAG,
    "tool_choice": (
        'none, auto, required, {"type": "function", "function": {"name": "..."}} or'
        ' {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [...]}}'
    ),
    "parallel_tool_calls": _FLAG,
    "functions": "left out or []; it is deprecated, use 'tools'",
    "function_call": "left out, none or auto; it is deprecated, use 'tool_choice'",
    # The shape of the answer.
    "response_format": "an object with 'type'",
    "response_format.type": "one of text, json_object and json_schema",
    "response_format.json_schema": "an object with 'name' and 'schema'",
    "response_format.json_schema.name": _NAME,
    "response_format.json_schema.schema": _SHAPE,
    "response_format.json_schema.strict": _FLAG,
    "structured_outputs": (
        "an object with one of 'json', 'json_object', 'regex', 'choice' and 'grammar'"
    ),
    "structured_outputs.grammar": _GRAMMAR,
    "structured_outputs.disable_any_whitespace": f"left out or false; {_SPACES}",
    "structured_outputs.disable_additional_properties": (
        "left out or false; say 'additionalProperties': false in the schema"
    ),
    "structured_outputs.whitespace_pattern": f"left out; {_SPACES}",
    "structured_outputs.structural_tag": f"left out; {_TAGS}",
    "structural_tag": f"left out; {_TAGS}",
    "structured_outputs.json": f"{_SHAPE}, or its text",
    "structured_outputs.json_object": _FLAG,
    "structured_outputs.regex": _REGEX,
    "structured_outputs.choice": _CHOICES,
    "structured_outputs.choice[]": "a string that is not empty",
    "guided_json": f"{_SHAPE}, or its text",
    "guided_regex": _REGEX,
    "guided_choice": _CHOICES,
    "guided_choice[]": "a string that is not empty",
    "guided_grammar": _GRAMMAR,
    "guided_whitespace_pattern": f"left out; {_SPACES}",
    # Thinking.
    "chat_template_kwargs": "an object with 'enable_thinking'",
    "chat_template_kwargs.enable_thinking": _FLAG,
    "reasoning_effort": "one of none, minimal, low, medium, high, xhigh and max",
    "thinking": 'an object like {"type": "enabled"}',
    "thinking.type": "enabled or disabled",
    # POST /tokenize and /detokenize.
    "tokens": "a list of at least one token id",
    "tokens[]": "a token id, a whole number of at least 0",
    "add_special_tokens": "left out or false; the chat template writes them itself",
    "return_token_strs": _FLAG,
    # Only what changes nothing.
    "detokenize": "left out or true; 'return_token_ids' tells the tokens too",
    "use_beam_search": f"left out or false; beam search {_LATER}",
    "length_penalty": f"left out or 1; beam search {_LATER}",
    "early_stopping": f"left out or false; beam search {_LATER}",
    "logits_processors": "left out; code of a caller's is never run",
    "prompt_embeds": f"left out; a prompt of embeddings {_LATER}",
    "kv_transfer_params": f"left out; moving caches between servers {_LATER}",
    "truncation_side": "left out or left; of a longer prompt the last tokens are read",
    "watermarking": "left out or false; marks in a text are not made",
    "repetition_detection": "left out; say 'repetition_penalty' or 'max_tokens' instead",
    "thinking_token_budget": "left out or -1; thoughts end where the model ends them",
    "logprob_token_ids": "left out; 'logprobs' tells the likeliest tokens",
    "vllm_xargs": "left out; there are no plug-ins that would read it",
    "return_tokens_as_token_ids": _FLAG,
    "spaces_between_special_tokens": _FLAG,
    "chat_template": "left out; the model's own is used, for a template is a program",
    "documents": "left out; GLM's templates have no place for them, put them into a message",
    "mm_processor_kwargs": f"left out; other content than text {_LATER}",
    "include_reasoning": _FLAG,
    "modalities": f'left out or ["text"]; anything but text {_LATER}',
    "audio": f"left out; audio {_LATER}",
    "prediction": f"left out; a predicted output {_LATER}",
    "web_search_options": f"left out; searching the web {_LATER}",
    "verbosity": f"left out or medium; another length {_LATER}",
}
"""By path, list positions left empty."""

_LONGEST_NAME = 64  # of a field nobody knows: enough to find it, too little to echo a text


def refusal(error: ValidationError, special: Mapping[str, str] | None = None) -> InvalidRequest:
    """The first fault as a sentence that says what to change; no value is quoted.

    `special` has the rows that one kind of request words in its own way.
    """
    fault = error.errors(include_url=False, include_input=False)[0]
    path = fault["loc"]
    if not path:
        return InvalidRequest("The body must be a JSON object.")
    param = _join(_shown(step) for step in path)
    if fault["type"] == "extra_forbidden":
        return InvalidRequest(f"'{param}' is not a known field; leave it out.", param)
    row = _join("[]" if isinstance(step, int) else f".{step}" for step in path)
    wanted = (special or {}).get(row) or MUST_BE[row]
    return InvalidRequest(f"'{param}' must be {wanted}.", param)


def _shown(step: str | int) -> str:
    """A step of a path as OpenAI writes it: messages[2].content."""
    if isinstance(step, int):
        return f"[{step}]"
    name = "".join(letter if _is_plain(letter) else "?" for letter in step[:_LONGEST_NAME])
    return f".{name}"


def _is_plain(letter: str) -> bool:
    """A quote would end the name in the sentence."""
    return letter.isprintable() and letter != "'"


def _join(steps: Iterable[str]) -> str:
    return "".join(steps).removeprefix(".")
