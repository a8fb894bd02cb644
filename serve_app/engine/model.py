"""One forward pass over a batch, and the draw of its tokens. Device and dtype are the model's."""

from dataclasses import replace
from typing import Any

import torch

from serve_app.engine.attention import PagedCache, register
from serve_app.engine.draws import Draws
from serve_app.engine.flight import Landed, checked
from serve_app.engine.fusing import fuse
from serve_app.engine.joining import join
from serve_app.engine.nameplate import Nameplate, name_of
from serve_app.engine.offload import Offload
from serve_app.engine.packer import Packer
from serve_app.engine.ranks import ALONE, Ranks
from serve_app.engine.sampling.chances import prompt_chances
from serve_app.engine.sampling.sampler import Sampler
from serve_app.engine.scheduler import Batch, Limits
from serve_app.settings import EngineSettings


class ModelRunner:
    """Owns the KV cache and drives an unmodified GlmForCausalLM or Glm4ForCausalLM."""

    def __init__(self, model: Any, settings: EngineSettings, ranks: Ranks = ALONE) -> None:
        torch.set_num_threads(settings.threads)
        limits = Limits.of(settings)
        config = model.config
        shape = (limits.pages, limits.page_tokens, config.num_key_value_heads, config.head_dim)
        like = torch.empty(0, dtype=model.dtype, device=model.device)
        self._model = model.eval()
        self._model.set_attn_implementation(register())
        self._leads = ranks.leads
        if ranks is not ALONE:
            join(model, ranks)
        fuse(model)
        store_by_column(model)
        self._cache = PagedCache(config.num_hidden_layers, shape, like)
        self._offload = Offload([self._cache.whole], limits.host_pages)
        self._packer = Packer(self._cache, like)
        self._sampler = Sampler()

    @property
    def nameplate(self) -> Nameplate:
        return {"runner": "transformers' modules", "kv_dtype": name_of(self._cache.whole.dtype)}

    def begin(self, batch: Batch) -> Landed:
        """Compute a step at once: there is nobody to compute another meanwhile."""
        return Landed(self.run(batch))

    @torch.inference_mode()
    def run(self, batch: Batch) -> Draws:
        """Return a token for each row of `batch.drawing`; None: its logits allowed no token."""
        drawing = batch.drawing
        self._offload.move(batch.moves)
        if not batch.rows:
            return Draws([])
        if batch.copies:
            self._cache.copy(batch.copies)
        logits = self._model(**self._packer.inputs(batch), use_cache=False).logits[0]  # [B + N, V]
        if batch.is_drafted:
            lines = [row for row in drawing for _ in range(1 + len(row.draft))]
            return checked(drawing, self._sampler.choose(logits, lines).tokens)
        draws = self._sampler.choose(logits[: len(drawing)], drawing)
        for row, token in zip(drawing, draws.tokens, strict=True):
            if token is None:
                self._cache.heal(row.pages)
        if len(drawing) == len(logits) or not self._leads:
            return draws
        return replace(draws, prompt_chances=prompt_chances(logits[len(drawing) :], batch.rows))


@torch.no_grad()
def store_by_column(model: Any) -> None:
    """Lay weights out anew on a CPU: same values, and products with few rows cost a third less.

    A weight that is also the embedding stays: it is read by row.
    """
    embedding = model.get_input_embeddings().weight
    linears = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    for weight in (linear.weight for linear in linears):
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        if plain and weight is not embedding:
            weight.data = weight.t().contiguous().t()
