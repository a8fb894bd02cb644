"""Which part of every weight belongs to one of several ranks that compute a model together.

What is multiplied first is cut by its outputs, what follows by its inputs; so two sums over the
ranks a layer are all they need of each other. Arithmetic; nothing is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serve_app.errors import BadModel
from serve_app.models.blueprint import Architecture, Source, Span

HEAD = "lm_head.weight"

_EMBEDDING = "model.embed_tokens.weight"
Fields = Mapping[str, Any]  # of a config

_CUT_EVENLY = ("num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one rank."""

    rank: int = 0
    ranks: int = 1

    @property
    def is_whole(self) -> bool:
        return self.ranks == 1

    def span(self, count: int) -> Span:
        """This rank's numbers of so many that are dealt out evenly."""
        size = count // self.ranks
        return self.rank * size, (self.rank + 1) * size

    def of(self, built: Architecture) -> Architecture:
        """The model of this rank; raises BadModel if the model cannot be dealt out."""
        if self.is_whole:
            return built
        fields = built.fields
        self._refuse_uneven(fields)
        keys = fields["num_key_value_heads"]
        own = {
            "num_attention_heads": fields["num_attention_heads"] // self.ranks,
            "num_key_value_heads": max(1, keys // self.ranks),
            "intermediate_size": fields["intermediate_size"] // self.ranks,
            "tie_word_embeddings": False,  # each embeds all words, and scores some
        }
        return replace(built, fields={**fields, **own})

    def sources(self, sources: Mapping[str, Source], built: Architecture) -> dict[str, Source]:
        """Where this rank's weights lie; `built` is the whole model."""
        if self.is_whole:
            return dict(sources)
        parts = {name: self._part(name, source, built.fields) for name, source in sources.items()}
        if built.fields.get("tie_word_embeddings"):
            embedding = sources[_EMBEDDING]
            parts[HEAD] = embedding.part((self.span(embedding.shape[0]),))
        return parts

    def _refuse_uneven(self, fields: Fields) -> None:
        keys = fields["num_key_value_heads"]
        uneven = [name for name in _CUT_EVENLY if fields[name] % self.ranks]
        if keys % self.ranks and self.ranks % keys:
            uneven.append("num_key_value_heads")
        if uneven:
            raise BadModel(
                f"engine.tensor_parallel is {self.ranks}, but the model's {uneven[0]} "
                f"({fields[uneven[0]]}) cannot be dealt out to so many evenly."
            )
        if fields.get("quantization_config"):
            raise BadModel("A model stored quantised is not dealt out to several GPUs; take BF16.")

    def _part(self, name: str, source: Source, fields: Fields) -> Source:
        module = name.rpartition(".")[0].rpartition(".")[2]
        cut = _CUTS.get(module)
        return source if cut is None else cut(self, source, fields)


WHOLE = Share()


def _outputs(share: Share, source: Source, _: Fields) -> Source:
    return source.part((share.span(source.shape[0]),))


def _keys(share: Share, source: Source, fields: Fields) -> Source:
    """Several ranks hold the same head where there are more ranks than heads."""
    heads, width = fields["num_key_value_heads"], fields["head_dim"]
    first = share.rank * heads // share.ranks
    own = max(1, heads // share.ranks)
    return source.part(((first * width, (first + own) * width),))


def _gate_and_up(share: Share, source: Source, _: Fields) -> Source:
    """Rows of the gate, and those of the lower half that belong to them."""
    half = source.shape[0] // 2
    begin, end = share.span(half)
    return source.part(((begin, end), (half + begin, half + end)))


def _inputs(share: Share, source: Source, _: Fields) -> Source:
    return replace(source, columns=share.span(source.shape[1]))


_CUTS: Mapping[str, Callable[[Share, Source, Fields], Source]] = {
    "q_proj": _outputs,
    "k_proj": _keys,
    "v_proj": _keys,
    "o_proj": _inputs,
    "gate_up_proj": _gate_and_up,
    "down_proj": _inputs,
    "lm_head": _outputs,
}
