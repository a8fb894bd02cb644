"""The host's memory for pages is pinned, or a sentence says why it cannot be: runtimes made up."""

from types import SimpleNamespace

import pytest
import torch

from serve_app.engine.gpu import offload
from serve_app.errors import BadSettings


def runtime(monkeypatch: pytest.MonkeyPatch, code: int) -> list[int]:
    """One that answers that code; return the bytes it is asked to pin."""
    asked: list[int] = []

    def register(_: int, size: int, __: int) -> int:
        asked.append(size)
        return code

    monkeypatch.setattr(offload, "_runtime", lambda: SimpleNamespace(cudaHostRegister=register))
    return asked


def test_as_much_is_pinned_as_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = runtime(monkeypatch, 0)
    assert offload.pinned((3, 2, 5)).shape == (3, 2, 5)
    assert asked == [3 * 2 * 5 * 8]


def test_memory_that_cuda_does_not_pin_is_told_with_the_cause_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime(monkeypatch, 2)
    with pytest.raises(BadSettings) as refused:
        offload.pinned((1, 2**18))
    assert refused.value.message.startswith("engine.host_kv_tokens: 0.00 GiB")
    assert "(CUDA says out of memory (2)). Set fewer tokens" in refused.value.message
    assert "workers.resources.limits.memory" in refused.value.message


def test_memory_that_the_machine_does_not_have_is_told_likewise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = runtime(monkeypatch, 0)
    with pytest.raises(BadSettings, match=r"GiB .* can't allocate memory.* Set fewer tokens"):
        offload.pinned((2**55,))
    assert not asked


@pytest.mark.parametrize("codes", [(0, 2), (0, 0)], ids=["the second part", "a stream"])
def test_what_was_pinned_is_unpinned_if_what_comes_after_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int]
) -> None:
    answers, pinned, unpinned = iter(codes), list[int](), list[int]()

    def register(address: int, _: int, __: int) -> int:
        code = next(answers)
        if not code:
            pinned.append(address)
        return code

    def stream(_: torch.device) -> None:
        raise BadSettings("no stream could be pinned to")

    made_up = SimpleNamespace(cudaHostRegister=register, cudaHostUnregister=unpinned.append)
    monkeypatch.setattr(offload, "_runtime", lambda: made_up)
    monkeypatch.setattr(offload, "SideStream", stream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    parts = [torch.zeros(2, 3, 8), torch.zeros(2, 3, 8)]
    with pytest.raises(BadSettings, match=r"could (not )?be pinned"):
        offload.beside(parts, 4, 1, torch.device("cuda"))
    assert pinned
    assert unpinned == pinned
