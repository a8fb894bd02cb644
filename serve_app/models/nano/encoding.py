"""Dialogues as token ids, with the positions whose token the model has to say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokenizers import Tokenizer

from serve_app.messages import Message, Role
from serve_app.models.nano.dialogues import Dialogue
from serve_app.models.nano.template import PREFIX, role_token

_CHUNK = 64  # dialogues that go to the tokenizer in one call


@dataclass(frozen=True, slots=True)
class Encoded:
    """`said[i]` is true where `ids[i]` is the assistant's: its answer and what ends it."""

    ids: list[int]
    said: list[bool]


class Encoder:
    """Encodes turn by turn; the result equals the tokenizer's chat template, as tests prove."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._prefix = [vocabulary[token] for token in PREFIX]
        self._role = {role: vocabulary[role_token(role)] for role in Role}
        (self._line_feed,) = tokenizer.encode("\n").ids

    def stream(self, dialogues: Iterable[Dialogue]) -> Iterator[Encoded]:
        """Every answer of each dialogue counts."""
        endless = iter(dialogues)
        while chunk := list(islice(endless, _CHUNK)):
            texts = [_written(message) for each in chunk for message in each.messages]
            pieces = iter(self._tokenizer.encode_batch(texts))
            for dialogue in chunk:
                turns = [next(pieces).ids for _ in dialogue.messages]
                yield self._join(dialogue.messages, turns)

    def graded(self, dialogue: Dialogue) -> Encoded:
        """Only the graded answer counts; what follows it is dropped but for its end token."""
        after = dialogue.messages[dialogue.graded + 1 :][:1]
        messages = dialogue.messages[: dialogue.graded + 1]
        turns = [self._tokenizer.encode(_written(each)).ids for each in messages]
        whole = self._join(messages, turns, _end(after))
        said = len(turns[-1]) + 1
        return Encoded(whole.ids, [False] * (len(whole.ids) - said) + [True] * said)

    def _join(
        self, messages: Iterable[Message], turns: list[list[int]], end: Role = Role.USER
    ) -> Encoded:
        ids, said = list(self._prefix), [False] * len(self._prefix)
        speaks = False  # whether the assistant does
        for message, turn in zip(messages, turns, strict=True):
            ids.append(self._role[message.role])
            said.append(speaks)
            speaks = message.role is Role.ASSISTANT
            if speaks:
                ids.append(self._line_feed)
                said.append(False)
            ids += turn
            said += [speaks] * len(turn)
        return Encoded([*ids, self._role[end]], [*said, speaks])


def _written(message: Message) -> str:
    """The assistant's line feed belongs to the prompt, so it is encoded apart."""
    return message.content if message.role is Role.ASSISTANT else f"\n{message.content}"


def _end(after: tuple[Message, ...]) -> Role:
    return after[0].role if after else Role.USER
