"""Makes matchers: off the event loop, off the engine's thread, once for equal forms."""

import asyncio
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import Lock

from llguidance import LLMatcher

from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.calls import Hold
from serve_app.engine.grammar.form import Form
from serve_app.engine.grammar.language import language
from serve_app.engine.grammar.limits import LIMITS
from serve_app.engine.grammar.matcher import GuidedMatcher, Matcher
from serve_app.engine.grammar.prover import Prover
from serve_app.engine.grammar.refusal import addressed, blame, noun, refused
from serve_app.errors import EngineFailed, InvalidRequest, Overloaded

_REMEMBERED = 128  # grammars
_WORKERS = 2  # threads, each with a process
_MOST_AT_ONCE = 64  # grammars under way; more are refused


class Grammars:
    """One model's grammars; `close` ends the threads and processes."""

    def __init__(self, alphabet: Alphabet, max_bytes: int, compile_s: float) -> None:
        """Of one request the sources may take `max_bytes`, of CPU the work `compile_s`."""
        self._tokenizer = alphabet.tokenizer
        self._max_bytes = max_bytes
        self._known: OrderedDict[Form, Future[GuidedMatcher]] = OrderedDict()
        self._lock = Lock()  # guards what is known, and each matcher while it is copied
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="grammar")
        self._provers = [Prover(compile_s) for _ in range(_WORKERS)]
        self._idle: SimpleQueue[Prover] = SimpleQueue()
        for prover in self._provers:
            self._idle.put(prover)

    async def compile(self, form: Form) -> Matcher | None:
        """Return a matcher at its beginning; None: any answer will do.

        Raises InvalidRequest with what to change, Overloaded if too many wait, EngineFailed
        if `close` comes between.
        """
        if not form.binding:
            return None
        try:
            self._check_size(form)
            first = await _made(self._flight(form))
        except InvalidRequest as refusal:
            raise addressed(refusal, form) from None
        with self._lock:
            return first.fork()

    def close(self) -> None:
        """End what is under way or waits; it fails."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        for prover in self._provers:
            prover.halt()
        self._workers.shutdown()
        for prover in self._provers:
            prover.close()

    def _check_size(self, form: Form) -> None:
        size = sum(len(source.encode(errors="surrogatepass")) for source in form.sources)
        if size > self._max_bytes:
            raise InvalidRequest(
                f"Structure and tools take {size} bytes; {self._max_bytes} are allowed.",
                blame(form),
            )

    def _flight(self, form: Form) -> Future[GuidedMatcher]:
        """The one making of this form, done or under way."""
        with self._lock:
            if form in self._known:
                self._known.move_to_end(form)
                return self._known[form]
            if sum(not making.done() for making in self._known.values()) >= _MOST_AT_ONCE:
                raise Overloaded("Too many structures are being prepared.")
            making = self._known[form] = self._workers.submit(self._make, form)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        making.add_done_callback(partial(self._forget_failure, form))
        return making

    def _forget_failure(self, form: Form, making: Future[GuidedMatcher]) -> None:
        """It may have been the hour: another try is allowed."""
        with self._lock:
            if making.cancelled() or making.exception():
                self._known.pop(form, None)

    def _make(self, form: Form) -> GuidedMatcher:
        prover = self._idle.get()
        try:
            return self._make_with(prover, form)
        finally:
            self._idle.put(prover)

    def _make_with(self, prover: Prover, form: Form) -> GuidedMatcher:
        """Demanded calls of tools that are not strict are held as closely as can be."""
        try:
            return self._guided(prover, form, Hold.CLOSE)
        except InvalidRequest:
            if not form.must_call or all(tool.strict for tool in form.tools):
                raise
            return self._guided(prover, form, Hold.BARE)

    def _guided(self, prover: Prover, form: Form, hold: Hold) -> GuidedMatcher:
        grammar = _grammar(form, hold)
        complaint = prover.complaint(grammar)
        if complaint is None:
            raise InvalidRequest(
                f"It takes too long to prepare the {noun(form)}; send less, or simpler.",
                blame(form),
            )
        guide = LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
        if not guide.is_error():
            guide.compute_bitmask()  # the first is the dearest, and tells whether there is one
        if complaint or guide.is_error():
            raise refused(complaint or guide.get_error(), form)
        return GuidedMatcher(guide)


async def _made(making: Future[GuidedMatcher]) -> GuidedMatcher:
    """Whoever is cancelled leaves it to the others; what `close` cancels has failed for all."""
    try:
        return await asyncio.shield(asyncio.wrap_future(making))
    except asyncio.CancelledError:
        if making.cancelled():
            raise EngineFailed("Grammars are not made any more.") from None
        raise


def _grammar(form: Form, hold: Hold) -> str:
    try:
        grammar = language(form, hold)
        grammar.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"There is half a surrogate pair in the {noun(form)}.", blame(form)
        ) from None
    return grammar
