"""Looking for a board in rendered pictures and videos, and what is said where it is not to be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlc_jupyter.demo import boards
from dlc_jupyter.pose3d.board_views import Source, look
from dlc_jupyter.pose3d.boards import Board, Corners
from dlc_jupyter.pose3d.calibration import calibrate
from tests.pose import videos
from tests.pose3d.seen_boards import BOARD, assert_right, refusal, usual


@pytest.fixture
def filmed(rendered, tmp_path) -> Callable[..., Source]:
    """Make a video of each picture of a camera, in which each stands still for three frames."""
    _, sources = rendered(2, (320, 240))

    def make(number: int, *, rate: int = 10, cut: bool = False) -> Source:
        camera = sources[number].camera
        pattern = str(Path(sources[number].pictures[0]).with_name(f"{camera}-%02d.png"))
        given = ["-framerate", str(rate), "-i", pattern, "-vf", f"fps={3 * rate}"]
        if cut:
            return Source(camera, video=videos.cut_open(tmp_path / f"cut-{camera}.mp4", given)[0])
        coding = ["-c:v", "libx264", "-crf", "10", "-movflags", "+faststart"]
        return Source(camera, video=videos.ffmpeg([*given, *coding], tmp_path / f"{camera}.mp4"))

    return make


def test_videos_are_looked_into_once_from_start_to_end(rendered, tmp_path) -> None:
    truth, sources = rendered(2, (320, 240))
    made = []
    for source in sources:
        # Each picture stands still for three frames.
        pattern = str(Path(source.pictures[0]).with_name(f"{source.camera}-%02d.png"))
        target = tmp_path / f"{source.camera}.avi"
        videos.ffmpeg(["-framerate", "10", "-i", pattern, "-vf", "fps=30", "-c:v", "mjpeg", "-q:v", "1"], target)
        made.append(Source(source.camera, video=target))
    steps: list[tuple[int, int]] = []
    views = look(BOARD, made, every=3, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (36, 36)
    assert views[0].labels[1].startswith("frame 3 (0.1")
    assert views[1].numbers == list(range(0, 54, 3))
    assert_right(calibrate(BOARD, views), truth)


def test_a_video_without_its_first_frames_is_refused_as_for_points_in_space(filmed) -> None:
    said = refusal("VideoDamaged", lambda: look(BOARD, [filmed(0), filmed(1, cut=True)], truncate=True))
    assert re.search(r"The video of camera-2 begins with \d+ frames that cannot be decoded", said)


def test_a_video_that_is_cut_short_is_refused_naming_its_camera(filmed) -> None:
    whole = filmed(1)
    short = replace(whole, video=videos.cut(whole.video, 0.8, whole.video.with_name("short.mp4")))
    said = refusal("VideoCutShort", lambda: look(BOARD, [filmed(0), short], truncate=True))
    assert said.startswith("The video of camera-2: ")


def test_videos_of_different_rates_are_refused_or_taken_for_the_same_moments_with_a_note(filmed) -> None:
    sources = [filmed(0), filmed(1, rate=8)]
    said = refusal("RateMismatch", lambda: look(BOARD, sources))
    assert "camera-1 has 30 frames a second, camera-2 has 24" in said
    views = look(BOARD, sources, every=6, truncate=True)
    [note] = [note for each in views for note in each.notes]
    assert "camera-2 has 24" in note
    assert note.endswith("Frame by frame they were taken for the same moments.")


def test_a_progress_that_raises_ends_the_looking(rendered) -> None:
    _, sources = rendered(2, (320, 240))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(BOARD, sources, progress=stop)


def test_one_camera_only(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    assert "two or more cameras" in refusal("TooFewCameras", lambda: look(BOARD, sources[:1]))
    refusal("TooFewCameras", lambda: calibrate(BOARD, usual()[1][:1]))


def test_a_board_that_is_never_seen(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    wrong = Board(columns=10, rows=7)
    said = refusal("BoardNotFound", lambda: look(wrong, sources))
    assert "In none of the 18 pictures of camera-1 is there a checkerboard of 10 x 7 inner corners" in said
    assert "Instead, a board of 9 x 6 inner corners is seen." in said
    other = Board("charuco", columns=8, rows=6)
    assert "charuco of 8 x 6 squares" in refusal("BoardNotFound", lambda: look(other, sources))


def test_a_board_that_is_mostly_another_one(rendered, tmp_path) -> None:
    """In one picture the named board is seen, and in some others a part of the larger one passes for it."""
    _, sources = rendered(2, (320, 240))
    boards.write(tmp_path, 1)
    mixed = []
    for each in sources:
        for path in each.pictures[1:]:
            cv2.imwrite(str(tmp_path / path.name), cv2.resize(cv2.imread(str(path)), (640, 480)))
        others = [tmp_path / path.name for path in each.pictures[1:]]
        mixed.append(replace(each, pictures=[tmp_path / f"{each.camera}-00.jpg", *others], labels=[]))
    named = Board(columns=boards.COLUMNS, rows=boards.ROWS)
    views = look(named, mixed)
    passed = len(views[0].corners)
    assert 0 in views[0].corners
    assert 1 < passed < 9
    [note] = views[0].notes
    assert f"found in {passed} of 18 pictures; in others a board of 9 x 6 inner corners is seen: check colu" in note
    said = refusal("TooFewPictures", lambda: calibrate(named, views))
    assert "Instead, a board of 9 x 6 inner corners is seen: check columns and rows" in said
    # Where the named board is mostly seen, nothing else is spoken of.
    assert [(each.instead, each.notes) for each in look(BOARD, mixed)] == [(None, []), (None, [])]


def covered(board: Board, corners: Corners, path: Path, start: float, target: Path) -> Path:
    """A picture of the board with something over all of its columns from one on; counted in squares."""
    flat = board.points[corners.numbers][:, :2] / board.square
    onto, _ = cv2.findHomography(flat, corners.pixels)
    end = board.columns + 1.0
    hidden = np.array([[[start, -2.0], [end, -2.0], [end, board.rows + 1.0], [start, board.rows + 1.0]]])
    picture = cv2.fillPoly(
        cv2.imread(str(path)), np.rint(cv2.perspectiveTransform(hidden, onto)).astype(int), (140, 140, 140)
    )
    cv2.imwrite(str(target), picture)
    return target


@pytest.mark.parametrize(
    ("board", "size", "start"),
    [(BOARD, (320, 240), 7.6), (Board("charuco", columns=8, rows=6, square=35, unit="mm"), (640, 480), 1.9)],
    ids=["checkerboard", "charuco"],
)
def test_the_right_board_that_is_mostly_covered_in_part_is_not_called_another_one(
    rendered, tmp_path, board, size, start
) -> None:
    _, sources = rendered(2, size, board)
    parts, partly = [], []
    for each, whole in zip(sources, look(board, sources), strict=True):
        pictures = list(each.pictures)
        for number in sorted(whole.corners)[4:]:
            target = tmp_path / pictures[number].name
            pictures[number] = covered(board, whole.corners[number], pictures[number], start, target)
            parts.append(board.instead(cv2.imread(str(target), cv2.IMREAD_GRAYSCALE)))
        partly.append(replace(each, pictures=pictures))
    assert sum(each is not None for each in parts) > 5, "a part of it looks like another board"
    assert {each.part for each in parts if each} == {True}
    views = look(board, partly)
    assert [each.mostly_not for each in views] == [True, True]
    assert [(each.instead, each.notes) for each in views] == [(None, []), (None, [])]
    said = refusal("TooFewPictures", lambda: calibrate(board, views))
    assert "Instead" not in said
    # Where it is nowhere to be seen whole, what is seen is told, with what may be done.
    alone = [replace(each, pictures=[each.pictures[number] for number in range(8, 14)], labels=[]) for each in partly]
    failed = refusal("BoardNotFound", lambda: look(board, alone))
    assert f"Instead, {next(each.seen for each in parts if each)}" in failed


def test_pictures_of_different_sizes(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), np.zeros((100, 200), np.uint8))
    mixed = Source("camera-1", [*sources[0].pictures[:3], odd])
    said = refusal("SizeChanges", lambda: look(BOARD, [mixed, replace(sources[1], pictures=sources[1].pictures[:4])]))
    assert "odd.png has 200 x 100 pixels, those before it have 320 x 240" in said


def test_different_numbers_of_pictures(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    fewer = [sources[0], replace(sources[1], pictures=sources[1].pictures[:-1])]
    said = refusal("LengthMismatch", lambda: look(BOARD, fewer))
    assert "camera-1 has 18, camera-2 has 17" in said
    views = look(BOARD, fewer, truncate=True)
    assert [len(each.labels) for each in views] == [17, 17]


def test_files_that_are_no_pictures(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    text = tmp_path / "text.png"
    text.write_text("no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    bad = Source("camera-1", [text, empty])
    said = refusal("NotAPicture", lambda: look(BOARD, [bad, replace(sources[1], pictures=sources[1].pictures[:2])]))
    assert "None of the 2 pictures of camera-1" in said
    # One among others is left out, and named.
    one = [replace(sources[0], pictures=[text, *sources[0].pictures[1:]]), sources[1]]
    views = look(BOARD, one)
    assert views[0].labels[0] == "text.png"
    assert views[0].left_out[0] == "it is no picture that can be read"


def test_no_pictures_and_names_given_twice(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    refusal("LengthMismatch", lambda: look(BOARD, [Source("a"), Source("b")]))
    refusal("AnalysisFailed", lambda: look(BOARD, [sources[0], sources[0]]))
    mixed = [sources[0], Source("b", video=sources[1].pictures[0])]
    refusal("NotAVideo", lambda: look(BOARD, mixed))
