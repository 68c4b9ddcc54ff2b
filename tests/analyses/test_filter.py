"""`filter`: the smoothed poses are DeepLabCut's own, and what it keeps silent about is said."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import POSE_FILES, find_analysis
from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose.network import Network, Poses
from tests.analyses.conftest import FRAMES, Ran
from tests.pose.networks import PARTS, walking

pytestmark = pytest.mark.deeplabcut

#: The fields of its result that have the poses from before.
UNFILTERED = {f"unfiltered_{name}" for name in POSE_FILES}


@pytest.fixture(scope="session")
def direct(deeplabcut, clip, tmp_path_factory):
    """What `deeplabcut.filterpredictions` makes of the clip after `deeplabcut.analyze_videos`."""
    folder = tmp_path_factory.mktemp("direct")
    shutil.copytree(demo.MODEL.parent, folder / "model")
    shutil.copy(clip, folder / "video.mp4")
    config, videos = str(folder / "model/config.yaml"), [str(folder / "video.mp4")]
    scorer = deeplabcut.analyze_videos(config, videos, device="cpu")

    def smooth(**options):
        name = f"video{scorer}_filtered"
        for ending in (".h5", ".csv"):
            (folder / f"{name}{ending}").unlink(missing_ok=True)
        deeplabcut.filterpredictions(config, videos, **options)
        return pd.read_hdf(folder / f"{name}.h5"), (folder / f"{name}.csv").read_bytes()

    return smooth


@pytest.fixture
def poses(run, clip):
    """What `video` has made of the clip."""
    return run("video", clip)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"windowlength": 9}, {"windowlength": 9}),
        (
            {"filtertype": "arima", "p_bound": 0.3, "ar_degree": 2, "ma_degree": 0, "alpha": 0.05},
            {"filtertype": "arima", "p_bound": 0.3, "ARdegree": 2, "MAdegree": 0, "alpha": 0.05},
        ),
    ],
    ids=["median", "wide", "arima"],
)
def test_the_poses_are_those_of_deeplabcut_value_for_value(run, clip, direct, ours, theirs):
    result = run("filter", clip, **ours).result
    expected, csv = direct(**theirs)
    assert len(expected) == FRAMES
    pd.testing.assert_frame_equal(pd.read_hdf(result["h5_file"]), expected, check_exact=True)
    assert result["csv_file"].read_bytes() == csv
    before = pd.read_hdf(result["unfiltered_h5_file"])
    assert np.abs(before - expected).max().max() > 0


def test_poses_made_earlier_are_smoothed_and_named(run, clip, poses, monkeypatch):
    monkeypatch.setattr("dlc_jupyter.pose.inference.make_loop", None)  # no network looks at anything
    ran = run("filter", clip, poses=poses)
    scorer = poses.result["scorer"]
    assert ran.result["poses_from"] == "an-earlier-one"
    assert ran.result["unfiltered_h5_file"] is None
    assert ran.result["h5_file"].name == f"video{scorer}_filtered.h5"
    assert ran.result["csv_file"].name == f"video{scorer}_filtered.csv"
    assert ran.result["frames"] == FRAMES
    assert ran.result["scorer"] == scorer
    assert ran.result["provenance"]["model_files"] == poses.result["provenance"]["model_files"] != []
    assert ran.result["provenance"]["afterwards"]["parameters"]["windowlength"] == 5
    assert {each["total"] for each in ran.progress} == {FRAMES}  # smoothing only
    assert ran.progress[-1]["done"] == FRAMES


def test_new_poses_are_in_the_result(run, clip, poses):
    ran = run("filter", clip)
    assert ran.progress[-1] == {"done": 2 * FRAMES, "total": 2 * FRAMES, "unit": "frames"}
    result = ran.result
    assert result["poses_from"] is None
    expected = pd.read_hdf(poses.result["h5_file"])
    pd.testing.assert_frame_equal(pd.read_hdf(result["unfiltered_h5_file"]), expected, check_exact=True)
    made = result["provenance"]
    same = set(made) - {"afterwards", "parameters"}
    assert {name: made[name] for name in same} == {name: poses.result["provenance"][name] for name in same}
    assert made["parameters"].items() <= poses.result["provenance"]["parameters"].items()
    assert made["parameters"]["model"] == "mouse"


def test_poses_made_for_smoothing_can_be_used_by_others(run, clip):
    smoothed = run("filter", clip).result
    found = {name.removeprefix("unfiltered_"): value for name, value in smoothed.items() if name in UNFILTERED}
    again = run("label", clip, poses=Ran({**smoothed, **found}, clip))
    assert again.result["poses_from"] == "an-earlier-one"


def test_where_earlier_poses_are_from_is_told_apart_from_what_is_done_with_them(run, clip, poses):
    made = poses.result["provenance"] | {
        "device": "Another GPU",
        "versions": {**poses.result["provenance"]["versions"], "torch": "1.0"},
        "fallbacks": ["They were made in another way."],
    }
    made["notes"] = ["Three frames could not be decoded."]
    notes = [*made["notes"], *made["fallbacks"]]
    earlier = dataclasses.replace(poses, result={**poses.result, "provenance": made})
    ran = run("filter", clip, poses=earlier, windowlength=7)
    told = dict(ran.result["provenance"])
    afterwards = told.pop("afterwards")
    assert told == made
    assert afterwards["parameters"]["windowlength"] == 7
    assert "model" not in afterwards["parameters"]
    assert afterwards["versions"] == poses.result["provenance"]["versions"]
    assert ran.notes[:2] == notes


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"windowlength": 4}, "must be odd"),
        ({"ar_degree": 0, "ma_degree": 0}, "cannot both be 0"),
        ({"filtertype": "spline"}, "median"),
        ({"alpha": 0}, "greater than 0"),
        ({"p_bound": 1.5}, "at most 1"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(values, why):
    with pytest.raises(BadRequest) as refused:
        find_analysis("filter").validate({"model": "mouse", **values})
    (error,) = refused.value.as_json()["errors"]
    assert why in error["message"]


def test_a_window_longer_than_the_video_is_an_error(fails, clip, poses):
    failed = fails("filter", clip, poses=poses, windowlength=FRAMES + 1)
    assert failed.kind == "WindowTooLong"
    assert str(FRAMES) in failed.message
    assert str(FRAMES - 1) in failed.hint


def test_a_window_longer_than_the_video_is_refused_before_any_pose_is_made(fails, clip, monkeypatch):
    monkeypatch.setattr("dlc_jupyter.pose.analyze.analyze", lambda *_, **__: pytest.fail("the poses were made first"))
    assert fails("filter", clip, windowlength=FRAMES + 1).kind == "WindowTooLong"


def test_nothing_to_fit_is_an_error(fails, clip, poses):
    failed = fails("filter", clip, poses=poses, filtertype="arima", p_bound=1)
    assert failed.kind == "NothingToFit"
    assert "p_bound" in failed.hint


def changed(poses, change):
    """The poses of `video` with other values in the file from which others start."""
    table = pd.read_hdf(poses.result["h5_file"])
    change(table)
    table.to_hdf(poses.result["h5_file"], key="df_with_missing", format="table", mode="w")
    return poses


def test_a_body_part_that_is_seen_too_rarely_is_named(run, clip, poses):
    def hide(table):
        table.loc[10:, (slice(None), "snout", "likelihood")] = 0.0

    ran = run("filter", clip, poses=changed(poses, hide), filtertype="arima", ar_degree=1, ma_degree=0)
    (note,) = [note for note in ran.notes if "No model" in note]
    assert "snout" in note
    assert "leftear" not in note
    smoothed = pd.read_hdf(ran.result["h5_file"])[ran.result["scorer"]]
    assert smoothed["snout"]["x"][1:].isna().all()
    assert smoothed["leftear"]["x"].notna().all()


def test_a_fit_that_does_not_converge_is_named(run, clip, poses, monkeypatch):
    from deeplabcut.post_processing import filtering
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    fit = SARIMAX.fit
    monkeypatch.setattr(SARIMAX, "fit", lambda self, **options: fit(self, maxiter=1, **options))
    before = filtering.FitSARIMAXModel
    ran = run("filter", clip, poses=poses, filtertype="arima", ar_degree=1)
    assert [note for note in ran.notes if "did not converge" in note and "snout" in note]
    assert filtering.FitSARIMAXModel is before


def test_missing_positions_are_said(run, clip, poses):
    def lose(table):
        table.iloc[12] = np.nan

    notes = run("filter", clip, poses=changed(poses, lose)).notes
    assert [note for note in notes if "NaN" in note and "within 2 frames" in note]
    assert not [note for note in run("filter", clip).notes if "NaN" in note]


def test_silence_of_deeplabcut_is_an_error(deeplabcut, clip, tmp_path, poses):
    """It prints that it finds no poses, and returns."""
    from dlc_jupyter.errors import AnalysisFailed
    from dlc_jupyter.pose.filters import Filter, filter_poses

    folder = tmp_path / "other"
    folder.mkdir()
    of_another = Poses(folder, "video", "DLC_another_network", "", FRAMES, [])
    of_another.h5.symlink_to(poses.result["h5_file"])
    with pytest.raises(AnalysisFailed) as failed:
        filter_poses(Network(poses.scratch / "model/config.yaml"), of_another, clip, Filter())
    assert failed.value.kind == "NoPoses"


@pytest.mark.parametrize("options", [{}, {"filtertype": "arima", "ar_degree": 1, "ma_degree": 0}])
def test_several_animals_are_smoothed(run, clip, pair, seen, options):
    seen(walking)
    earlier = run("video", clip, model=pair)
    ran = run("filter", clip, model=pair, poses=earlier, **options)
    assert ran.result["h5_file"].name.endswith("_el_filtered.h5")
    assert ran.result["csv_file"].name.endswith("_el_filtered.csv")
    assert ran.result["individuals"] == ["left", "right"]
    smoothed = pd.read_hdf(ran.result["h5_file"])[ran.result["scorer"]]
    assert set(smoothed.columns.get_level_values("bodyparts")) == set(PARTS)
    heights = [smoothed[name]["body"]["y"].median() for name in ("left", "right")]
    assert sorted(heights) == pytest.approx([85, 185], abs=2)
