"""Reading pickles of numbers that come from others: arrays, numbers, text, containers; nothing else is looked up.

A pickle is a program that may call anything. Here its instructions are read first without being carried out, and then
carried out with six names at its disposal, all of which make arrays.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from dlc_jupyter.pose.calibration_toml import refused

#: Larger files are not looked into; DeepLabCut's have some kilobytes, or some megabytes with all corners.
MOST_BYTES = 64_000_000
#: More numbers in one place are no part of a calibration.
MOST_NUMBERS = 10_000

# What they could do, arrays do not need: build objects of classes, or take things from outside.
_FORBIDDEN = {
    *("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"),
    *("PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"),
}
_REMEMBERING = {"PUT", "BINPUT", "LONG_BINPUT"}


def loads(content: bytes) -> Any:
    """Return what a pickle of numbers holds.

    Raises
    ------
    AnalysisFailed
        It is no pickle, is cut off, or holds anything else (kind ``CalibrationUnreadable``). Nothing of it has run.
    """
    if len(content) > MOST_BYTES:
        raise refused("The file is too large for a calibration.")
    _check_instructions(content)
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except _Forbidden as error:
        raise _not_numbers(str(error)) from None
    except Exception as error:  # whatever the instructions do in a wrong order
        raise refused(f"The pickle is damaged: {type(error).__name__}.", hint="Copy it again.") from error


def _check_instructions(content: bytes) -> None:
    try:
        for instruction, argument, _ in pickletools.genops(content):
            if instruction.name in _FORBIDDEN:
                raise _not_numbers(f"the instruction {instruction.name}")
            # A place beyond the file's own length is meant to fill the memory.
            if instruction.name in _REMEMBERING and not 0 <= int(argument or 0) <= len(content):
                raise _not_numbers("a place in memory that nothing needs")
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError, UnicodeError) as error:
        raise refused("The file is no pickle, or it is cut off.", hint="Copy it again.") from error


def _not_numbers(what: str) -> Any:
    return refused(
        f"The pickle holds more than numbers ({what}), so it was not opened: such a file could run a program.",
        hint="Give the stereo_params.pickle that DeepLabCut has written, or a calibration.toml.",
    )


class _Forbidden(Exception):
    """The pickle wants something that is not given to it."""


class _Unpickler(pickle.Unpickler):
    _left = MOST_BYTES

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _Tool(self._encoded)
        found = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise _Forbidden(f"{module}.{name}"[:80])
        return found

    def _encoded(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise _Forbidden(f"text in {encoding}"[:80])
        # The same text may be named again and again: each time it is copied.
        self._left -= len(text)
        if self._left < 0:
            raise _Forbidden("more than the file's own size")
        return text.encode("latin1")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Forbidden("a reference to something outside")


class _Array:
    """Stands for an array while it is put together, in the way in which arrays are pickled: made empty, then filled."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        self.value: np.ndarray[Any, Any] = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        self.value = _filled(content, kind, shape, "F" if fortran else "C")


class _Kind:
    """Stands for numpy's dtype: the kind of numbers in an array."""

    def __init__(self, code: str, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or len(code) > 8:
            raise _Forbidden("a kind of values that are no numbers")
        self.value = np.dtype(code)
        if self.value.kind not in "biufc":
            raise _Forbidden("values that are no numbers")

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">", "="):
            self.value = self.value.newbyteorder(state[1])


def _filled(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    if not isinstance(kind, _Kind) or not isinstance(content, bytes | bytearray):
        raise _Forbidden("an array of something else than numbers")
    # Not copied: a small file may name the same bytes again and again.
    return np.frombuffer(content, kind.value).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any, *axes: Any) -> np.ndarray[Any, Any]:
    return _filled(content, kind, shape, order)


def _scalar(kind: Any, content: Any) -> Any:
    return _filled(content, kind, (), "C")[()]


class _Tool:
    """What a pickle may call, and cannot change."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Forbidden("a change of what it was given")

    def __setstate__(self, state: Any) -> None:
        raise _Forbidden("a change of what it was given")


def _no_class(*arguments: Any) -> NoReturn:
    raise _Forbidden("an array without its values")


_KNOWN: Mapping[tuple[str, str], _Tool] = {
    ("numpy", "ndarray"): _Tool(_no_class),  # named by every array, called by none
    ("numpy", "dtype"): _Tool(_Kind),
    ("numpy.core.multiarray", "_reconstruct"): _Tool(_Array),
    ("numpy.core.multiarray", "scalar"): _Tool(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Tool(_from_buffer),
}


def array(value: Any) -> np.ndarray[Any, Any]:
    """Return an array of numbers that was found in a pickle, or nested lists of them.

    Raises
    ------
    AnalysisFailed
        They are more than `MOST_NUMBERS`, or are none (kind ``CalibrationUnreadable``).
    """
    found = value.value if isinstance(value, _Array) else value
    _check_number(found)
    made = np.asarray(found)
    if made.dtype.kind not in "biuf":
        raise refused("The calibration holds something else than numbers where numbers belong.")
    return made.astype(np.float64)


def _check_number(found: Any) -> None:
    """Refuse lists that are in themselves, or so often in each other that numpy would fill the memory with them."""
    waiting, left = [found], MOST_NUMBERS
    while waiting:
        each = waiting.pop()
        if isinstance(each, list | tuple):
            left -= len(each)
            waiting.extend(each)
        elif isinstance(each, np.ndarray):
            left -= each.size
        if left < 0:
            raise refused("The calibration holds far more numbers than cameras have.")
