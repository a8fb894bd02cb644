"""A tokenizer as large as GLM-4's, made up: text is made of every token, as in the product."""

from functools import partial
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.grammars import Grammars
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.settings import EngineSettings
from tests.gpu import shape

_SPECIAL = (
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
_TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tokenizer() -> ChatTokenizer:
    """Bytes and made-up words; they have no merges, so that texts are encoded byte by byte."""
    words = sorted(ByteLevel.alphabet())
    words += [f"w{number}" for number in range(shape.WORDS - len(words) - len(_SPECIAL))]
    backend = Tokenizer(BPE({word: number for number, word in enumerate(words)}, []))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    special = partial(AddedToken, special=True, normalized=False)
    backend.add_special_tokens([special(word) for word in _SPECIAL])
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=_TEMPLATE)
    return ChatTokenizer(fast)


def grammars(known: ChatTokenizer, settings: EngineSettings) -> Grammars:
    control = known.vocabulary.control
    ends = (control["<|endoftext|>"], control["<|user|>"])
    alphabet = Alphabet(known.vocabulary.token_bytes, control.values(), ends)
    return Grammars(alphabet, settings.structure_max_bytes, settings.structure_compile_s)
