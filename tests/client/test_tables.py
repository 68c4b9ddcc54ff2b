"""Poses as data frames and as xarray: held against DeepLabCut's own file of the same, and against movement's layout."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.client import Client, tables
from dlc_jupyter.errors import NotFound


def own_file(client: Client, result: dict[str, Any], folder: Path) -> pd.DataFrame:
    table = pd.read_hdf(client.download(result["h5_file"], folder / "own.h5"), "df_with_missing")
    assert isinstance(table, pd.DataFrame)
    return table


@pytest.mark.parametrize(
    "asked", [{}, {"frames": 1}, {"animals": 1}, {"animals": 3}, {"animals": 2, "unique": True}], ids=str
)
def test_poses_are_those_of_deeplabcuts_own_file(
    client: Client, video: str, tmp_path: Path, asked: dict[str, Any]
) -> None:
    analysis = client.run("invent", video, **asked)
    own = own_file(client, analysis.wait(progress=False, timeout=60), tmp_path)
    poses = analysis.poses()
    pd.testing.assert_frame_equal(poses, own, check_index_type=False, check_freq=False)
    assert poses.columns.names == own.columns.names
    middle = analysis.poses(start=10, stop=20)
    pd.testing.assert_frame_equal(middle, own.iloc[10:20], check_index_type=False)


def test_more_frames_than_fit_in_one_answer_come_in_several(client: Client, video: str, tmp_path: Path) -> None:
    analysis = client.run("invent", video, frames=20_001)
    own = own_file(client, analysis.wait(progress=False, timeout=60), tmp_path)
    pd.testing.assert_frame_equal(analysis.poses(), own, check_index_type=False)
    pd.testing.assert_frame_equal(
        analysis.poses(start=9_999, stop=20_000), own.iloc[9_999:20_000], check_index_type=False
    )


def test_what_the_numbers_do_not_say_is_beside_them(client: Client, video: str) -> None:
    analysis = client.run("invent", video, first=3)
    analysis.wait(progress=False, timeout=60)
    assert analysis.poses().attrs == {"first": 3}


def test_where_there_are_no_poses_it_is_said(client: Client, video: str) -> None:
    analysis = client.run("invent", video, seconds=600)
    with pytest.raises(NotFound, match="no poses"):
        analysis.poses()
    analysis.cancel()
    with pytest.raises(IndexError):
        analysis.poses(video=1)


def test_xarray_in_movements_layout(client: Client, video: str) -> None:
    import xarray

    analysis = client.run("invent", video, frames=11, animals=2)
    analysis.wait(progress=False, timeout=60)
    data, poses = analysis.to_xarray(), analysis.poses()
    assert isinstance(data, xarray.Dataset)
    assert data.position.dims == ("time", "space", "keypoints", "individuals")
    assert data.confidence.dims == ("time", "keypoints", "individuals")
    assert {name: list(data[name].values) for name in ("space", "keypoints", "individuals")} == {
        "space": ["x", "y"],
        "keypoints": ["snout", "tail"],
        "individuals": ["mouse1", "mouse2"],
    }
    assert data.attrs["fps"] == 25.0
    assert (data.attrs["time_unit"], data.attrs["ds_type"], data.attrs["source_software"]) == (
        "seconds",
        "poses",
        "DeepLabCut",
    )
    np.testing.assert_allclose(data.time, np.arange(11) / 25)
    scorer = poses.columns[0][0]
    for animal in ("mouse1", "mouse2"):
        for part in ("snout", "tail"):
            chosen = data.sel(individuals=animal, keypoints=part)
            for coord in ("x", "y"):
                np.testing.assert_array_equal(chosen.position.sel(space=coord), poses[scorer, animal, part, coord])
            np.testing.assert_array_equal(chosen.confidence, poses[scorer, animal, part, "likelihood"])


def test_a_keypoint_that_only_some_have_is_missing_of_the_others(client: Client, video: str) -> None:
    analysis = client.run("invent", video, animals=2, unique=True)
    analysis.wait(progress=False, timeout=60)
    data = analysis.to_xarray()
    assert list(data.individuals.values) == ["mouse1", "mouse2", "single"]
    assert np.isnan(data.position.sel(individuals="single", keypoints="snout")).all()
    assert np.isfinite(data.position.sel(individuals="single", keypoints="corner")).all()


def test_without_a_rate_time_is_in_frames(client: Client, video: str) -> None:
    analysis = client.run("invent", video, fps=None)
    analysis.wait(progress=False, timeout=60)
    data = analysis.to_xarray()
    assert data.attrs["time_unit"] == "frames"
    assert "fps" not in data.attrs
    assert list(data.time.values) == list(range(30))
    assert analysis.to_xarray(fps=10).attrs["fps"] == 10.0


@pytest.mark.parametrize("animals", [0, 2])
def test_it_is_what_movement_makes_of_the_same_file(client: Client, video: str, tmp_path: Path, animals: int) -> None:
    load_poses = pytest.importorskip("movement.io.load_poses")
    analysis = client.run("invent", video, animals=animals)
    own = own_file(client, analysis.wait(progress=False, timeout=60), tmp_path)
    theirs, ours = load_poses.from_dlc_style_df(own, fps=25), analysis.to_xarray()
    for name in ("position", "confidence"):
        assert ours[name].dims == theirs[name].dims
        np.testing.assert_array_equal(ours[name], theirs[name])
    for name in ("time", "space", "keypoints", "individuals"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    same = ("fps", "time_unit", "ds_type", "source_software")
    assert {name: ours.attrs[name] for name in same} == {name: theirs.attrs[name] for name in same}


def test_points_in_space(client: Client, tmp_path: Path) -> None:
    analysis = client.run("invent-space")
    result = analysis.wait(progress=False, timeout=60)
    points = analysis.points()
    assert list(points.columns.get_level_values("coords")) == ["x", "y", "z", "error"] * 2
    assert points.attrs == {"unit": "mm"}
    own = own_file(client, result, tmp_path)
    pd.testing.assert_frame_equal(points[own.columns.to_list()], own, check_index_type=False)
    pd.testing.assert_frame_equal(analysis.points(3, 7), points.iloc[3:7])
    data = analysis.to_xarray()
    assert list(data.space.values) == ["x", "y", "z"]
    assert (data.attrs["fps"], data.attrs["space_unit"]) == (30.0, "mm")
    scorer = points.columns[0][0]
    for coord in ("x", "y", "z"):
        ours = data.position.sel(keypoints="tail", space=coord, individuals="individual_0")
        np.testing.assert_array_equal(ours, points[scorer, "tail", coord])
    np.testing.assert_array_equal(data.error[:, 0, 0], points[scorer, "snout", "error"])
    assert np.isnan(data.position[4]).all()
    assert np.isnan(data.confidence).all()


def test_where_there_are_no_points_it_is_said(client: Client, video: str) -> None:
    with pytest.raises(NotFound, match="no points in space"):
        client.run("invent", video).points()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a package be one that is not installed."""

    def without(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)

    return without


@pytest.mark.parametrize(("call", "package"), [("poses", "pandas"), ("to_xarray", "xarray"), ("points", "pandas")])
def test_a_package_that_is_missing_is_named(client: Client, video: str, without: Any, call: str, package: str) -> None:
    analysis = client.run("invent-space" if call == "points" else "invent", () if call == "points" else video)
    analysis.wait(progress=False, timeout=60)
    without(package)
    with pytest.raises(ModuleNotFoundError, match=f"needs {package}.*pip install {package}"):
        getattr(analysis, call)()


def test_a_package_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_there.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="no_such_thing_at_all"):
        tables.needed("half_there")
