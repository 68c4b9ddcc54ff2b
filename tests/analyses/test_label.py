"""`label`: what is drawn, that it plays everywhere, and that nothing is lost between the poses and the video."""

import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.analyses.poses import PoseParameters
from dlc_jupyter.pose import compat
from dlc_jupyter.pose.containers import boxes
from dlc_jupyter.pose.media import inspect
from tests.analyses.conftest import FRAMES
from tests.analyses.drawn import drawn_by_us
from tests.pose.videos import ffmpeg, probe

pytestmark = pytest.mark.deeplabcut


def pictures(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def drawn_points(result, frame):
    """The body parts that are drawn in a frame, as (x, y) in pixels by name."""
    row = pd.read_hdf(result["h5_file"]).iloc[frame][result["scorer"]]
    names = row.index.get_level_values(0).unique()
    return {name: (int(row[name]["x"]), int(row[name]["y"])) for name in names if row[name]["likelihood"] > 0.4}


def test_the_labelled_video_plays_everywhere_and_has_every_frame(labelled):
    path = labelled.result["video_file"]
    assert probe(path) == {
        "codec_name": "h264",
        "pix_fmt": "yuv420p",
        "width": "320",
        "height": "240",
        "nb_read_frames": str(FRAMES),
        "r_frame_rate": "30/1",
    }
    kinds = boxes(path)
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert inspect(path).variable_rate is False


def test_the_result_has_the_video_and_the_poses_made_for_it(labelled):
    result = labelled.result
    assert (result["frames"], result["fps"], result["width"], result["height"]) == (FRAMES, 30.0, 320, 240)
    assert result["video_file"].name == "labeled.mp4"
    assert len(pd.read_hdf(result["h5_file"])) == FRAMES
    assert result["csv_file"].is_file()
    assert result["poses_from"] is None


def test_dots_are_drawn_where_the_body_parts_are(labelled, clip):
    before, after = pictures(clip), pictures(labelled.result["video_file"])
    for frame in (0, FRAMES - 1):
        points = drawn_points(labelled.result, frame)
        assert points
        difference = np.abs(after[frame].astype(int) - before[frame]).max(axis=2)
        for x, y in points.values():
            assert difference[y - 2 : y + 3, x - 2 : x + 3].mean() > 60
        assert np.median(difference) < 12  # the rest of the picture is as it was


def test_poses_that_exist_are_used_and_draw_the_same_video(run, clip, labelled):
    poses = run("video", clip)
    again = run("label", clip, pcutoff=0.4, dotsize=6, poses=poses)
    assert again.result["poses_from"] == "an-earlier-one"
    assert "h5_file" not in again.result
    assert {each["total"] for each in again.progress} == {FRAMES}  # drawing only
    assert {each["total"] for each in labelled.progress} == {2 * FRAMES}
    first, second = pictures(labelled.result["video_file"]), pictures(again.result["video_file"])
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_where_the_poses_are_from_is_said_whoever_has_made_them(run, clip, labelled):
    poses = run("video", clip)
    made = poses.result["provenance"]
    made["notes"] = ["Three frames could not be decoded."]
    again = run("label", clip, pcutoff=0.4, dotsize=6, poses=poses)
    assert again.notes == made["notes"]
    for told, expected in (
        (labelled.result["provenance"], {**made, "notes": [], "parameters": poses_alone(made["parameters"])}),
        (again.result["provenance"], made),
    ):
        afterwards = told.pop("afterwards")
        assert afterwards["parameters"]["dotsize"] == 6
        assert afterwards["versions"] == made["versions"]
        assert told == expected


def poses_alone(parameters):
    return {name: parameters[name] for name in PoseParameters.model_fields}


def test_poses_that_label_has_made_are_used_by_the_next_one_without_its_own_notes(run, clip, labelled):
    again = run("label", clip, pcutoff=0.4, dotsize=3, poses=labelled)
    assert again.result["poses_from"] == "an-earlier-one"
    assert again.notes == []
    assert again.result["provenance"]["afterwards"]["parameters"]["dotsize"] == 3


def test_a_deeplabcut_that_draws_otherwise_is_told_of(run, clip, monkeypatch):
    monkeypatch.setattr(compat, "drawing_changed", lambda: ("deeplabcut.somewhere:CreateVideo",))
    ran = run("label", clip)
    (note,) = ran.notes
    assert "CreateVideo differs" in note
    assert ran.result["provenance"]["fallbacks"] == []  # the poses were made as always


def test_poses_of_which_a_file_is_gone_are_made_anew(run, clip):
    poses = run("video", clip)
    poses.result["meta_file"] = None
    assert run("label", clip, poses=poses).result["poses_from"] is None


def test_one_progress_bar_counts_both_stages(labelled):
    done = [each["done"] for each in labelled.progress]
    assert done == sorted(done)
    assert done.count(2 * FRAMES) == 1
    assert done[-1] == 2 * FRAMES


@pytest.mark.parametrize(
    "style",
    [
        {"dotsize": 12},
        {"colormap": "viridis"},
        {"draw_skeleton": True},
        {"draw_skeleton": True, "skeleton_color": "#ff00ff"},
        {"trailpoints": 8},
        {"pcutoff": 1.0},
        {"displayedbodyparts": ["snout"]},
        {"confidence_to_alpha": True},
        {"color_by": "individual"},
        {"filtered": True},
    ],
    ids=lambda style: ",".join(style),
)
def test_every_choice_changes_the_picture(run, clip, labelled, style):
    poses = run("video", clip)
    changed = run("label", clip, poses=poses, **{"pcutoff": 0.4, "dotsize": 6, **style})
    assert changed.result["frames"] == FRAMES
    plain, other = pictures(labelled.result["video_file"])[-1], pictures(changed.result["video_file"])[-1]
    assert np.abs(plain.astype(int) - other).max() > 40
    assert changed.notes == []


def drawn_by_deeplabcut(ran, monkeypatch, **style):
    """Have ``create_labeled_video`` draw the same poses; return the pictures before they are encoded."""
    import deeplabcut
    from deeplabcut.utils import make_labeled_video as module

    class Recorder(module.vp):
        def create_video(self):
            return None

        def save_frame(self, frame):
            seen.append(np.flip(frame, 2).copy())

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "vp", Recorder)
        patch.setattr(module, "get_start_method", lambda: "spawn")
        config = next((ran.scratch / "model").rglob("config.yaml"))
        videos = [str(next(ran.scratch.glob("video.*")))]
        options = {"fastmode": True, "overwrite": True, "destfolder": str(ran.result["h5_file"].parent), **style}
        assert deeplabcut.create_labeled_video(str(config), videos, **options) == [True]
    return seen


@pytest.mark.parametrize(
    ("look", "of_the_project"),
    [
        ({}, {}),
        ({"pcutoff": 0.1, "draw_skeleton": True, "trailpoints": 5}, {"dotsize": 5, "colormap": "viridis"}),
        ({"draw_skeleton": True, "displayedbodyparts": ["snout", "leftear"]}, {"skeleton_color": "#ff8800"}),
        ({"cropping": [21, 300, 10, 231], "pcutoff": 0.2}, {}),
        ({"cropping": [21, 300, 10, 231], "displaycropped": True, "confidence_to_alpha": True}, {}),
        ({"filtered": True, "color_by": "individual", "pcutoff": 0.3}, {}),
    ],
    ids=lambda values: ",".join(values) or "plain",
)
def test_the_pixels_are_those_of_deeplabcut(run, clip, monkeypatch, look, of_the_project):
    ran, ours = drawn_by_us(run, monkeypatch, clip, **look, **of_the_project)
    theirs = drawn_by_deeplabcut(ran, monkeypatch, **{name: look[name] for name in look if name != "cropping"})
    assert len(ours) == len(theirs) == FRAMES
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    if "displaycropped" not in look:
        assert not np.array_equal(ours[0], first_picture(clip))


def first_picture(path):
    return cv2.VideoCapture(str(path)).read()[1]


def test_frames_without_a_row_are_shown_without_dots(run, clip, monkeypatch):
    """Tracks of several animals end with the last frame in which one was seen."""
    poses = run("video", clip)
    path = poses.result["h5_file"]
    table = pd.read_hdf(path)
    table.iloc[:20].to_hdf(path, key="df_with_missing", mode="w")
    whole = drawn_by_us(run, monkeypatch, clip, pcutoff=0.0)[1]
    ran, ours = drawn_by_us(run, monkeypatch, clip, pcutoff=0.0, poses=poses)
    assert ran.result["frames"] == len(ours) == FRAMES
    same = [np.array_equal(one, other) for one, other in zip(ours, whole, strict=True)]
    assert same == [True] * 20 + [False] * 10


def test_a_network_made_of_a_superanimal_is_drawn_as_deeplabcut_draws_those(run, clip, monkeypatch, tmp_path):
    """With its own body parts, and without asking the project."""
    import yaml

    from dlc_jupyter import demo
    from dlc_jupyter.pose.drawing import Look, Painter

    shutil.copytree(demo.MODEL.parent, tmp_path / "project")
    path = next((tmp_path / "project").rglob("pytorch_config.yaml"))
    values = yaml.safe_load(path.read_text())
    values["train_settings"]["weight_init"] = {"dataset": "superanimal_topviewmouse", "memory_replay": True}
    path.write_text(yaml.safe_dump(values))
    config = tmp_path / "project/config.yaml"
    project = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**project, "bodyparts": ["others"], "dotsize": 3}))
    poses = run("video", clip)
    seen = drawn_by_us(run, monkeypatch, clip, model=config, poses=poses, pcutoff=0.2, draw_skeleton=True)[1]
    look = Look(list(poses.result["bodyparts"]), pcutoff=0.2, dotsize=8, colormap="rainbow")
    expected = first_picture(clip)
    Painter(pd.read_hdf(poses.result["h5_file"]), look, (320, 240), (0, 320, 0, 240)).draw(expected, 0)
    assert np.array_equal(seen[0], expected)


def test_boxes_of_a_detector_are_drawn_where_the_full_file_has_them(run, clip, monkeypatch):
    import pickle

    poses = run("video", clip)
    full = pickle.loads(poses.result["full_file"].read_bytes())
    for number, name in enumerate(name for name in full if name.startswith("frame")):
        full[name]["bboxes"] = np.array([[40 + number, 30, 90, 70.5], [5, 5, 20, 20]], np.float32)
        full[name]["bbox_scores"] = np.array([0.9, 0.1], np.float32)
    poses.result["full_file"].write_bytes(pickle.dumps(full))
    ran, ours = drawn_by_us(run, monkeypatch, clip, poses=poses)
    ran.result["h5_file"] = poses.result["h5_file"]
    theirs = drawn_by_deeplabcut(ran, monkeypatch)
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert (ours[0][30 - 1, 40 : 40 + 90] == (0, 0, 255)).all()


def test_only_the_body_parts_asked_for_are_drawn(run, clip):
    ran = run("label", clip, displayedbodyparts=["snout"], pcutoff=0.4, dotsize=4)
    before, after = pictures(clip)[0], pictures(ran.result["video_file"])[0]
    difference = np.abs(after.astype(int) - before).max(axis=2)
    points = drawn_points(ran.result, 0)
    x, y = points.pop("snout")
    assert difference[y, x] > 60
    assert all(difference[y, x] < 40 for x, y in points.values())


def test_the_cropped_part_alone_can_be_shown(run, clip):
    ran = run("label", clip, cropping=[21, 300, 10, 231], displaycropped=True)
    assert (ran.result["width"], ran.result["height"]) == (280, 222)  # 279 x 221, made even
    assert ran.result["frames"] == FRAMES


def test_a_picture_of_odd_size_is_made_even(run, clip, tmp_path):
    odd = ffmpeg(["-i", str(clip), "-vf", "scale=161:121", "-c:v", "mjpeg", "-q:v", "3"], tmp_path / "odd.avi")
    ran = run("label", odd)
    assert (ran.result["width"], ran.result["height"]) == (162, 122)
    assert probe(ran.result["video_file"])["nb_read_frames"] == str(FRAMES)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        # OpenCV's frame count is negative here, so DeepLabCut alone would draw no frame at all.
        ("piped.mkv", ["-c", "copy", "-live", "1"]),
        # It is twice the frames here, a trim whose header counts what the edit list hides ...
        ("trim.mp4", ["-c", "copy"]),
        # ... and here every third frame is there, so that it is too high again.
        ("uneven.mkv", ["-vf", r"select='not(mod(n\,3))+lt(n\,8)'", "-fps_mode", "vfr", "-c:v", "libx264"]),
    ],
)
def test_the_labelled_video_has_as_many_frames_as_there_are_rows(run, clip, tmp_path, name, options):
    seek = ["-ss", "0.5"] if name == "trim.mp4" else []
    ran = run("label", ffmpeg([*seek, "-i", str(clip), *options], tmp_path / name))
    rows = len(pd.read_hdf(ran.result["h5_file"]))
    assert rows > 10
    assert probe(ran.result["video_file"])["nb_read_frames"] == str(rows)
    assert ran.result["frames"] == rows


def test_sound_and_uneven_rates_are_mentioned(run, clip, tmp_path):
    uneven = ["-vf", r"select='not(mod(n\,3))+lt(n\,8)'", "-fps_mode", "vfr", "-c:v", "libx264", "-c:a", "aac"]
    path = ffmpeg(["-i", str(clip), "-f", "lavfi", "-i", "sine=d=1", *uneven], tmp_path / "loud.mp4")
    notes = run("label", path).notes
    assert "The labelled video has no sound." in notes
    assert "The labelled video shows every frame for the same time." in notes


@pytest.mark.parametrize("size", ["320:240", "161:121"])
def test_matplotlib_can_draw_instead_and_the_video_plays_everywhere_too(run, clip, tmp_path, size):
    video = ffmpeg(
        ["-i", str(clip), "-vf", f"scale={size}", "-c:v", "libx264", "-pix_fmt", "yuv444p"], tmp_path / "in.mp4"
    )
    ran = run("label", video, fastmode=False, pcutoff=0.4, draw_skeleton=True, trailpoints=3, color_by="individual")
    path = ran.result["video_file"]
    told = probe(path)
    assert (told["codec_name"], told["pix_fmt"], told["nb_read_frames"]) == ("h264", "yuv420p", str(FRAMES))
    kinds = boxes(path)
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    before, after = pictures(video)[-1], pictures(path)[-1]
    height, width = min(before.shape[0], after.shape[0]), min(before.shape[1], after.shape[1])
    assert np.abs(after[:height, :width].astype(int) - before[:height, :width]).max() > 60
    assert [each["done"] for each in ran.progress] == sorted(each["done"] for each in ran.progress)
    assert not list(ran.scratch.glob("made/*.mp4"))


def test_matplotlib_needs_no_ffmpeg_of_the_system(run, clip, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("label", clip, fastmode=False).result["frames"] == FRAMES


def test_a_skeleton_that_the_project_does_not_have_is_mentioned(run, clip, tmp_path):
    import yaml

    from dlc_jupyter import demo

    shutil.copytree(demo.MODEL.parent, tmp_path / "project")
    config = tmp_path / "project/config.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "skeleton": []}))
    ran = run("label", clip, model=config, draw_skeleton=True)
    assert ran.notes == ["The project's config.yaml names no skeleton, so none is drawn."]


def test_a_skeleton_that_joins_none_of_the_body_parts_is_mentioned(run, clip, labelled, tmp_path):
    import yaml

    from dlc_jupyter import demo

    options = {"draw_skeleton": True, "poses": labelled}
    apart = run("label", clip, displayedbodyparts=["snout", "tailbase"], **options)
    assert apart.notes == [
        "No line of the project's skeleton joins two body parts of displayedbodyparts, so none is drawn."
    ]
    assert run("label", clip, displayedbodyparts=["snout", "leftear"], **options).notes == []
    # DeepLabCut puts names of its own into the config.yaml of every new project.
    shutil.copytree(demo.MODEL.parent, tmp_path / "project")
    config = tmp_path / "project/config.yaml"
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "skeleton": [["bodypart1", "bodypart2"], ["objectA", "bodypart3"]]}))
    [note] = run("label", clip, model=config, **options).notes
    assert note == "No line of the project's skeleton joins two body parts, so none is drawn."


@pytest.mark.parametrize("fastmode", [True, False])
def test_deeplabcut_and_the_working_folder_are_left_as_they_were(run, clip, fastmode):
    from deeplabcut.utils import make_labeled_video as module

    before = Path.cwd(), module.vp, module.trange, module.get_start_method
    run("label", clip, fastmode=fastmode)
    assert (Path.cwd(), module.vp, module.trange, module.get_start_method) == before
