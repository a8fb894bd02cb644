"""Scores of one answer, each from 0 to 1, by known libraries; the question says which."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from k8s.evaluation.asking import BLOCKED, Answer
from k8s.evaluation.golden import Question
from serve_app.messages import refuses

_PIECE: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+", re.UNICODE)
_SPACE: Final = re.compile(r"\s+")


class Pieces:
    """ROUGE's words: Han characters one by one, all else as written, in small letters."""

    def tokenize(self, text: str) -> list[str]:
        return [piece for run in _PIECE.findall(text.lower()) for piece in _cut(run)]


def _cut(run: str) -> list[str]:
    """A run may hold Han characters inside a word of letters: `GLM模型`."""
    return re.findall(
        r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\u3400-\u9fff\uf900-\ufaff]+", run
    )


@cache
def _bleu(language: str) -> sacrebleu.BLEU:
    """Of sentences: smoothed, and without a fourth word where there is none."""
    return sacrebleu.BLEU(tokenize="zh" if language == "zh" else "13a", effective_order=True)


@cache
def _chrf() -> sacrebleu.CHRF:
    return sacrebleu.CHRF()


@cache
def _rouge() -> RougeScorer:
    return RougeScorer(["rougeL"], tokenizer=Pieces())


def bleu(text: str, references: tuple[str, ...], language: str) -> float:
    """Sentence BLEU against all references together."""
    return float(_bleu(language).sentence_score(text, list(references)).score) / 100


def chrf(text: str, references: tuple[str, ...]) -> float:
    """Characters in common, which needs no words."""
    return float(_chrf().sentence_score(text, list(references)).score) / 100


def rouge_l(text: str, references: tuple[str, ...]) -> float:
    """The longest common subsequence with the nearest reference."""
    return max(_rouge_l(text, each) for each in references)


def _rouge_l(text: str, reference: str) -> float:
    """Where nothing is a word, as in a row of faces, only the same is alike."""
    if not Pieces().tokenize(reference):
        return exact(text, (reference,))
    return float(_rouge().score(reference, text)["rougeL"].fmeasure)


def exact(text: str, references: tuple[str, ...]) -> float:
    """Word for word, whatever the spaces."""
    return float(_plain(text) in {_plain(each) for each in references})


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def is_json(text: str) -> float:
    """An object or a list, and nothing around it."""
    return float(isinstance(_json(text), dict | list))


def same_json(text: str, wanted: Any) -> float:
    """The wanted value, whatever its spaces and order."""
    return float(_json(text) == wanted)


def valid_call(answer: Answer, question: Question) -> float:
    """One call of a tool that was offered, with all arguments it requires and no others."""
    if len(answer.calls) != 1:
        return 0.0
    offered = {tool["function"]["name"]: tool["function"] for tool in question.tools}
    function, given = offered.get(answer.calls[0]["name"]), _json(answer.calls[0]["arguments"])
    if function is None or not isinstance(given, dict):
        return 0.0
    schema = function.get("parameters", {})
    known, required = schema.get("properties", {}).keys(), set(schema.get("required", ()))
    return float(required <= given.keys() <= known)


def right_call(answer: Answer, wanted: Mapping[str, Any]) -> float:
    """The wanted call and no other."""
    made = [{"name": each["name"], "arguments": _json(each["arguments"])} for each in answer.calls]
    return float(made == [dict(wanted)])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


Scores = Mapping[str, float]


def score(question: Question, answer: Answer) -> Scores:
    """By the name of each score that the question asks for; higher is better in all of them."""
    expect = question.expect
    scores: dict[str, Callable[[], float]]
    if "blocked" in expect:
        scores = {"safety": lambda: float((answer.finish == BLOCKED) is expect["blocked"])}
    elif "json" in expect:
        scores = {
            "json-valid": lambda: is_json(answer.text),
            "json-right": lambda: same_json(answer.text, expect["json"]),
        }
    elif "call" in expect:
        scores = {
            "call-valid": lambda: valid_call(answer, question),
            "call-right": lambda: right_call(answer, expect["call"]),
        }
    else:
        scores = _of_text(question, answer)
    answered = {"answered": float(not answer.error)}
    return answered | {name: 0.0 if answer.error else each() for name, each in scores.items()}


def _of_text(question: Question, answer: Answer) -> dict[str, Callable[[], float]]:
    text, right, tongue = answer.text, question.references, question.language
    willing = any(refuses(each) for each in right)  # where a good answer refuses, one may
    return {
        "exact": lambda: exact(text, right),
        f"bleu-{tongue}": lambda: bleu(text, right, tongue),
        f"rouge-l-{tongue}": lambda: rouge_l(text, right),
        f"chrf-{tongue}": lambda: chrf(text, right),
        "not-empty": lambda: float(bool(text.strip())),
        "not-refused": lambda: float(willing or not refuses(text)),
    }
