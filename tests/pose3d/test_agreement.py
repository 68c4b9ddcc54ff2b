"""What is wrong with a recording is found, and nothing is found where all is well."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.agreement import Finding, check_poses, diagnose
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.epipolar import REACH, Pair, Sample, Three, match_individuals, windows
from tests.pose3d import rigs

BODYPARTS = 6


def recording(cameras: int, seed: int = 0, noise: float = 1.0, frames: int = 600) -> tuple[Rig, Array]:
    """Return a rig and what it sees of one animal: pixels of shape (cameras, frames, 1, bodyparts, 2)."""
    rig = rigs.rig(cameras, seed=seed)
    pixels = rig.project(rigs.motion(frames, BODYPARTS, seed=seed))[:, :, None]
    return rig, pixels + np.random.default_rng(seed).normal(size=pixels.shape) * noise


def sample_of(pixels: Array, likelihood: Array | None = None, pcutoff: float = 0.4) -> Sample:
    """Take a sample as a long recording is read: in pieces, which end where they like."""
    cameras, frames, animals, parts, _ = pixels.shape
    flat = pixels.reshape(cameras, frames, animals * parts, 2)
    sure = None if likelihood is None else likelihood.reshape(cameras, frames, animals * parts)
    ends = [*range(0, frames, 37), frames]
    pieces = [
        (range(start, stop), flat[:, start:stop], None if sure is None else sure[:, start:stop])
        for start, stop in pairwise(ends)
    ]
    return Sample.of(pieces, (cameras, frames, animals, parts), pcutoff)


def found(rig: Rig, pixels: Array, likelihood: Array | None = None) -> list[Finding]:
    return diagnose(rig, sample_of(pixels, likelihood))


def turned(rig: Rig, camera: int, degrees: tuple[float, float, float]) -> Rig:
    cameras = list(rig.cameras)
    turn = cv2.Rodrigues(np.deg2rad(degrees))[0]
    cameras[camera] = replace(cameras[camera], rotation=turn @ cameras[camera].rotation)
    return replace(rig, cameras=tuple(cameras))


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("cameras", [2, 3, 6])
def test_nothing_is_said_of_a_good_recording(cameras: int, noise: float) -> None:
    for seed in range(3 if cameras < 6 else 1):
        rig, pixels = recording(cameras, seed, noise)
        assert found(rig, pixels) == []
        random = np.random.default_rng(seed)
        wrong = random.random(pixels.shape[:-1]) < 0.1
        pixels[wrong] = random.uniform((0, 0), (640, 480), (wrong.sum(), 2))
        pixels[:, 100:200, :, 2] = np.nan
        assert found(rig, pixels) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cameras", [2, 3, 6])
def test_swapped_videos_are_named(cameras: int, seed: int) -> None:
    rig, pixels = recording(cameras, seed)
    last = cameras - 1
    pixels[[0, last]] = pixels[[last, 0]]
    [finding] = found(rig, pixels)
    assert finding.kind == "swapped"
    assert finding.cameras == ("camera-1", f"camera-{cameras}")
    assert f"camera-1 and camera-{cameras} may be swapped" in finding.message


def test_videos_in_another_order_are_named() -> None:
    rig, pixels = recording(4)
    [finding] = found(rig, pixels[[1, 2, 0, 3]])
    assert finding.kind == "swapped"
    assert finding.cameras == ("camera-1", "camera-2", "camera-3")
    assert (
        "that of camera-3 for camera-1, that of camera-1 for camera-2, that of camera-2 for camera-3" in finding.message
    )


@pytest.mark.parametrize("frames", [3, -3, 20])
@pytest.mark.parametrize("cameras", [2, 3, 6])
def test_a_video_out_of_sync_is_named_with_its_frames(cameras: int, frames: int) -> None:
    rig, pixels = recording(cameras)
    # Frame i + frames of this camera shows what the others saw in frame i.
    pixels[1] = np.roll(pixels[1], frames, axis=0)
    [finding] = found(rig, pixels[:, abs(frames) : -abs(frames)])
    assert finding.kind == "out-of-sync"
    assert finding.cameras == ("camera-2",)
    assert finding.frames == frames
    assert f"a frame_offset of {frames} for it" in finding.message


def test_two_videos_out_of_sync_are_both_named() -> None:
    rig, pixels = recording(4)
    pixels[1], pixels[3] = np.roll(pixels[1], 5, axis=0), np.roll(pixels[3], -8, axis=0)
    assert {(each.kind, each.cameras, each.frames) for each in found(rig, pixels[:, 10:-10])} == {
        ("out-of-sync", ("camera-2",), 5),
        ("out-of-sync", ("camera-4",), -8),
    }


@pytest.mark.parametrize("camera", [0, 2])
@pytest.mark.parametrize("cameras", [4, 6])
def test_a_camera_that_was_moved_is_named(cameras: int, camera: int) -> None:
    rig, pixels = recording(cameras)
    [finding] = found(turned(rig, camera, (1.5, 2.0, 0)), pixels)
    assert finding.kind == "camera-moved"
    assert finding.cameras == (f"camera-{camera + 1}",)


def test_a_camera_turned_along_the_lines_of_all_others_is_named() -> None:
    """All cameras are at one height: turned sideways, each still agrees with every other one, two at a time."""
    rig = rigs.rig(4, distorted=False)
    level = []
    for camera, angle in zip(rig.cameras, np.deg2rad([0, 30, 60, 90]), strict=True):
        place = rigs.CENTRE + rigs.DISTANCE * np.array([np.sin(angle), 0, -np.cos(angle)])
        rotation, translation = rigs.looking(place, rigs.CENTRE)
        level.append(replace(camera, rotation=rotation, translation=translation))
    rig = replace(rig, cameras=tuple(level))
    flat = rigs.motion(600, BODYPARTS)
    flat[..., 1] = 0  # at the cameras' own height
    pixels = rig.project(flat)[:, :, None]
    [finding] = found(turned(rig, 2, (0, 2, 0)), pixels)
    assert (finding.kind, finding.cameras) == ("camera-moved", ("camera-3",))


def test_two_cameras_that_do_not_fit_are_told_without_a_guess() -> None:
    rig, pixels = recording(2)
    [finding] = found(turned(rig, 1, (3, 0, 0)), pixels)
    assert finding.kind == "calibration"
    assert "do not fit the calibration" in finding.message


def test_a_camera_that_is_rarely_sure_is_named() -> None:
    rig, pixels = recording(3)
    likelihood = np.ones(pixels.shape[:-1])
    likelihood[2] = np.where(np.arange(600) % 20 == 0, 0.9, 0.1)[:, None, None]
    [finding] = found(rig, pixels, likelihood)
    assert (finding.kind, finding.cameras) == ("unsure", ("camera-3",))
    assert finding.as_json()["cameras"] == ("camera-3",)


# -- poses of which nothing can be made --------------------------------------------------------------------------------


def test_poses_that_are_nan_throughout_are_refused() -> None:
    rig, pixels = recording(3)
    pixels[:2] = np.nan
    with pytest.raises(AnalysisFailed, match="camera-1 and camera-2 saw no body part") as refused:
        check_poses(rig.names, sample_of(pixels), 0.4)
    assert refused.value.kind == "NoPoses"
    assert "pcutoff" in refused.value.hint
    pixels[1] = 5.0
    check_poses(rig.names, sample_of(pixels), 0.4)


def test_the_same_poses_twice_are_refused() -> None:
    rig, pixels = recording(3)
    pixels[2] = pixels[0]
    with pytest.raises(AnalysisFailed, match="camera-1 and camera-3 have the same poses") as refused:
        check_poses(rig.names, sample_of(pixels), 0.4)
    assert refused.value.kind == "SamePoses"


def test_a_sample_in_which_nothing_is_seen_proves_nothing() -> None:
    rig, pixels = recording(3)
    empty = sample_of(np.full_like(pixels, np.nan))
    seen_elsewhere = replace(empty, likely=np.full(3, 0.2))
    check_poses(rig.names, seen_elsewhere, 0.4)
    assert diagnose(rig, seen_elsewhere) == []


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 40, 100, 100_000])
def test_a_sample_of_any_length(frames: int) -> None:
    taken = windows(frames, 12)
    assert all(each.start >= 0 and each.stop <= frames for each in taken)
    assert len({len(each) for each in taken}) <= 1
    assert sum(map(len, taken)) < 20_000
    rig, pixels = recording(2, frames=max(frames, 1)) if frames < 1000 else recording(2, frames=1000)
    sample = sample_of(pixels[:, :frames])
    assert sample.margin <= REACH
    assert found(rig, pixels[:, :frames]) == ([] if frames else found(rig, pixels[:, :0]))


# -- distances ---------------------------------------------------------------------------------------------------------


def test_distances_are_those_to_the_nearest_pixels_that_meet() -> None:
    """Hartley and Sturm's optimum, which OpenCV finds, is what Sampson's distance is the first order of."""
    rig = rigs.rig(2, distorted=False)
    random = np.random.default_rng(0)
    pixels = rig.project(rigs.motion(40, 4)).reshape(2, -1, 2) + random.normal(size=(2, 160, 2))
    first, second = rig.cameras
    turn = second.rotation @ first.rotation.T
    x, y, z = second.translation - turn @ first.translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    fundamental = np.linalg.inv(second.matrix).T @ essential @ np.linalg.inv(first.matrix)
    better = cv2.correctMatches(fundamental, *(each[None] for each in pixels))
    moved = np.sqrt(sum(((new[0] - old) ** 2).sum(-1) for new, old in zip(better, pixels, strict=True)))
    rays = rig.normalised(pixels)
    np.testing.assert_allclose(Pair(first, second).distances(*rays), moved, rtol=0.01, atol=0.002)


def test_what_meets_behind_a_camera_is_far() -> None:
    rig = rigs.rig(3, distorted=False)
    rays = rig.normalised(rig.project(rigs.motion(10, 2)))
    assert Pair(*rig.cameras[:2]).distances(*rays[:2]).max() < 1e-6
    assert Three(rig.cameras).distances(rays).max() < 1e-6
    rays[1, ..., 0] += 1.2
    assert (Pair(*rig.cameras[:2]).distances(*rays[:2]) == 800).all()
    rays[1, 0] = np.nan
    assert np.isnan(Pair(*rig.cameras[:2]).distances(*rays[:2])[0]).all()
    assert np.isnan(Three(rig.cameras).distances(rays)[0]).all()


# -- individuals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", [2, 3, 6])
def test_individuals_are_the_same_ones_in_every_view(cameras: int) -> None:
    rig = rigs.rig(cameras)
    animals = np.stack([rigs.motion(600, BODYPARTS, seed) for seed in range(3)], axis=1)
    pixels = rig.project(animals)
    pixels += np.random.default_rng(0).normal(size=pixels.shape)
    pixels[1, 100:400, 2] = np.nan
    orders = [list(np.random.default_rng(camera).permutation(3)) for camera in range(cameras)]
    orders[0] = [0, 1, 2]
    named = np.stack([pixels[camera][:, order] for camera, order in enumerate(orders)])
    sample = sample_of(named)
    order = match_individuals(rig, sample)
    assert [[orders[camera][each] for each in order[camera]] for camera in range(cameras)] == [[0, 1, 2]] * cameras
    assert diagnose(rig, sample) == []
    swapped = np.concatenate([named[1:2], named[:1], named[2:]])
    assert [each.kind for each in diagnose(rig, sample_of(swapped))] == ["swapped"]


def test_an_individual_that_a_camera_never_saw_takes_what_is_left() -> None:
    rig = rigs.rig(2)
    pixels = rig.project(np.stack([rigs.motion(300, BODYPARTS, seed) for seed in range(3)], axis=1))[:, :, :, :]
    pixels[1] = pixels[1][:, [2, 0, 1]]
    pixels[1, :, 1] = np.nan  # the first one
    assert match_individuals(rig, sample_of(pixels)).tolist() == [[0, 1, 2], [1, 2, 0]]
