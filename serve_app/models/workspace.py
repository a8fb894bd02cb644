"""What a step of the engine takes beside weights and KV cache, at its largest."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from serve_app.models.plan import WORKSPACE_BYTES, Device, KvShape, Placement
from serve_app.models.precision import ITEM_BYTES
from serve_app.settings import EngineSettings

# A CPU copies the pages of sequences of like length side by side, up to so many tokens a group...
GROUP_TOKENS = 8192
# ...and lengths double from group to group, from 256 to that many.
GROUPS = 6
# A GPU reads pages where they lie.
WINDOW_LIMITS: Mapping[Device, int] = {"cpu": GROUPS * GROUP_TOKENS, "cuda": 0}

# Tokens on their way between a GPU and its host, each way.
RECALLED_TOKENS = 2048

_LOGIT_ROWS = 512  # of several GPUs' logits gathered at once
_FLOAT = 4  # bytes; logits are drawn from in float32
_CUDA_BYTES = 768 * 2**20  # libraries' workspaces and captured graphs

Count = Annotated[int, Field(ge=1)]


class WorkShape(KvShape):
    """The part of a config that sizes a step; fields as GlmConfig names them."""

    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    max_position_embeddings: Count

    def work_bytes(self, engine: EngineSettings, placement: Placement) -> int:
        """The widest layer of the longest step, its logits, and what attention looks at."""
        item = ITEM_BYTES[placement.dtype]
        widest = 3 * self.intermediate_size + 6 * self.hidden_size
        rows = max(engine.step_tokens, engine.max_running)  # every token of a prompt may be judged
        layers = engine.step_tokens * widest * item + rows * self.vocab_size * 2 * _FLOAT
        fixed = _CUDA_BYTES if placement.device == "cuda" else 0
        past = self._past_bytes(engine, placement)
        return WORKSPACE_BYTES + fixed + layers + past + self._common_bytes(engine, placement)

    def _common_bytes(self, engine: EngineSettings, placement: Placement) -> int:
        """What several GPUs read and write of each other's: three streams, and logits."""
        if engine.tensor_parallel == 1 or placement.device == "cpu":
            return 0
        rows = engine.step_tokens + engine.max_running
        numbers = 3 * rows * self.hidden_size + min(rows, _LOGIT_ROWS) * self.vocab_size
        return numbers * ITEM_BYTES[placement.dtype]

    def _past_bytes(self, engine: EngineSettings, placement: Placement) -> int:
        """One layer's past of a chunk, gathered, and who may see what of it."""
        longest = min(self.max_position_embeddings, engine.kv_tokens)
        layer = self.bytes_per_token(placement.dtype) // self.num_hidden_layers
        return longest * (layer + engine.step_tokens * ITEM_BYTES[placement.dtype])
