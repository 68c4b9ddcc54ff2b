"""Corners of boards, found in rendered pictures of which every corner is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose3d.boards import Board, Corners, NotSeen
from tests.pose3d import rigs

SMALL, LARGE = (320, 240), (1280, 960)
CHECKERBOARD = Board(columns=9, rows=6, square=22, unit="mm")
CHARUCO = Board("charuco", columns=8, rows=6, square=32, unit="mm")


def grey(picture: rigs.Picture) -> rigs.Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def looks(board: Board, size: tuple[int, int], count: int = 4) -> list[tuple[rigs.Picture, rigs.Array]]:
    """Pictures in which a camera sees the whole board, and its corners in them."""
    drawn = rigs.board_pictures(rigs.rig(2, size), board, count)
    return [
        (grey(drawn.pictures[camera][number]), drawn.corners[camera, number])
        for camera, number in np.argwhere(drawn.seen)
    ]


def error(found: Corners, truth: rigs.Array) -> float:
    return float(np.sqrt(np.mean(np.sum((found.pixels - truth[found.numbers]) ** 2, axis=1))))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_corners_of_a_checkerboard_are_right_within_a_tenth_of_a_pixel_whatever_the_size(size) -> None:
    errors = [error(CHECKERBOARD.find(picture), truth) for picture, truth in looks(CHECKERBOARD, size)]
    assert len(errors) > 4
    assert max(errors) < 0.1


def test_the_window_of_fixed_size_that_deeplabcut_uses_is_wrong_on_small_pictures() -> None:
    """What the window that follows the squares is for."""
    picture, truth = looks(CHECKERBOARD, SMALL, 2)[0]
    fixed = np.array(truth, np.float32).reshape(-1, 1, 2)
    cv2.cornerSubPix(picture, fixed, (11, 11), (-1, -1), (cv2.TERM_CRITERIA_COUNT, 30, 0.001))
    assert np.sqrt(np.mean(np.sum((fixed[:, 0] - truth) ** 2, axis=1))) > 2


@pytest.mark.parametrize(("size", "most"), [(SMALL, 0.25), (LARGE, 0.1)])
def test_corners_of_a_charuco_board(size, most) -> None:
    errors = []
    for picture, truth in looks(CHARUCO, size):
        try:
            errors.append(error(CHARUCO.find(picture), truth))
        except NotSeen:
            assert size == SMALL  # its markers have hardly more bits than pixels there
    assert len(errors) >= 4
    assert np.median(errors) < most


def test_a_part_of_a_charuco_board_is_enough() -> None:
    picture, truth = looks(CHARUCO, LARGE, 1)[0]
    picture[:, int(np.median(truth[:, 0])) :] = 128
    found = CHARUCO.find(picture)
    assert 6 <= len(found) < len(CHARUCO.points)
    assert error(found, truth) < 0.2


def test_a_charuco_board_that_an_older_opencv_has_drawn() -> None:
    board = CHARUCO.charuco(legacy=True)
    drawn = cv2.copyMakeBorder(board.generateImage((640, 480)), *[60] * 4, cv2.BORDER_CONSTANT, value=255)
    found = CHARUCO.find(drawn)
    expected = CHARUCO.points[found.numbers, :2] / CHARUCO.square * 80 + 60 - 0.5
    assert len(found) == len(CHARUCO.points)
    assert np.abs(found.pixels - expected).max() < 0.5


@pytest.mark.parametrize("turn", [0, 2])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_first_corner_is_the_same_however_the_camera_is_held(turn, mirrored) -> None:
    """9 x 6: its squares tell its ends apart. OpenCV itself begins at either end."""
    picture, truth = looks(CHECKERBOARD, (640, 480), 1)[0]
    picture = np.ascontiguousarray(np.rot90(picture, turn))
    corners = truth if turn == 0 else np.array([639, 479]) - truth
    if mirrored:  # turned back by finding: a board is seen from its front
        found = CHECKERBOARD.find(np.ascontiguousarray(picture[:, ::-1]))
        right = found.pixels[1] - found.pixels[0]
        down = found.pixels[CHECKERBOARD.columns] - found.pixels[0]
        assert right[0] * down[1] - right[1] * down[0] > 0
    else:
        assert error(CHECKERBOARD.find(picture), corners) < 0.1


@pytest.mark.parametrize(
    ("columns", "rows", "turns"), [(9, 6, (0,)), (8, 6, (0, 2)), (6, 6, (0, 1, 2, 3)), (7, 7, (0, 2)), (8, 5, (0,))]
)
def test_a_board_knows_how_it_can_be_turned_and_look_the_same(columns, rows, turns) -> None:
    board = Board(columns=columns, rows=rows)
    assert board.turns == turns
    drawn = rigs.drawing(board)
    assert [quarters for quarters in range(4) if np.array_equal(np.rot90(drawn, quarters), drawn)] == list(turns)
    for quarters in turns:
        rotation, shift = board.turned(quarters)
        assert np.allclose(board.points @ rotation.T + shift, board.points[board.order(quarters)])


@pytest.mark.parametrize(("columns", "rows"), [(8, 6), (9, 5), (10, 7), (7, 6)])
def test_a_board_of_another_size_is_not_taken_for_this_one_and_is_named(columns, rows) -> None:
    picture, _ = looks(CHECKERBOARD, (640, 480), 1)[0]
    wrong = Board(columns=columns, rows=rows)
    with pytest.raises(NotSeen, match="not found"):
        wrong.find(picture)
    other = wrong.instead(picture)
    assert str(other) == "a board of 9 x 6 inner corners is seen: check columns and rows"
    assert other.part == ((columns, rows) == (10, 7)), "only the larger one may be hidden in part"


def test_other_markers_are_named() -> None:
    picture, _ = looks(CHARUCO, LARGE, 1)[0]
    other = Board("charuco", 8, 6, 32, "mm", dictionary="6X6_50").instead(picture)
    assert (str(other), other.part) == ("markers of 4X4_50 are seen, not of 6X6_50: check the dictionary", False)
    other = Board("charuco", 5, 9, 32, "mm").instead(picture)
    assert (other.advice, other.part) == ("show more of it, or check columns, rows and the marker's side", True)


def test_squares_of_some_pixels_are_too_small() -> None:
    small = Board(columns=9, rows=6, square=4.5)
    picture, _ = looks(CHECKERBOARD, (640, 480), 1)[0]
    tiny = cv2.resize(picture, None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    with pytest.raises(NotSeen):
        small.find(np.asarray(tiny, np.uint8))


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ({"kind": "circles"}, "checkerboard or charuco"),
        ({"columns": 2}, "at least 3 x 3"),
        ({"square": 0}, "larger than 0"),
        ({"square": float("nan")}, "larger than 0"),
        ({"kind": "charuco", "marker": 2.0}, "smaller than a square"),
        ({"kind": "charuco", "dictionary": "3X3_7"}, "There are: 4X4_50"),
    ],
)
def test_what_cannot_be_printed_is_refused(board, said) -> None:
    with pytest.raises(BadRequest, match=said):
        Board(**board)
