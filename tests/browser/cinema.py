"""A server with videos whose frames carry their numbers, poses of them, and what a page shows of both."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Locator, Page

from dlc_jupyter.jobs.records import Records, Request
from dlc_jupyter.jobs.scratch import kept_folder
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore
from tests.browser.numbered import KINDS, PARTS, make, number_of, places, write_compact
from tests.browser.pages import panel
from tests.system.servers import Server, Site, wait_until

#: Who says that it is working on the analyses that tests pretend to run, and for how long, in seconds.
WORKER, LEASE = "a test", 36_000.0

#: Colours of the body parts: matplotlib's rainbow, as DeepLabCut gives them. Red, green, blue.
COLOURS = np.array([(127, 0, 255), (128, 254, 179), (255, 0, 0)])


class Cinema:
    """Videos and their poses in a store, put there before its server starts.

    Attributes
    ----------
    videos, analyses : dict of str to str
        Ids of the videos and of the analyses of them, by the videos' names.
    poses : dict of str to array
        By the videos' names: frames x parts x (x, y, likelihood).
    """

    def __init__(self, folder: Path, films: Path) -> None:
        self.site = Site(folder)
        self.site.settings.root.mkdir(parents=True)
        self.videos: dict[str, str] = {}
        self.analyses: dict[str, str] = {}
        self.poses: dict[str, np.ndarray] = {}
        self._films = films

    def store(self, path: Path) -> str:
        """Put a file into the store, as it is."""
        with self._opened() as (files, _records):
            incoming = files.receive()
            incoming.append(path.read_bytes())
            return incoming.finish(path.name).file_id

    def show(self, name: str, frames: int, *, poses: np.ndarray | None = None, **header: Any) -> None:
        """Put a video and poses of it into the store."""
        video = make(name, self._films)
        self.videos[name] = self.store(video)
        with self._opened() as (files, _records):
            files.note_media(self.videos[name], inspect(video).as_json())  # as the first analysis of a video does
        self.poses[name] = places(frames) if poses is None else poses
        self.analyses[name] = self.show_again(name, self.poses[name], **header)

    def show_again(self, name: str, poses: np.ndarray, **header: Any) -> str:
        """Put poses of a video that is there into the store, and return the analysis whose they are."""
        made = self.store(write_compact(self.site.folder / f"{name}.dlcp", poses, **header))
        analysis = self.begin(self.videos[name])
        with self._opened() as (_files, records):
            assert records.succeed(analysis, WORKER, time.time(), {"poses_file": made}, [made])
        return analysis

    def show_in_space(self, name: str, points: np.ndarray, **header: Any) -> str:
        """Put points in space, frames x parts x (x, y, z, error), into the store, as of a video that is there."""
        about = {"scorer": "DLC_3d", "points": [["", part] for part in PARTS], "frames": len(points), **header}
        text = json.dumps(about | {"values": ["x", "y", "z", "error"]}).encode()
        text += b" " * (-len(text) % 4)
        path = self.site.folder / f"{name}.space"
        path.write_bytes(struct.pack("<4sII", b"DLCP", 2, len(text)) + text + points.astype("<f4").tobytes())
        made, analysis = self.store(path), self.begin(self.videos[name], "triangulate")
        with self._opened() as (_files, records):
            assert records.succeed(analysis, WORKER, time.time(), {"space_file": made}, [made])
        return analysis

    def begin(self, video: str, analysis: str = "video") -> str:
        """Pretend to run an analysis of a video."""
        with self._opened() as (_files, records):
            records.create(Request(analysis, {}, (video,)), time.time())
            record = records.claim(WORKER, time.time(), LEASE)
            assert record is not None
            return record.analysis_id

    def grow(self, analysis_id: str, poses: np.ndarray, total: int) -> None:
        """Write these poses as those that an analysis has found so far, and tell its progress."""
        folder = kept_folder(self.site.settings.root, analysis_id) / "poses"
        folder.mkdir(parents=True, exist_ok=True)
        about = {"scorer": "DLC_numbered", "points": [["", part] for part in PARTS], "span": [0, 1]}
        layout = [["bodyparts", "<f4", [1, len(PARTS), 3]]]
        (folder / "rows.json").write_text(json.dumps({"about": about, "name": "rows", "layout": layout}))
        (folder / "rows.bin").write_bytes(poses.astype("<f4").tobytes())
        with (folder / "rows.log").open("a") as log:
            log.write(json.dumps({"rows": len(poses), "crc": 1}) + "\n")
        progress = {"done": len(poses), "total": total, "unit": "frames"}
        with self._opened() as (_files, records):
            records.heartbeat(analysis_id, WORKER, time.time(), LEASE, progress)

    def start(self) -> Server:
        return self.site.start()

    @contextlib.contextmanager
    def _opened(self) -> Any:
        with contextlib.closing(Database(database_url(self.site.settings.root, ""))) as database:
            yield FileStore(self.site.settings, database), Records(database)


#: Returns what is on the canvas: the frame that the page says it is, and the picture as PNG.
_LOOK = """canvas => [Number(canvas.dataset.frame), canvas.toDataURL('image/png').split(',')[1]]"""

#: Looks at every picture of the screen for some seconds: what is painted in one go is seen in one go.
_WATCH = """(canvas, seconds) => new Promise(resolve => {
  const found = [], end = performance.now() + 1000 * seconds;
  let last = null;
  const look = () => {
    if (canvas.dataset.frame !== last) {
      last = canvas.dataset.frame;
      found.push([Number(last), canvas.toDataURL('image/png').split(',')[1]]);
    }
    if (performance.now() < end) requestAnimationFrame(look); else resolve(found);
  };
  look();
})"""


class Seen:
    """What is on a player's canvas.

    Attributes
    ----------
    said : int
        Which frame the page says it is.
    number : int or None
        Which one its pixels say; None where they say none.
    dots : array
        Where the dots of each part are, in pixels of the video; NaN where there are none.
    """

    def __init__(self, said: int, png: str, width: int) -> None:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)
        self.picture = picture
        self.said = said
        self.number = number_of(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        self.dots = dots(picture, picture.shape[1] / width)


def dots(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return the middle of what has each part's colour; the pictures themselves are grey."""
    rgb = picture[..., ::-1].astype(int)
    found = np.full((len(COLOURS), 2), np.nan)
    for part, colour in enumerate(COLOURS):
        rows, columns = np.nonzero((np.abs(rgb - colour) < 45).all(axis=-1))
        if len(rows):
            found[part] = (columns.mean() + 0.5) / scale, (rows.mean() + 0.5) / scale
    return found


class Seat:
    """A person in front of the player: what is pressed, and what is seen."""

    def __init__(self, page: Page, width: int) -> None:
        self.page, self.width = page, width
        self.player: Locator = panel(page, "player")
        self.canvas = self.player.locator(".dlc-stage-canvas")
        self.field = self.player.get_by_label("type a number to go there")

    def look(self) -> Seen:
        return Seen(*self.canvas.evaluate(_LOOK), self.width)

    def photograph(self, frame: int) -> Seen:
        """Return what a person sees, whatever it is made of."""
        png = self.canvas.screenshot(animations="disabled")
        return Seen(frame, base64.b64encode(png).decode(), self.width)

    def watch(self, seconds: float) -> list[Seen]:
        return [Seen(*each, self.width) for each in self.canvas.evaluate(_WATCH, seconds)]

    def until(self, frame: int) -> Seen:
        """Wait until the page says that it shows a frame."""
        self.page.wait_for_function(
            "([canvas, frame]) => canvas.dataset.frame === frame", arg=[self.canvas.element_handle(), str(frame)]
        )
        return self.look()

    def pictured(self) -> Seat:
        """Wait until there is a picture beneath the poses: they may be there before it."""
        wait_until(lambda: self.look().number is not None)
        return self

    def go(self, frame: int) -> Seen:
        """Type the number of a frame."""
        self.field.fill(str(frame))
        self.field.press("Enter")
        return self.until(frame)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.player.locator(".dlc-player").press(key)


def wrong(seen: list[Seen], name: str, poses: np.ndarray, within: float = 1.2) -> list[str]:
    """Return what is not as it should be: pixels of another frame than the page says, or poses of another one."""
    found = []
    for each in seen:
        if each.number is None or each.number - KINDS[name].first != each.said:
            found.append(f"frame {each.said}: its picture is {each.number}")
        off = np.abs(each.dots - poses[each.said, :, :2]).max()
        if not off < within:
            found.append(f"frame {each.said}: the poses are {off} pixels off")
    return found
