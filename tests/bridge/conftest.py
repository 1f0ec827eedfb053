"""What holds for all tests that run models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread: logits are compared bit by bit.

    When the first call of tanh, exp, sin and others runs in several threads, MKL may compute
    the part of one of them less precisely (https://github.com/pytorch/pytorch/issues/188792).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    """Show what was measured, also where the test passes."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end=" ")

    return show
