"""Drawing poses on a video: decoded, drawn and encoded at the same time, to what every browser plays.

Three stages hand on the same few buffers: `Frames` decodes into them in a thread, `Painter` draws in them, `Writer`
gives them to ffmpeg in another thread. An error in one of them ends all. The pixels are those of DeepLabCut's fast
mode, which does one after the other, through OpenCV, into MPEG-4 part 2: no browser plays that, and frames beyond
OpenCV's frame count are left out. The other mode, through matplotlib, is DeepLabCut's own (`_draw_slowly`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.drawing import Look, Painter
from dlc_jupyter.pose.encoding import Encoder, Writer, check_playable, find_ffmpeg, make_playable
from dlc_jupyter.pose.filters import Filter, filter_poses
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.full_pickle import Boxes
from dlc_jupyter.pose.media import Media, seconds
from dlc_jupyter.pose.network import LOG, Network, Poses, explained
from dlc_jupyter.pose.projects import Model, lacking_bodyparts, read_yaml
from dlc_jupyter.pose.tables import PoseTable

#: How many bytes of pictures are handed on at once, if a picture is not larger.
_AT_ONCE = 1 << 22
#: Batches of pictures besides the one that is drawn on.
_AHEAD = 5


@dataclass(frozen=True)
class Style:
    """How poses are drawn: the arguments of ``create_labeled_video``, and what it reads from config.yaml instead.

    None stands for what the project's config.yaml says, and for all body parts. Without `fastmode` matplotlib draws:
    smooth dots that let the picture through, at some ten frames a second.
    """

    pcutoff: float | None = None
    draw_skeleton: bool = False
    trailpoints: int = 0
    displayedbodyparts: Sequence[str] | None = None
    color_by: str = "bodypart"
    confidence_to_alpha: bool = False
    displaycropped: bool = False
    filtered: bool = False
    dotsize: int | None = None
    colormap: str | None = None
    skeleton_color: str | None = None
    fastmode: bool = True

    def check(self, model: Model) -> list[str]:
        """Refuse body parts that do not exist; return what the user should know."""
        lacking = lacking_bodyparts(model, self.displayedbodyparts) if self.displayedbodyparts is not None else ""
        if lacking:
            raise AnalysisFailed(
                lacking,
                hint="Correct displayedbodyparts, or leave it out for all of them.",
                kind="UnknownBodyPart",
            )
        if self.draw_skeleton and not model.skeleton:
            return ["The project's config.yaml names no skeleton, so none is drawn."]
        shown = set(model.bodyparts if self.displayedbodyparts is None else self.displayedbodyparts)
        if self.draw_skeleton and not any(shown.issuperset(pair) for pair in model.skeleton):
            among = "" if self.displayedbodyparts is None else " of displayedbodyparts"
            return [f"No line of the project's skeleton joins two body parts{among}, so none is drawn."]
        return []

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``create_labeled_video``."""
        return {
            "pcutoff": self.pcutoff,
            "draw_skeleton": self.draw_skeleton,
            "trailpoints": self.trailpoints,
            "displayedbodyparts": "all" if self.displayedbodyparts is None else list(self.displayedbodyparts),
            "color_by": self.color_by,
            "confidence_to_alpha": self.confidence_to_alpha,
            "displaycropped": self.displaycropped,
            "filtered": self.filtered,
            "fastmode": self.fastmode,
        }

    def write_to(self, config: Path) -> None:
        """Write into a private config.yaml what DeepLabCut takes from there, whatever its arguments say."""
        names = ("dotsize", "colormap", "skeleton_color")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if changes:
            values = read_yaml(config)
            config.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False, allow_unicode=True), "utf-8")


def draw(
    network: Network,
    poses: Poses,
    video: Path,
    media: Media,
    style: Style,
    target: Path,
    *,
    start: int = 0,
    stop: int | None = None,
    progress: Callable[[int], None],
    mark: bool = False,
) -> dict[str, Any]:
    """Draw poses on a video, or on a part of it, and check the outcome.

    Parameters
    ----------
    network : Network
        That which made the poses: its project says how they are drawn.
    target : Path
        The MP4 file to write, at a constant rate of ``media.fps``.
    start, stop : int, optional
        Which of the frames that have poses are shown: as in ``range``.
    progress : callable
        Told how many frames have been drawn.
    mark : bool
        Whether frames that cannot be decoded have rows of NaN: they are black then. Not without `Style.fastmode`.

    Returns
    -------
    dict
        ``frames``, ``fps``, and what `check_playable` returns.

    Raises
    ------
    AnalysisFailed
        It cannot be drawn or written, or is not whole.
    """
    style.write_to(network.config)
    shown = range(poses.rows)[start:stop]
    painter = None
    with explained(network):
        if style.filtered:
            filter_poses(network, poses, video, Filter())
        if style.fastmode:
            painter = _painter(network, poses, media, style, shown.stop)
        else:
            _draw_slowly(network, poses, video, media, style, target, shown, progress)
    if painter is not None:
        render(video, media, painter, shown.stop, target, start=shown.start, progress=progress, mark=mark)
    return {"frames": len(shown), "fps": round(float(media.fps), 6), **check_playable(target, len(shown))}


def render(
    video: Path,
    media: Media,
    painter: Painter,
    rows: int,
    target: Path,
    *,
    start: int = 0,
    progress: Callable[[int], None],
    mark: bool = False,
) -> None:
    """Decode the first `rows` frames of a video, draw on each from `start` on, and write these as H.264.

    Row i of poses is the i-th frame that can be decoded, which need not be frame i: see `Media.leading`. With `mark` it
    is frame i, where the container says where that is (`Media.first`). So the frames are counted here as they were
    there.

    Raises
    ------
    AnalysisFailed
        A frame cannot be decoded, or the video cannot be written. What there is of it is of no use.
    """
    size = max(1, min(8, _AT_ONCE // (painter.width * painter.height * 3)))
    encoder = Encoder(target, media.fps)
    encoder.start(painter.width, painter.height)  # by this thread and before there are others: see there
    drawn = 0
    try:
        with (
            Frames(
                video, media, size=size, start=start, stop=rows, crop=painter.crop, ahead=_AHEAD, mark=mark
            ) as frames,
            Writer(encoder, frames.release) as writer,
        ):
            for batch in frames:
                for number, picture in zip(batch.numbers, batch.pictures, strict=True):
                    painter.draw(picture, number)
                drawn += len(batch)
                writer.put(batch)
                progress(drawn)
            if start + drawn < rows:
                where = frames.name(frames.read)
                raise AnalysisFailed(f"{where} could not be decoded for drawing.", kind="VideoCutShort")
            frames.account()
        encoder.finish()
    finally:
        encoder.abandon()


# -- what is drawn ---------------------------------------------------------------------------------------------------


def _painter(network: Network, poses: Poses, media: Media, style: Style, rows: int) -> Painter:
    """Return what draws the first `rows` poses, with everything settled as ``create_labeled_video`` settles it."""
    from deeplabcut.utils import auxiliaryfunctions

    table = _read(poses, style.filtered, rows)
    cropping = auxiliaryfunctions.read_pickle(poses.file("_meta.pickle"))["data"]["cropping_parameters"]
    x1, x2, y1, y2 = (int(each) for each in cropping)
    return Painter(
        table,
        _look(network, style, table.columns.get_level_values("bodyparts")),
        (media.width, media.height),
        (x1, x2, y1, y2),
        _boxes(poses.file("_full.pickle")),
    )


def _read(poses: Poses, filtered: bool, rows: int) -> pd.DataFrame:
    """Return the poses with a row for each of so many frames."""
    path = poses.file(f"{poses.tracker}_filtered.h5") if filtered else poses.h5
    table = PoseTable(path)
    if table.scorer != poses.scorer:
        raise AnalysisFailed("The poses that were to be drawn are another network's.", hint=LOG, kind="NoPoses")
    return table.frame(rows)


def _look(network: Network, style: Style, names: Any) -> Look:
    from deeplabcut.utils import auxiliaryfunctions

    project = auxiliaryfunctions.read_config(network.config)
    shown = "all" if style.displayedbodyparts is None else list(style.displayedbodyparts)
    look: dict[str, Any] = {
        "bodyparts": auxiliaryfunctions.intersection_of_body_parts_and_ones_given_by_user(project, shown),
        "skeleton": project["skeleton"] or [],
        **{name: project[name] for name in ("dotsize", "colormap", "skeleton_color")},
    }
    if _is_superanimal(network, project):
        # DeepLabCut then draws that model's own body parts, and does not ask the project how.
        look = {"bodyparts": names if shown == "all" else shown, "dotsize": 8, "skeleton_color": "white"}
        look |= {name: getattr(style, name) for name in look if getattr(style, name, None) is not None}
    if shown != "all":
        look["skeleton"] = [pair for pair in look.get("skeleton", ()) if set(pair) <= set(shown)]
    if not style.draw_skeleton:
        look["skeleton"] = []
    return Look(
        **look,
        pcutoff=project["pcutoff"] if style.pcutoff is None else style.pcutoff,
        trailpoints=style.trailpoints,
        color_by=style.color_by,
        confidence_to_alpha=style.confidence_to_alpha,
        displaycropped=style.displaycropped,
        bboxes_pcutoff=project.bboxes_pcutoff,
    )


def _is_superanimal(network: Network, project: Any) -> bool:
    """Return whether the network was made of one of DeepLabCut's SuperAnimal models and keeps its body parts."""
    from deeplabcut.core.engine import Engine
    from deeplabcut.utils import auxiliaryfunctions

    share = project["TrainingFraction"][network.trainingsetindex]
    folder = auxiliaryfunctions.get_model_folder(share, network.shuffle, project, engine=Engine.PYTORCH)
    path = network.config.parent / folder / "train" / Engine.PYTORCH.pose_cfg_name
    settings = read_yaml(path).get("train_settings") if path.is_file() else None
    return bool(((settings or {}).get("weight_init") or {}).get("memory_replay"))


def _boxes(path: Path) -> list[Mapping[str, Any]]:
    """Return the boxes that a detector has drawn around animals, for each frame; [] where there was none.

    The file is read only if it has any: without them it is of no use here.
    """
    if not path.is_file() or not _has(path, b"bboxes"):
        return []
    with path.open("rb") as file:
        full = Boxes(file).load()
    frames = {int(name[5:]): found for name, found in full.items() if name.startswith("frame") and name[5:].isdigit()}
    if not any("bboxes" in each for each in frames.values()):
        return []
    return [{name: frames[at].get(name) for name in ("bboxes", "bbox_scores")} for at in sorted(frames)]


def _has(path: Path, word: bytes) -> bool:
    before = b""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            if word in before + piece:
                return True
            before = piece[-len(word) :]
    return False


# -- DeepLabCut's other mode -----------------------------------------------------------------------------------------


def _draw_slowly(
    network: Network,
    poses: Poses,
    video: Path,
    media: Media,
    style: Style,
    target: Path,
    shown: range,
    progress: Callable[[int], None],
) -> None:
    """Have ``deeplabcut.create_labeled_video`` draw with matplotlib, and bring what it wrote into its form."""
    import deeplabcut
    import matplotlib

    with matplotlib.rc_context({"animation.ffmpeg_path": find_ffmpeg()}), _replaced(shown, media.fps, progress):
        made = deeplabcut.create_labeled_video(
            str(network.config),
            [str(video)],
            overwrite=True,
            destfolder=str(poses.folder),
            Frames2plot=list(shown),
            **network.chosen,
            **style.arguments,
        )
    written = list(poses.folder.glob("*_labeled.mp4"))
    if made != [True] or not written:
        raise AnalysisFailed("DeepLabCut did not find the poses that it was to draw.", hint=LOG, kind="NoPoses")
    make_playable(written[0], target)
    written[0].unlink()


@contextmanager
def _replaced(shown: range, fps: Fraction, progress: Callable[[int], None]) -> Iterator[None]:
    """Have ``create_labeled_video`` read up to the last frame `shown`, in this process, and tell how far it has come.

    Three names are replaced in ``deeplabcut.utils.make_labeled_video`` while the context lasts (DeepLabCut 3.0.0 to
    3.0.2): ``vp``, the class that reads video; ``trange``, its progress bar; and ``get_start_method``, by which it
    decides whether to work in a pool of forks, which is no good after torch has started threads.
    """
    from deeplabcut.utils import make_labeled_video as module

    class Source(module.vp):  # type: ignore[misc]
        def get_info(self) -> None:
            super().get_info()
            self.nframes, self.fps = shown.stop, float(fps)

        def load_frame(self) -> Any:
            frame = super().load_frame()
            if frame is None:
                where = f"Frame {self.i} of the video (counted from 0; {seconds(self.i / float(fps))})"
                raise AnalysisFailed(f"{where} could not be decoded for drawing.", kind="VideoCutShort")
            return frame

    def counted(number: int) -> Iterator[int]:
        for index in range(number):
            yield index
            progress(max(index + 1 - shown.start, 0))

    folder = Path.cwd()  # which it leaves for another, and does not come back when it fails
    names = {"vp": Source, "trange": counted, "get_start_method": lambda: "spawn"}
    originals = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        os.chdir(folder)
        for name, value in originals.items():
            setattr(module, name, value)
