"""A model's tokens as llguidance wants them."""

from collections.abc import Collection, Mapping, Sequence

from llguidance import LLTokenizer, TokenizerWrapper


class Alphabet:
    """What each token stands for; building it takes a second for 150,000 tokens."""

    def __init__(
        self, token_bytes: Mapping[int, bytes], control: Collection[int], ends: Collection[int]
    ) -> None:
        """`control` tokens are in no text, whatever their bytes; `ends` may end any answer."""
        size = 1 + max([*token_bytes, *control, *ends])
        tokens = [token_bytes.get(number, b"") for number in range(size)]
        for number in {*control, *ends}:
            tokens[number] = b"<[%d]>" % number
        facts = _Facts(tokens, sorted({*control, *ends}), min(ends))
        wrapper = TokenizerWrapper(facts)
        self.size = size
        self.tokenizer = LLTokenizer(wrapper, eos_token=sorted(ends))


class _Facts:
    """What TokenizerWrapper reads."""

    bos_token_id: int | None = None

    def __init__(self, tokens: Sequence[bytes], special: Sequence[int], end: int) -> None:
        self.tokens = tokens
        self.special_token_ids = special
        self.eos_token_id = end

    def __call__(self, _: bytes | str) -> list[int]:
        """Cut no text: the grammars force none, see `lark.HEAD`."""
        return []
