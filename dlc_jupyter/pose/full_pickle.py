"""Writing ``_full.pickle``, DeepLabCut's file of all that was found in each frame, without making it in memory first.

DeepLabCut makes a dictionary of some dozens of small arrays for each frame, and pickles them all. The pickles of two
frames differ in nothing but the frame's number and the arrays' bytes. So the pickle of one frame is made here as a
template, opcode by opcode (Python's ``pickletools.py`` describes them): a numpy record whose fields are those bytes.
It is repeated for thousands of frames at a time, and filled in field by field. What is loaded equals what is loaded
from DeepLabCut's own file: the same keys in the same order, and arrays of the same types and shapes, to be written to.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# What all frames have in common is put once where the pickle remembers things, under numbers.
_NDARRAY, _FLOAT32, _FLOAT64, *_NAMED = (pickle.BINGET + bytes([number]) for number in range(9))
_NAMES = dict(zip(("coordinates", "confidence", "costs", "bboxes", "bbox_scores", "identity"), _NAMED, strict=True))


def header(pose_cfg: Mapping[str, Any], frames: int) -> dict[str, Any]:
    """Return the file's entry ``metadata``, as DeepLabCut's ``_generate_output_data`` makes it.

    Parameters
    ----------
    pose_cfg : mapping
        The model's ``test/pose_cfg.yaml``.
    frames : int
        How many frames the file has, at least 1.
    """
    joints = range(len(pose_cfg["all_joints"]))
    return {
        "nms radius": pose_cfg.get("nmsradius"),
        "minimal confidence": pose_cfg.get("minconfidence"),
        "sigma": pose_cfg.get("sigma", 1),
        "PAFgraph": pose_cfg.get("partaffinityfield_graph"),
        "PAFinds": pose_cfg.get("paf_best", np.arange(len(pose_cfg.get("partaffinityfield_graph", ())))),
        "all_joints": [[joint] for joint in joints],
        "all_joints_names": [pose_cfg["all_joints_names"][joint] for joint in joints],
        "nframes": frames,
        "key_str_width": int(np.ceil(np.log10(frames))),
    }


def write(file: IO[bytes], metadata: Mapping[str, Any], pieces: Iterable[Array]) -> None:
    """Write the file.

    Parameters
    ----------
    file : binary file
    metadata : mapping
        What `header` returns.
    pieces : iterable of structured ndarray, shape (frames,)
        All frames from the first one on, some thousand at a time: records as in `dlc_jupyter.pose.rows`.
    """
    # Protocol 3 remembers under numbers of its own; they are used again for what the frames have in common.
    file.write(pickle.PROTO + b"\x05" + pickle.EMPTY_DICT)
    file.write(text("metadata") + pickle.dumps(dict(metadata), 3)[2:-1] + pickle.SETITEM + shared())
    digits = max(1, metadata["key_str_width"])
    templates: dict[int, _Template] = {}
    first = 0
    for piece in pieces:
        numbers = np.arange(first, first + len(piece))
        first += len(piece)
        kinds = np.unique(piece["wide"]).tolist()
        for kind in set(kinds) - set(templates):
            templates[kind] = _Template(piece.dtype, kind, digits)
        file.write(pickle.MARK)
        if len(kinds) == 1:
            file.write(templates[kinds[0]].filled(piece, numbers).data.cast("B"))
        else:
            file.write(_mixed(templates, kinds, piece, numbers))
        file.write(pickle.SETITEMS)
    file.write(pickle.STOP)


class Boxes(pickle.Unpickler):
    """Loads the file as it was made by the engine itself, but with None for what can be no box and no box's score.

    So a long video's boxes are had without the rest, which is ten times as much.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what the file asks for."""
        found = super().find_class(module, name)
        if found is np.ndarray:
            return _boxes_only
        if name == "_reconstruct":  # numpy's own way of pickling, of which the metadata and DeepLabCut make use
            return lambda _kind, *more: found(np.ndarray, *more)
        return found


def _boxes_only(shape: tuple[int, ...], kind: np.dtype[Any], content: bytearray) -> Array | None:
    return np.ndarray(shape, kind, content) if len(shape) == 1 or shape[1:] == (4,) else None


def _mixed(templates: Mapping[int, _Template], kinds: Iterable[int], piece: Array, numbers: Array) -> bytes:
    """Return frames of several kinds, each of another length, in their order."""
    entries = [b""] * len(piece)
    for kind in kinds:
        where = np.flatnonzero(piece["wide"] == kind)
        for position, entry in zip(where.tolist(), templates[kind].filled(piece[where], numbers[where]), strict=True):
            entries[position] = entry.tobytes()
    return b"".join(entries)


class _Template:
    """The pickle of one frame: its key and its value.

    Parameters
    ----------
    layout : numpy.dtype
        That of the records.
    wide : int
        Bit i says that the arrays of field i are float64.
    digits : int
        How many the number of a frame has.
    """

    def __init__(self, layout: np.dtype[Any], wide: int, digits: int) -> None:
        self._layout = layout
        self._wide = wide
        self._bytes = b""
        self._holes: list[tuple[str, Any, int]] = []
        self._sources: list[tuple[str, str, tuple[Any, ...]]] = []
        self._add(pickle.SHORT_BINUNICODE + bytes([5 + digits]) + b"frame")
        self._hole("number", (np.uint8, (digits,)))
        self._add(pickle.EMPTY_DICT + pickle.MARK)
        self._add_poses()
        for name in ("bboxes", "bbox_scores"):
            if name in self._fields:
                self._add(_NAMES[name])
                self._array(name, ())
        if "identity_scores" in self._fields:
            self._add_identities()
        self._add(pickle.SETITEMS)
        names, formats, offsets = zip(*self._holes, strict=True)
        record = {"names": names, "formats": formats, "offsets": offsets, "itemsize": len(self._bytes)}
        self._record: np.dtype[Any] = np.dtype(record)  # type: ignore[call-overload]
        self._powers = 10 ** np.arange(digits - 1, -1, -1)

    def filled(self, piece: Array, numbers: Array) -> Array:
        """Return the pickles of frames, all of the same length: their records, and their numbers."""
        entries: Array = np.frombuffer(self._bytes, f"V{len(self._bytes)}").repeat(len(piece)).view(self._record)
        entries["number"] = numbers[:, None] // self._powers % 10 + ord("0")
        for hole, field, index in self._sources:
            entries[hole] = piece[field][(slice(None), *index)]
        return entries

    @property
    def _fields(self) -> tuple[str, ...]:
        return (self._layout.names or ())[:-1]

    def _add_poses(self) -> None:
        # A field has shape (individuals, body parts, x and y and likelihood), the file has an array for each body part.
        parts = [
            (name, part) for name in self._fields[:2] if "bodyparts" in name for part in range(self._shape(name)[1])
        ]
        every = slice(None)
        self._add(_NAMES["coordinates"] + pickle.EMPTY_LIST + pickle.MARK)
        for name, part in parts:
            self._array(name, (every, part, slice(0, 2)))
        self._add(pickle.APPENDS + pickle.TUPLE1 + _NAMES["confidence"] + pickle.EMPTY_LIST + pickle.MARK)
        for name, part in parts:
            self._array(name, (every, part, slice(2, 3)))
        self._add(pickle.APPENDS + _NAMES["costs"] + pickle.NONE)

    def _add_identities(self) -> None:
        animals, parts, individuals = self._shape("identity_scores")
        self._add(_NAMES["identity"] + pickle.EMPTY_LIST + pickle.MARK)
        for part in range(parts):
            self._array("identity_scores", (slice(None), part))
        if "unique_bodyparts" in self._fields:  # for which there are none: DeepLabCut writes -1
            unknown = np.full((animals, individuals), -1.0)
            for _ in range(self._shape("unique_bodyparts")[1]):
                self._add(array(unknown))
        self._add(pickle.APPENDS)

    def _array(self, field: str, index: tuple[Any, ...]) -> None:
        """Add an array, to be filled with that part of a record's field."""
        wide = self._wide >> self._fields.index(field) & 1
        example = np.empty(self._shape(field), np.float64 if wide else np.float32)[index]
        hole = f"{field}{len(self._holes)}"
        self._add(_opened(example))
        self._hole(hole, (example.dtype, example.shape))
        self._add(_CLOSED)
        self._sources.append((hole, field, index))

    def _hole(self, name: str, kind: tuple[Any, tuple[int, ...]]) -> None:
        self._holes.append((name, kind, len(self._bytes)))
        self._add(bytes(np.dtype(kind).itemsize))

    def _add(self, opcodes: bytes) -> None:
        self._bytes += opcodes

    def _shape(self, field: str) -> tuple[int, ...]:
        return self._layout[field].shape


# -- opcodes -----------------------------------------------------------------------------------------------------------


def shared() -> bytes:
    """What a file begins with so that `array` can be used in it: it is remembered under the first numbers."""
    numpy = text("numpy")
    values = [numpy + text("ndarray") + pickle.STACK_GLOBAL]
    for kind in (np.float32, np.float64):
        values.append(numpy + text("dtype") + pickle.STACK_GLOBAL)
        values[-1] += text(np.dtype(kind).str) + pickle.TUPLE1 + pickle.REDUCE
    values += map(text, _NAMES)
    return b"".join(value + pickle.BINPUT + bytes([number]) + pickle.POP for number, value in enumerate(values))


def array(values: Array) -> bytes:
    """Return the pickle of an array of float32 or float64, which can be written to when it is loaded."""
    return _opened(values) + values.tobytes() + _CLOSED


def _opened(array: Array) -> bytes:
    """``numpy.ndarray(shape, type, bytearray(…))``, as far as to the array's bytes."""
    integers = b"".join(pickle.BININT + length.to_bytes(4, "little") for length in array.shape)
    kind = _FLOAT64 if array.dtype == np.float64 else _FLOAT32
    return (
        _NDARRAY + pickle.MARK + integers + pickle.TUPLE + kind + pickle.BYTEARRAY8 + array.nbytes.to_bytes(8, "little")
    )


#: What follows on the array's bytes.
_CLOSED = pickle.TUPLE3 + pickle.REDUCE


def text(text: str) -> bytes:
    """Return the pickle of a short text."""
    encoded = text.encode()
    return pickle.SHORT_BINUNICODE + bytes([len(encoded)]) + encoded
