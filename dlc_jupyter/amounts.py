"""Amounts as people write them: bytes and time spans."""

from __future__ import annotations


def readable(size: float) -> str:
    """Return a number of bytes as people write it, such as ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:,.1f}".removesuffix(".0") + f" {unit}"


def duration(seconds: float) -> str:
    """Return a time span for people: ``48 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
