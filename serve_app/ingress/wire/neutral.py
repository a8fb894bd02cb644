"""Fields that say nothing here, or of which only the values that change nothing are taken."""

from typing import Annotated, Any

from serve_app.ingress.wire.strict import Wire, only


class Neutral(Wire):
    """Of every kind of text request."""

    detokenize: Annotated[Any, only(True)] = None
    use_beam_search: Annotated[Any, only(False)] = None
    length_penalty: Annotated[Any, only(1)] = None
    early_stopping: Annotated[Any, only(False)] = None
    logits_processors: Annotated[Any, only([])] = None
    prompt_embeds: Annotated[Any, only()] = None
    kv_transfer_params: Annotated[Any, only({})] = None
    vllm_xargs: Annotated[Any, only({})] = None
    spaces_between_special_tokens: bool = True  # a byte-level decoder puts none there
    truncation_side: Annotated[Any, only("left")] = None
    watermarking: Annotated[Any, only(False)] = None
    repetition_detection: Annotated[Any, only()] = None
    thinking_token_budget: Annotated[Any, only(-1)] = None
    logprob_token_ids: Annotated[Any, only()] = None
    stream_interval: Any = None  # the server itself puts together what comes at once
    session_id: Any = None
    user: Any = None


class NeutralInChat(Neutral):
    """Of a chat."""

    chat_template: Annotated[Any, only()] = None
    documents: Annotated[Any, only([])] = None
    add_special_tokens: Annotated[Any, only(False)] = None
    mm_processor_kwargs: Annotated[Any, only({})] = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    modalities: Annotated[Any, only(["text"])] = None
    audio: Annotated[Any, only()] = None
    prediction: Annotated[Any, only()] = None
    web_search_options: Annotated[Any, only()] = None
    verbosity: Annotated[Any, only("medium")] = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
