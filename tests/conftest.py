"""What all tests share: a GPU that is not there is no silent skip where one was promised."""

from __future__ import annotations

import os

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("no CUDA device, and FAIL_WITHOUT_CUDA=1")
    pytest.skip("no CUDA device")
