"""How a prompt is treated, and what goes back beside the answer: vLLM's names."""

from typing import Annotated

from pydantic import Field, StringConstraints

from serve_app.ingress.wire.strict import Wire
from serve_app.messages import Handling


class HandlingFields(Wire):
    """What every kind of text request may say about its prompt."""

    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    cache_salt: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = ""
    return_token_ids: bool = False
    speculation: bool | None = None


def handling(fields: HandlingFields) -> Handling:
    """0 tokens are all, as in vLLM."""
    return Handling(
        fields.truncate_prompt_tokens or None,
        fields.cache_salt,
        fields.return_token_ids,
        fields.speculation,
    )
