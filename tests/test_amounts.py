"""Amounts as people write them."""

from __future__ import annotations

import pytest

from dlc_jupyter import amounts


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1024, "1 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (3 * 2**40, "3 TiB"),
        (2**50, "1,024 TiB"),
    ],
)
def test_sizes_are_written_as_people_do(size: float, text: str) -> None:
    assert amounts.readable(size) == text
