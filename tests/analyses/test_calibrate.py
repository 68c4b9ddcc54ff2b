"""`calibrate`: from pictures and videos of a board against the truth, and from the files that people have."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.analyses.calibrate import Dictionary
from dlc_jupyter.demo import boards
from dlc_jupyter.demo.stereo import RIG, TABLE
from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose3d import calibrations
from dlc_jupyter.pose3d.cameras import Rig
from tests.analyses.recordings import CAMERAS
from tests.pose.videos import ffmpeg

COUNT = 14
BOARD = {"columns": boards.COLUMNS, "rows": boards.ROWS, "square": boards.SQUARE, "unit": "mm"}
STEREO = demo.MODEL_3D.parent / "camera_matrix" / "stereo_params.pickle"
APART = float(np.linalg.norm(RIG.cameras[0].centre - RIG.cameras[1].centre))


@pytest.fixture(scope="session")
def shown(tmp_path_factory) -> dict[str, list[Path]]:
    """Pictures of a board by the demo's cameras."""
    folder = tmp_path_factory.mktemp("boards")
    boards.write(folder, COUNT)
    return {camera: sorted(folder.glob(f"{camera}-*.jpg")) for camera in CAMERAS}


@pytest.fixture
def calibrate(run_several):
    def start(files: Mapping[str, Path | Sequence[Path]], **parameters):
        return run_several("calibrate", files, model=None, **{**BOARD, **parameters})

    return start


@pytest.fixture
def bring(run_several):
    """Import files."""

    def start(files: Mapping[str, Path | Sequence[Path]], **parameters):
        return run_several("calibrate", files, model=None, method="import", **parameters)

    return start


def fails(call, *arguments, **parameters) -> AnalysisFailed:
    with pytest.raises(AnalysisFailed) as failed:
        call(*arguments, **parameters)
    return failed.value


def assert_true(rig: Rig, share: float = 0.01) -> None:
    """The lenses are those of the demo's cameras, and so is the distance between them."""
    for camera, truth in zip(rig.cameras, RIG.cameras, strict=True):
        np.testing.assert_allclose(np.diag(camera.matrix)[:2], np.diag(truth.matrix)[:2], rtol=share)
    [told] = rig.distances()
    assert told["distance"] == pytest.approx(APART, rel=share)


# -- from a board ------------------------------------------------------------------------------------------------------


def test_pictures_of_a_board_become_calibrated_cameras(calibrate, shown) -> None:
    ran = calibrate(shown)
    result = ran.result
    rig = calibrations.read(result["calibration_file"])
    assert_true(rig)
    assert result["error"] < 0.1
    assert rig.error == pytest.approx(result["error"], abs=1e-4)
    assert (result["unit"], result["cameras"], result["boards"]) == ("mm", list(CAMERAS), COUNT)
    assert (result["axes"], result["floor"]) == ("those of camera-1: x right, y down, z into its picture", None)
    assert result["source"] == rig.source == "calibrated with a checkerboard of 8 x 5 inner corners"
    one, two = result["camera_reports"]
    assert (one["camera"], one["size"], one["pictures"], len(one["used"])) == ("camera-1", [640, 480], COUNT, COUNT)
    assert two["used"][3]["picture"] == "camera-2-03.jpg"
    assert two["focal_length"][0] == pytest.approx(808, rel=0.01)
    assert result["distances"][0]["cameras"] == list(CAMERAS)
    stereo = calibrations.read(result["stereo_file"])
    assert_true(stereo)
    for camera in CAMERAS:
        picture = cv2.imread(str(result[f"{camera}_picture_file"]))
        assert picture.shape[1] == 1560
        assert picture.std() > 20
    assert ran.notes == result["warnings"]
    done = [each["done"] for each in ran.progress]
    assert done == sorted(done)
    assert {each["total"] for each in ran.progress} == {2 * COUNT}
    assert done.count(2 * COUNT) == 1


def test_every_field_of_the_result_is_described(calibrate, shown, bring) -> None:
    described = {name for names in find_analysis("calibrate").results for name in names.split(", ")}
    described |= {f"{camera}_picture_file" for camera in CAMERAS}
    made = calibrate(shown).result
    assert set(made) - described == set()
    assert set(bring({"": made["calibration_file"]}).result) - described == set()


def test_pictures_without_the_board_are_left_out_and_named(calibrate, shown, tmp_path) -> None:
    nothing = tmp_path / "table.png"
    cv2.imwrite(str(nothing), np.full((480, 640, 3), 90, np.uint8))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    changed = {camera: list(paths) for camera, paths in shown.items()}
    changed["camera-1"][2] = nothing
    changed["camera-2"][5] = broken
    result = calibrate(changed).result
    one, two = result["camera_reports"]
    assert one["left_out"] == [{"picture": "table.png", "reason": "the board was not found"}]
    assert two["left_out"] == [{"picture": "broken.jpg", "reason": "it is no picture that can be read"}]
    assert_true(calibrations.read(result["calibration_file"]))


def test_the_board_of_one_picture_is_the_floor(calibrate, shown) -> None:
    result = calibrate(shown, floor=1).result
    assert (result["floor"], result["axes"]) == ("camera-1-01.jpg", "those of the calibration, z up")
    rig = calibrations.read(result["calibration_file"])
    held = boards.corners(boards.board(1))
    pixels = np.stack([camera.project(held) for camera in RIG.cameras])
    # All its corners lie in the plane z = 0, and both cameras are above it.
    y, x = np.mgrid[: boards.ROWS, : boards.COLUMNS]
    flat = np.stack([x, -y, 0 * x], axis=-1).reshape(-1, 3) * boards.SQUARE
    assert np.abs(rig.project(flat) - pixels).max() < 1.0
    assert all(camera.centre[2] > 0 for camera in rig.cameras)
    assert (rig.up, calibrations.read(calibrate(shown).result["calibration_file"]).up) == ("z", "")
    with pytest.raises(BadRequest, match="no picture 40 for the floor"):
        calibrate(shown, floor=40)


def test_pictures_that_are_called_as_frames_are_pictures(calibrate, shown, tmp_path) -> None:
    renamed = {}
    for camera, paths in shown.items():
        (tmp_path / camera).mkdir()
        renamed[camera] = [tmp_path / camera / f"frame {3 * each + 1} ({each}).jpg" for each in range(COUNT)]
        for path, target in zip(paths, renamed[camera], strict=True):
            target.write_bytes(path.read_bytes())
    assert calibrate(renamed, floor=1).result["floor"] == "frame 4 (1).jpg"


def test_in_the_demo_s_first_picture_the_board_lies_on_the_table(calibrate, shown) -> None:
    rig = calibrations.read(calibrate(shown, floor=0).result["calibration_file"])
    for camera, truth in zip(rig.cameras, RIG.cameras, strict=True):
        assert camera.centre[2] == pytest.approx(truth.centre[2] - TABLE, rel=0.01)


@pytest.fixture(scope="session")
def films(shown, tmp_path_factory) -> dict[str, Path]:
    """The same pictures as videos, each for two frames."""
    folder, made = tmp_path_factory.mktemp("films"), {}
    for camera, paths in shown.items():
        pattern = str(paths[0]).replace("-00.jpg", "-%02d.jpg")
        coding = ["-r", "10", "-c:v", "libx264", "-crf", "8", "-pix_fmt", "yuv420p"]
        made[camera] = ffmpeg(["-framerate", "5", "-i", pattern, *coding], folder / f"{camera}.mp4")
    return made


def test_videos_of_a_board_become_calibrated_cameras(calibrate, films) -> None:
    result = calibrate(films, every=2).result
    assert_true(calibrations.read(result["calibration_file"]))
    report = result["camera_reports"][0]
    assert report["pictures"] == COUNT
    assert report["used"][1]["picture"] == "frame 2 (0.20 s)"
    assert calibrate(films, every=2, floor=4).result["floor"] == "frame 4 (0.40 s)"
    failed = fails(calibrate, films, every=2, floor=5)
    assert failed.message == "Frame 5 was not looked into, and so cannot be that of the floor."
    assert failed.hint == "Give floor=4, or every=1."


def test_different_numbers_of_pictures_are_refused_naming_both_or_cut(calibrate, shown) -> None:
    fewer = {**shown, "camera-2": shown["camera-2"][:-2]}
    failed = fails(calibrate, fewer)
    assert failed.message == "The cameras have different numbers of pictures: camera-1 has 14, camera-2 has 12."
    assert calibrate(fewer, on_length_mismatch="truncate").result["boards"] == COUNT - 2


def test_videos_of_different_rates_are_refused_or_calibrate_with_a_note(calibrate, films, tmp_path) -> None:
    slower = ffmpeg(["-r", "8", "-i", str(films["camera-2"]), "-c:v", "libx264", "-crf", "8"], tmp_path / "slow.mp4")
    other = {**films, "camera-2": slower}
    assert fails(calibrate, other).kind == "RateMismatch"
    ran = calibrate(other, on_length_mismatch="truncate", every=2)
    assert_true(calibrations.read(ran.result["calibration_file"]))
    assert [note for note in ran.notes if "camera-2 has 8" in note]


def test_a_board_that_is_never_seen_is_told_and_what_is_seen_instead(calibrate, shown) -> None:
    failed = fails(calibrate, shown, columns=9, rows=6)
    assert failed.kind == "BoardNotFound"
    assert "In none of the 14 pictures of camera-1 is there a checkerboard of 9 x 6 inner corners" in failed.message
    assert failed.hint.startswith("Check columns and rows (corners within it, not squares), that the whole board")
    other = fails(calibrate, shown, columns=9, rows=6, board="charuco")
    assert other.kind == "BoardNotFound"
    assert other.hint.startswith("Check columns and rows (squares), the dictionary and the marker's side")


def test_a_board_of_another_size_is_named_also_where_the_one_that_was_asked_for_is_a_part_of_it(
    calibrate, shown
) -> None:
    failed = fails(calibrate, shown, columns=7, rows=5)
    assert failed.kind == "BoardNotFound"
    assert "Instead, a board of 8 x 5 inner corners is seen." in failed.message


def test_something_between_the_pictures_that_is_none_is_refused(calibrate, shown, films) -> None:
    mixed = {**shown, "camera-2": [*shown["camera-2"][:2], films["camera-2"]]}
    failed = fails(calibrate, mixed)
    assert failed.message == "camera-2 has 3 files, of which camera-2.mp4 is no picture."


# -- what others have calibrated ---------------------------------------------------------------------------------------


def test_a_toml_is_imported_as_it_is(bring) -> None:
    result = bring({"": demo.CALIBRATION}).result
    rig = calibrations.read(result["calibration_file"])
    points = np.random.default_rng(0).uniform(-100, 100, (20, 3))
    np.testing.assert_allclose(rig.project(points), RIG.project(points), atol=1e-6)
    assert (result["cameras"], result["unit"], result["error"]) == (list(CAMERAS), "mm", 0.0)
    assert result["camera_reports"][0]["focal_length"] == [820.0, 820.0]
    assert result["distances"][0]["distance"] == pytest.approx(APART, rel=1e-5)
    assert result["stereo_file"].is_file()


def test_deeplabcut_s_pickle_is_imported_under_the_names_that_are_given(bring) -> None:
    ran = bring({"": STEREO}, names="left,right")
    assert (ran.result["cameras"], ran.result["unit"], ran.result["error"]) == (["left", "right"], "squares", None)
    assert ran.result["axes"].startswith("those of left, rectified as DeepLabCut does")
    wrong = fails(bring, {"": STEREO}, names=["left", "right", "top"])
    assert "has 2 cameras" in wrong.message


def test_all_files_of_camera_matrix_are_imported_under_the_names_in_them(bring, tmp_path) -> None:
    lens = tmp_path / "camera-1_intrinsic_params.pickle"
    lens.write_bytes(pickle.dumps({"camera-1": {"mtx": np.eye(3), "dist": np.zeros((1, 5))}}))
    other = tmp_path / "other" / lens.name
    other.parent.mkdir()
    other.write_bytes(pickle.dumps({"camera-1": {"mtx": np.eye(3)}, "camera-2": {"mtx": np.eye(3)}}))
    ran = bring({"camera-1": lens, "camera-2": other, "camera-3": STEREO})
    assert (ran.result["cameras"], ran.result["unit"]) == (list(CAMERAS), "squares")
    assert bring({"camera-1": lens, "camera-2": STEREO}, names="left,right").result["cameras"] == ["left", "right"]


def test_squares_become_millimetres_knowingly(bring) -> None:
    """DeepLabCut's boards have squares of length 1, and its file does not say how large they were."""
    assert bring({"": STEREO}).result["distances"][0]["unit"] == "squares"
    failed = fails(bring, {"": STEREO}, unit="mm")
    assert (failed.kind, "square=30" in failed.hint) == ("SquareUnknown", True)
    result = bring({"": STEREO}, unit="mm", square=30).result
    assert (result["unit"], result["distances"][0]["distance"]) == ("mm", pytest.approx(APART, rel=1e-5))
    assert_true(calibrations.read(result["calibration_file"]), 1e-6)


def test_our_own_stereo_file_says_its_unit_and_deeplabcut_s_axes(bring, calibrate, shown) -> None:
    made = calibrate(shown, floor=1)
    assert [note for note in made.notes if note.startswith("stereo_file does not know the floor")]
    back = bring({"": made.result["stereo_file"]}).result
    assert back["unit"] == "mm"
    assert back["distances"][0]["distance"] == pytest.approx(made.result["distances"][0]["distance"], rel=1e-6)
    assert back["axes"].startswith("those of camera-1, rectified")
    whole = bring({"": made.result["calibration_file"]}, unit="cm", square=3)
    assert (whole.result["axes"], whole.result["unit"]) == (made.result["axes"], "mm")
    assert whole.notes == ["The file says that it measures in mm: it was taken as it is."]


def test_a_file_of_opencv_for_each_camera_is_imported(bring, tmp_path) -> None:
    files = {}
    for name, camera in zip(("left", "right"), RIG.cameras, strict=True):
        path = tmp_path / f"{name}.yml"
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("camera_matrix", camera.matrix)
        storage.write("distortion_coefficients", camera.distortion)
        storage.write("rotation", camera.rotation)
        storage.write("translation", camera.translation)
        storage.release()
        files[name] = path
    failed = fails(bring, files)
    assert "with the parameter size, such as size=640,480" in failed.hint
    ran = bring(files, size="640,480")
    assert ran.result["cameras"] == ["left", "right"]
    assert_true(calibrations.read(ran.result["calibration_file"]), 1e-6)
    assert ran.notes == ["The file does not say in which unit it measures. Import it with unit, if you know."]
    assert bring(files, size="640,480", unit="mm").result["unit"] == "mm"
    larger = bring(files, size="640,480", unit="mm", square=30).result
    assert larger["distances"][0]["distance"] == pytest.approx(30 * APART, rel=1e-5)
    # A unit that nobody knows stays unknown in our own files, and may be told later.
    for made in ("calibration_file", "stereo_file"):
        again = bring({"": ran.result[made]})
        assert (again.result["unit"], again.notes) == ("", ran.notes)
        told = bring({"": ran.result[made]}, unit="mm").result
        assert (told["unit"], told["distances"][0]["distance"]) == ("mm", pytest.approx(APART, rel=1e-5))


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(bring, tmp_path) -> None:
    proof, bad = tmp_path / "it-ran", tmp_path / "stereo_params.pickle"
    bad.write_bytes(b"\x80\x02cos\nsystem\nX" + (len(f"touch {proof}")).to_bytes(4, "little"))
    bad.write_bytes(bad.read_bytes() + f"touch {proof}".encode() + b"\x85R.")
    failed = fails(bring, {"": bad})
    assert failed.kind == "CalibrationUnreadable"
    assert not proof.exists()


@pytest.mark.parametrize("name", ['left "1"', "a/b", "lef\ud800t"])
def test_a_file_with_names_that_no_model_may_have_is_refused_until_others_are_given(bring, tmp_path, name) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(pickle.dumps({f"{name}-right": calibrations.stereo_parameters(RIG)}))
    failed = fails(bring, {"": path})
    assert (failed.kind, repr(name) in failed.message) == ("CalibrationUnreadable", True)
    assert failed.hint == "Give the 2 cameras other names with the parameter names."
    assert bring({"": path}, names="left,right").result["cameras"] == ["left", "right"]


def test_a_file_whose_cameras_results_would_confuse_is_refused_until_others_are_given(bring, tmp_path) -> None:
    for names, says in (
        (("a", "a_filtered"), "both would have a_filtered_h5_file"),
        (("left", "quality"), "cannot be called quality: results have fields that begin so"),
    ):
        cameras = tuple(replace(camera, name=name) for camera, name in zip(RIG.cameras, names, strict=True))
        path = calibrations.write_toml(replace(RIG, cameras=cameras), tmp_path / "calibration.toml")
        failed = fails(bring, {"": path})
        assert (failed.kind, says in failed.message) == ("CalibrationUnreadable", True)
        assert failed.hint == "Give the 2 cameras other names with the parameter names."
        assert bring({"": path}, names="left,right").result["cameras"] == ["left", "right"]


def test_what_is_no_calibration_is_refused(bring, films) -> None:
    assert fails(bring, {"": films["camera-1"]}).kind == "CalibrationUnreadable"


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "Say how many columns and rows the board has"),
        ({"columns": 8}, "Say how many rows the board has"),
        ({"columns": 2, "rows": 5}, "at least 3, not 2"),
        ({"columns": 8, "rows": 5, "square": 0}, "greater than 0"),
        ({"columns": 8, "rows": 5, "unit": "mm"}, "Say how large a square is, in mm"),
        ({"columns": 8, "rows": 5, "names": ["left"]}, "names is for method=import; here cameras names them"),
        ({"columns": 8, "rows": 5, "board": "charuco", "square": 10, "marker": 12}, "must be smaller than a square"),
        ({"columns": 8, "rows": 5, "dictionary": "8X8_50"}, "4X4_50"),
        ({"columns": 8, "rows": 5, "dictionary": "4X5_50"}, "4X4_50"),
        ({"columns": 8, "rows": 5, "every": 0}, "at least 1, not 0"),
        ({"method": "import", "square": 30}, "Say in which unit a square is 30 wide"),
        ({"method": "import", "square": 30, "unit": "squares"}, "A square is 1 square wide, not 30"),
        ({"columns": 8, "rows": 5, "square": 30, "unit": "squares"}, "A square is 1 square wide, not 30"),
        ({"method": "import", "size": [640]}, "2 values are wanted at least, not 1. For method=import"),
        ({"method": "import", "names": ["left", "a/b"]}, "A camera cannot be called 'a/b'"),
        ({**BOARD, "cameras": {"left": "1a", "../b": "2b"}}, "A camera cannot be called '../b'"),
        ({**BOARD, "cameras": {"a": "1a", "a_filtered": "2b"}}, "both would have a_filtered_h5_file"),
    ],
)
def test_wrong_parameters_are_refused(values, says) -> None:
    with pytest.raises(BadRequest) as refused:
        find_analysis("calibrate").validate(values)
    [error] = refused.value.fields["errors"]
    assert re.search(says, error["message"])


def test_a_board_without_a_unit_is_measured_in_squares() -> None:
    cls = find_analysis("calibrate")
    for unit in ({}, {"unit": "squares"}):
        assert cls.validate({"columns": 8, "rows": 5, **unit}).square is None
    assert cls.validate({"columns": 8, "rows": 5, "unit": "squares", "square": 1}).square == 1


def test_only_what_is_imported_may_be_one_file() -> None:
    cls = find_analysis("calibrate")
    with pytest.raises(BadRequest, match="needs 2 files"):
        cls.check_inputs(cls.validate(BOARD), 1)
    cls.check_inputs(cls.validate({"method": "import"}), 1)


def test_every_set_of_markers_that_boards_know_may_be_named() -> None:
    from dlc_jupyter.pose3d.boards import DICTIONARIES

    assert get_args(Dictionary) == DICTIONARIES
    assert find_analysis("calibrate").validate({**BOARD, "dictionary": "7X7_1000"}).dictionary == "7X7_1000"
