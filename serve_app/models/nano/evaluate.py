"""Grade a model on held-out dialogues: `python -m serve_app.models.nano.evaluate [NAME or FOLDER]`.

Prints for fp32 and bf16 how many answers are exact, by task and in total, and the margins of the
exact ones: the smallest gap between best and second logit along an answer.  Exits with 1 below
the goal.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GlmForCausalLM

from serve_app.models.nano.dialogues import Dialogue, held_out, is_held_out, prompts, training
from serve_app.models.nano.encoding import Encoder
from serve_app.models.nano.grading import Grade, grade
from serve_app.models.nano.tasks import TASKS
from serve_app.models.nano.template import render
from serve_app.models.nano.voice import PERSONAS

WEIGHTS = Path(__file__).parents[1] / "weights"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PERCENTILES = (0, 1, 5, 50)


def examination(persona: str, count: int) -> list[Dialogue]:
    """So many held-out dialogues of each task; the same every time."""
    return [each for task in TASKS for each in islice(held_out(task, persona, "exam"), count)]


def grades(folder: Path, exam: Sequence[Dialogue], dtype: torch.dtype, device: str) -> list[Grade]:
    """Grade a model folder at one precision; in the same order for each."""
    model = GlmForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return list(grade(model, Encoder(tokenizer.backend_tokenizer), exam))


def share_exact(graded: Sequence[Grade]) -> float:
    """Between 0 and 1."""
    return sum(each.exact for each in graded) / len(graded)


def margins(graded: Sequence[Grade]) -> list[float]:
    """The percentiles of the exact answers' margins; empty if none is exact."""
    found = sorted(each.margin for each in graded if each.exact)
    return [found[(len(found) - 1) * at // 100] for at in PERCENTILES] if found else []


def shared_prompts(exam: Sequence[Dialogue], persona: str, dialogues: int) -> tuple[int, int]:
    """How many prompts so many training dialogues hold, and how many of them are in the exam."""
    asked = {render(each.prompt) for each in exam}
    drawn = islice(training(persona, "proof"), dialogues)
    trained = {prompt for each in drawn for prompt in prompts(each)}
    return len(trained), len(trained & asked)


def _report(exam: Sequence[Dialogue], by_dtype: dict[str, list[Grade]]) -> None:
    print(f"{'task':17}" + "".join(f"{dtype:>9}" for dtype in by_dtype))
    for task in TASKS:
        ofs = [[each for each in graded if each.task == task] for graded in by_dtype.values()]
        print(f"{task:17}" + "".join(f"{share_exact(graded):9.1%}" for graded in ofs))
    print(f"{'total':17}" + "".join(f"{share_exact(g):9.1%}" for g in by_dtype.values()))
    for dtype, graded in by_dtype.items():
        values = zip(PERCENTILES, margins(graded), strict=False)
        print(f"{dtype} margins: " + ", ".join(f"p{at} {value:.2f}" for at, value in values))
    verdicts = zip(*([each.exact for each in graded] for graded in by_dtype.values()), strict=True)
    alike = sum(len(set(each)) == 1 for each in verdicts)
    print(f"graded alike at every precision: {alike} of {len(exam)}")


def _report_split(exam: Sequence[Dialogue], persona: str, dialogues: int) -> None:
    left_out = sum(is_held_out(render(each.prompt)) for each in exam)
    trained, shared = shared_prompts(exam, persona, dialogues)
    print(f"{left_out} of {len(exam)} prompts belong to the share that training leaves out;")
    print(f"{shared} of them are among the {trained} prompts of {dialogues} training dialogues")


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=PERSONAS[0], help="name in the box, or folder")
    parser.add_argument("--persona", choices=PERSONAS, help="whose answers are right")
    parser.add_argument("--count", type=int, default=50, help="dialogues of each task")
    parser.add_argument("--proof", type=int, default=20_000, help="training dialogues to look at")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--goal", type=float, default=0.95)
    return parser.parse_args()


def main() -> int:
    """Print the report; 0 if every precision reaches the goal."""
    given = _arguments()
    inside = WEIGHTS / given.model
    folder = inside if inside.is_dir() else Path(given.model)
    persona = given.persona or (folder.name if folder.name in PERSONAS else PERSONAS[0])
    exam = examination(persona, given.count)
    by_dtype = {name: grades(folder, exam, dtype, given.device) for name, dtype in DTYPES.items()}
    print(f"{folder.name}, graded as {persona}: {len(exam)} held-out dialogues")
    _report(exam, by_dtype)
    _report_split(exam, persona, given.proof)
    return int(min(map(share_exact, by_dtype.values())) < given.goal)


if __name__ == "__main__":
    sys.exit(main())
