"""Which checkpoint speaks which dialect: told by what its template and vocabulary hold."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from serve_app.engine.dialects.calling import Calls, Offer
from serve_app.engine.dialects.chatglm2 import ChatGlm2Prompt
from serve_app.engine.dialects.chatglm3 import PREFIX, ChatGlm3Prompt
from serve_app.engine.dialects.headed import HeadedCalls
from serve_app.engine.dialects.marks import Mark, Marks
from serve_app.engine.dialects.prompt import Part, Template, TemplatePrompt, offered
from serve_app.engine.dialects.pythonic import PythonicCalls
from serve_app.engine.dialects.speech import Manner, State
from serve_app.engine.dialects.spelling import Turns, metadata_turns, openai_turns, plain_turns
from serve_app.engine.dialects.tagged import TaggedCalls
from serve_app.engine.dialects.vocabulary import Vocabulary
from serve_app.engine.grammar.form import Form, Headed, Opening, Spelling, Tagged
from serve_app.errors import InvalidRequest
from serve_app.messages import (
    ChatRequest,
    CompletionRequest,
    Ending,
    Message,
    Request,
    Role,
    Sampling,
    ToolMode,
)


class Prompt(Protocol):
    """Spells conversations."""

    def parts(self, request: ChatRequest) -> Iterator[Part]: ...


def _headed(offer: Offer, _: Marks) -> Calls:
    return HeadedCalls(offer)


def _headed_spelling(marks: Marks) -> Spelling:
    return Headed(again=marks.spelt(Mark.TURN))


def _tagged_spelling(marks: Marks) -> Spelling:
    spelt = marks.spelt
    return Tagged(
        call=spelt(Mark.CALL),
        uncall=spelt(Mark.UNCALL),
        key=spelt(Mark.KEY),
        unkey=spelt(Mark.UNKEY),
        value=spelt(Mark.VALUE),
        unvalue=spelt(Mark.UNVALUE),
    )


def _no_spelling(_: Marks) -> None:
    """Calls are read, but cannot be demanded."""


def _pythonic(offer: Offer, _: Marks) -> Calls:
    return PythonicCalls(offer)


@dataclass(frozen=True, slots=True)
class Family:
    """How checkpoints speak whose template holds all of `holds`."""

    name: str
    holds: tuple[str, ...]
    turns: Turns
    calls: Callable[[Offer, Marks], Calls]
    spelling: Callable[[Marks], Spelling | None] = _headed_spelling
    tools_in_turn: bool = False
    margin: str = "\n"


FAMILIES = (  # the first that fits
    Family("GLM-4.5", ("<arg_key>",), openai_turns, TaggedCalls, _tagged_spelling),
    Family("GLM-4", ("metadata", "item['tools']"), metadata_turns, _headed, tools_in_turn=True),
    Family("GLM-4-0414", ("metadata",), metadata_turns, _headed),
    Family("plain", (), plain_turns, _headed),
)
CHATGLM3 = Family("ChatGLM3", (), metadata_turns, _pythonic, _no_spelling, margin=" \n")
CHATGLM2 = Family("ChatGLM2", (), plain_turns, _headed, _no_spelling, margin=" \n")

# Told by their vocabulary; templates that were made for them later know less than they do.
_OWN_WAYS: tuple[tuple[frozenset[str], Family, Callable[[Mapping[str, int]], Prompt]], ...] = (
    (frozenset({*PREFIX, Mark.END.value}), CHATGLM3, ChatGlm3Prompt),
    (frozenset(PREFIX), CHATGLM2, ChatGlm2Prompt),
)


class Dialect:
    """One checkpoint's: the family's way, in the vocabulary's own marks."""

    def __init__(self, template: Template, vocabulary: Vocabulary) -> None:
        """`template` may be without one: such a model chats only if its family has a way."""
        source, control = _source(template), vocabulary.control
        self._family, self._prompt = _own_way(control) or _by_template(template, source, control)
        self._spelling = {token: word for word, token in control.items()}
        self._marks = Marks(control)
        self._marks_without_roles = self._marks.without_roles()
        self._thinks = Mark.THINK.value in source
        self._chats = bool(source) or not isinstance(self._prompt, TemplatePrompt)
        self._opened = lru_cache(self._render_opening)  # of three: True, False and None

    @property
    def name(self) -> str:
        return self._family.name

    def parts(self, request: ChatRequest) -> list[Part]:
        """Spell the conversation and the beginning of an answer.

        Raises InvalidRequest for what this dialect has no spelling for.
        """
        if not self._chats:
            raise InvalidRequest("This model has no chat template: it completes text only.")
        return list(self._prompt.parts(request))

    def completion(self, sampling: Sampling) -> Manner:
        """What to expect where no roles are: text, and nothing but text."""
        marks = self._marks if sampling.hides_special else Marks({})
        return Manner(marks, stop=sampling.stop, keeps_stop=sampling.keeps_stop)

    def answer(self, request: ChatRequest) -> Manner:
        """What to expect of the answer."""
        choice = request.tool_choice
        offer = {tool.name: tool for tool in offered(request) if choice.admits(tool.name)}
        opening = self._opening(request)
        sampling = request.sampling
        shows_roles = not offer and not sampling.hides_special
        return Manner(
            self._marks_without_roles if shows_roles else self._marks,
            begins=_begins(request, opening),
            margin=self._family.margin,
            first_margin="" if opening.endswith("\n") else self._family.margin,
            thinks=self._thinks,
            calls=self._family.calls(offer, self._marks) if offer else None,
            parallel=choice.parallel,
            demanded=choice.mode is ToolMode.REQUIRED,
            stop=sampling.stop,
            keeps_stop=sampling.keeps_stop,
        )

    def form(self, request: Request) -> Form | None:
        """What the answer must look like; None: any answer will do."""
        if isinstance(request, CompletionRequest):
            return Form(request.structure) if request.structure else None
        form = Form(
            structure=request.structure,
            tools=tuple(offered(request)),
            choice=request.tool_choice,
            spelling=self._family.spelling(self._marks),
            opening=self._may_open(request),
        )
        return form if form.binding else None

    def _opening(self, request: ChatRequest) -> str:
        """What the prompt ends with after the last role's token."""
        return self._opened(request.thinking) if request.ending is Ending.ANSWER else ""

    def _may_open(self, request: ChatRequest) -> Opening:
        """What may stand before an answer that is bound."""
        if request.ending is Ending.CONTINUED:
            return Opening()
        opening, thinking = self._opening(request), request.thinking
        margin = 0 if opening.endswith("\n") else 1
        think, unthink = self._marks.spelt(Mark.THINK), self._marks.spelt(Mark.UNTHINK)
        if opening.rstrip("\n").endswith(Mark.THINK.value):
            return Opening(margin, unthink=unthink)
        if self._thinks and thinking is not False and Mark.UNTHINK.value not in opening:
            return Opening(margin, think, unthink)
        return Opening(margin)

    def _render_opening(self, thinking: bool | None) -> str:
        """What a prompt ends with after the last role's token: the answer goes on from there."""
        message = Message(Role.USER, "")
        request = ChatRequest("", "", (message,), Sampling(), thinking=thinking)
        parts = self._prompt.parts(request)
        text = "".join(self._spelling[p] if isinstance(p, int) else p for p in parts)
        return text.rpartition(Mark.TURN.value)[2]


def _begins(request: ChatRequest, opening: str) -> State:
    if request.ending is Ending.CONTINUED:
        return State.CONTENT
    thinking = opening.rstrip("\n").endswith(Mark.THINK.value)
    return State.PAUSE if thinking else State.HEAD


def _own_way(control: Mapping[str, int]) -> tuple[Family, Prompt] | None:
    known = ((family, way) for words, family, way in _OWN_WAYS if words <= control.keys())
    return next(((family, way(control)) for family, way in known), None)


def _by_template(
    template: Template, source: str, control: Mapping[str, int]
) -> tuple[Family, Prompt]:
    family = next(each for each in FAMILIES if all(held in source for held in each.holds))
    return family, TemplatePrompt(
        template, control, family.turns, tools_in_turn=family.tools_in_turn
    )


def _source(template: Template) -> str:
    """The template's text; of several, all of them."""
    source = template.chat_template or ""
    return source if isinstance(source, str) else "\n".join(source.values())
