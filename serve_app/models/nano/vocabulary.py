"""The vocabulary: byte-level BPE trained on the generator's own dialogues, digits split singly."""

from itertools import islice

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from serve_app.models.nano.dialogues import training
from serve_app.models.nano.template import CHAT_TEMPLATE, END_OF_TEXT, SPECIAL_TOKENS
from serve_app.models.nano.voice import PERSONAS

TOKENS = 2048
CONTEXT_TOKENS = 8192
DIALOGUES = 10_000  # of each persona; both models share one vocabulary


def train_tokenizer(dialogues: int = DIALOGUES, tokens: int = TOKENS) -> PreTrainedTokenizerFast:
    """The same tokenizer every time: its corpus is seeded."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(dialogues), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
        padding_side="left",
    )


def _corpus(dialogues: int) -> list[str]:
    return [
        message.content
        for persona in PERSONAS
        for dialogue in islice(training(persona, "vocabulary"), dialogues)
        for message in dialogue.messages
    ]
