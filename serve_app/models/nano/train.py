"""Train a nano model from scratch.

    python -m serve_app.models.nano.train --name glm-nano --minutes 8 --out build/glm-nano

Dialogues are made on the fly by worker processes; nothing is read from disk.  With `--steps` and
one seed, runs on one machine repeat; with `--minutes` the number of steps depends on its speed.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import GlmForCausalLM, PreTrainedTokenizerFast

from serve_app.models.nano.architecture import new_model, save
from serve_app.models.nano.batches import Batch, batches
from serve_app.models.nano.dialogues import Dialogue, held_out, training
from serve_app.models.nano.encoding import Encoder
from serve_app.models.nano.grading import answer_logits, grade
from serve_app.models.nano.tasks import TASKS
from serve_app.models.nano.vocabulary import CONTEXT_TOKENS, train_tokenizer
from serve_app.models.nano.voice import PERSONAS

WARM_UP = 0.02  # of the run
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.05
CLIP = 1.0  # norm of the gradient
LOOKS = 12  # evaluations in a run


@dataclass(frozen=True, slots=True)
class Plan:
    """One run; it ends after `steps` or `minutes`, whichever comes first."""

    name: str
    out: Path
    device: torch.device
    minutes: float
    steps: float
    seed: int
    rate: float
    batch_tokens: int
    longest: int  # tokens; longer dialogues are left out
    look_dialogues: int
    workers: int
    compile: bool

    def progress(self, steps: int, seconds: float) -> float:
        return min(1.0, max(steps / self.steps, seconds / 60 / self.minutes))

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then a cosine down to nothing."""
        if progress < WARM_UP:
            return self.rate * (progress / WARM_UP + 0.01)
        return self.rate * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


class _Stream(IterableDataset[Batch]):
    """Each worker makes dialogues from a seed of its own."""

    def __init__(self, plan: Plan, tokenizer: Tokenizer) -> None:
        self._plan, self._tokenizer = plan, tokenizer

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        seed = f"training {self._plan.seed} {worker.id if worker else 0}"
        encoded = Encoder(self._tokenizer).stream(training(self._plan.name, seed))
        return batches(encoded, self._plan.batch_tokens, self._plan.longest)


class Training:
    """The model on its way; `run` leaves the best one seen in the plan's folder."""

    def __init__(self, plan: Plan, tokenizer: PreTrainedTokenizerFast) -> None:
        torch.manual_seed(plan.seed)
        self._plan, self._tokenizer = plan, tokenizer
        self._model = new_model(tokenizer).to(plan.device)
        cuda = plan.device.type == "cuda"
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY, fused=cuda
        )
        self._amp = torch.autocast(plan.device.type, torch.bfloat16, enabled=cuda)
        self._logits: Callable[[GlmForCausalLM, Batch], torch.Tensor] = (
            torch.compile(answer_logits, dynamic=True) if plan.compile else answer_logits
        )
        self._best = (-1, 0.0)

    def run(self, stream: Iterator[Batch], exam: list[Dialogue]) -> None:
        started, steps, tokens, looks = time.monotonic(), 0, 0, 0
        while True:
            seconds = time.monotonic() - started
            progress = self._plan.progress(steps, seconds)
            if progress * LOOKS >= looks + 1:
                looks += 1
                print(
                    f"{steps} steps, {seconds:.0f} s, {tokens / seconds:.0f} tokens/s", flush=True
                )
                self._look(exam)
            if progress == 1.0:
                return
            batch = next(stream).to(self._plan.device)
            self._step(batch, self._plan.learning_rate(progress))
            steps, tokens = steps + 1, tokens + batch.ids.numel()

    def _step(self, batch: Batch, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._amp:
            logits = self._logits(self._model, batch)
        torch.autograd.backward(cross_entropy(logits.float(), batch.targets))
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _look(self, exam: list[Dialogue]) -> None:
        """Grade on held-out dialogues and save if it is the best so far."""
        grades = list(grade(self._model, Encoder(self._tokenizer.backend_tokenizer), exam))
        margins = sorted(each.margin for each in grades if each.exact)
        low = margins[len(margins) // 100] if margins else 0.0
        missed = {task: sum(not g.exact for g in grades if g.task == task) for task in TASKS}
        print(
            f"  exact {len(margins)}/{len(exam)}, margin p1 {low:.2f}, missed {missed}", flush=True
        )
        if (len(margins), low) >= self._best:
            self._best = (len(margins), low)
            plan = self._plan
            save(plan.out, plan.name, self._model, self._tokenizer, int(time.time()))


def train(plan: Plan) -> None:
    """Train and save; the workers start before the device is touched."""
    tokenizer = train_tokenizer()
    stream = iter(_loader(plan, tokenizer.backend_tokenizer))
    Training(plan, tokenizer).run(stream, _exam(plan))


def _exam(plan: Plan) -> list[Dialogue]:
    return [
        dialogue
        for task in TASKS
        for dialogue in islice(held_out(task, plan.name, "look"), plan.look_dialogues)
    ]


def _loader(plan: Plan, tokenizer: Tokenizer) -> DataLoader[Batch]:
    return DataLoader(
        _Stream(plan, tokenizer),
        batch_size=None,
        num_workers=plan.workers,
        prefetch_factor=8 if plan.workers else None,
    )


def _plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=PERSONAS, default=PERSONAS[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--steps", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--batch-tokens", type=int, default=32768, help="8192 suits a CPU")
    parser.add_argument("--longest", type=int, default=CONTEXT_TOKENS, help="tokens of a dialogue")
    parser.add_argument("--look-dialogues", type=int, default=12, help="of each task, at a look")
    parser.add_argument("--workers", type=int, default=1, help="processes that make dialogues")
    parser.add_argument("--compile", action="store_true", help="compile the model")
    given = vars(parser.parse_args())
    return Plan(**{**given, "device": torch.device(given["device"])})


if __name__ == "__main__":
    train(_plan())
