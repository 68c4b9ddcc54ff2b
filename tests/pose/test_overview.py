"""The overview of likelihoods is what numpy says of the numbers: of files, of older files, and of growing records."""

import json
import struct

import numpy as np
import pytest

from dlc_jupyter.pose import compact
from dlc_jupyter.pose.compact import Finished, Growing
from dlc_jupyter.pose.overview import MOST_BINS, SPAN, answer
from dlc_jupyter.pose.rows import Rows

POINTS = [["", "snout"], ["", "tail"]]


def parse(content):
    """What a client does: the header, and the least and the mean likelihood, points x bins, as whole numbers."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length % 4) == (b"DLCO", 1, 0)
    header = json.loads(content[12 : 12 + length])
    least, mean = np.frombuffer(content, np.uint8, offset=12 + length).reshape(2, len(header["points"]), header["bins"])
    return header, least, mean


def wanted(likelihood, span):
    """The same of likelihoods, frames x points, by numpy; NaN where none is known."""
    frames, points = likelihood.shape
    padded = np.full((-(-frames // span) * span, points), np.nan)
    padded[:frames] = likelihood
    parts = padded.reshape(-1, span, points)
    none = np.isnan(parts).all(1)
    parts = np.where(none[:, None], 0, parts)
    return [np.where(none, 255, each(parts, 1) * 254).T for each in (np.nanmin, np.nanmean)]


def agree(found, likelihood):
    header, *values = parse(found)
    for got, want in zip(values, wanted(likelihood, header["span"]), strict=True):
        assert got.shape == want.shape
        assert np.array_equal(got == 255, want == 255)
        assert abs(got - want).max() <= 1  # rounded, once or twice
    return header


@pytest.fixture
def poses():
    """Poses, frames x points x 3: bad stretches, single bad frames, and frames without any."""

    def make(frames, points=2):
        draw = np.random.default_rng(frames)
        values = draw.random((frames, points, 3), np.float32)
        values[..., 2] = 1 - values[..., 2] ** 4 / 10
        values[draw.random(frames) < 0.01, 0, 2] = 0
        values[frames // 3 : frames // 2, -1] = np.nan
        values[draw.random((frames, points)) < 0.1] = np.nan
        return values

    return make


@pytest.fixture
def file(tmp_path):
    """Write poses as a file of the present layout, or of the one before."""

    def write(values, version=2):
        h5, target = tmp_path / "poses.h5", tmp_path / "poses.dlcp"
        import pandas as pd

        names = [part for _, part in POINTS] if values.shape[1] == 2 else [f"p{n}" for n in range(values.shape[1])]
        columns = pd.MultiIndex.from_product(
            [["net"], names, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
        )
        pd.DataFrame(values.reshape(len(values), -1), columns=columns).to_hdf(h5, key="df_with_missing")
        compact.write(h5, target, len(values))
        if version == 1:
            new = Finished.open(target)
            numbers = new.read(0, new.frames)
            target.write_bytes(compact.head(new) + numbers)
        return Finished.open(target)

    return write


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("frames", "bins", "span"),
    [
        (1, 1200, 1),
        (50, 50, 1),
        (50, 7, 8),
        (5000, 1200, 5),
        (5000, 200, 32),
        (4999, 300, 32),
        (640, 40, 16),
        (777, 1, 784),
    ],
)
def test_least_and_mean_of_every_bin(poses, file, version, frames, bins, span):
    values = poses(frames)
    source = file(values, version)
    assert source.span == (SPAN if version == 2 else 0)
    header = agree(answer(source, bins, state="succeeded"), values[..., 2])
    assert (header["points"], header["frames"], header["state"]) == (POINTS, frames, "succeeded")
    # What is read off the rows behind the numbers is of whole rows.
    assert header["span"] == (span if version == 2 or span < SPAN else -(-frames // bins))
    assert header["bins"] == -(-frames // header["span"]) <= bins


def test_a_single_bad_frame_of_two_hours_is_seen(file):
    values = np.ones((60_000, 2, 3), np.float32)
    values[41_234, 1, 2] = 0.1
    header, least, mean = parse(answer(file(values), 1200))
    assert np.argwhere(least < 254).tolist() == [[1, 41_234 // header["span"]]]
    assert least.min() == 25
    assert mean.min() == round(254 - (254 - 25) / header["span"])


def test_likelihoods_above_one_and_below_zero_are_one_and_zero(file):
    values = np.zeros((40, 2, 3), np.float32)
    values[:, 0, 2], values[:, 1, 2] = 1.02, -0.01
    for bins in (40, 2):
        _, least, mean = parse(answer(file(values), bins))
        for found in (least, mean):
            assert found.tolist() == [[254] * len(found[0]), [0] * len(found[0])]


def test_rows_that_are_cut_off_are_an_error(poses, file):
    source = file(poses(640))
    source.path.write_bytes(source.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut off"):
        answer(source, 40)


def test_of_no_poses_there_is_nothing(tmp_path):
    with Rows(tmp_path, {"scorer": "net", "points": POINTS, "span": [0, 1]}) as rows:
        rows.append([{"bodyparts": np.zeros((1, 2, 3), np.float32)}])
        header, least, _ = parse(answer(Growing.open(tmp_path), MOST_BINS))
    assert (header["bins"], header["frames"], least.shape) == (0, 0, (2, 0))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [1000, 7, 1])
def test_poses_that_are_being_made(tmp_path, poses, kind, bins):
    """Two animals with two body parts, a third one that has no name, and a body part that there is once."""
    points = [*[[each, part] for each in ("left", "right") for part in ("snout", "tail")], ["single", "door"]]
    values, door = poses(200, 6).astype(kind).reshape(200, 3, 2, 3), poses(200, 1).astype(np.float32)
    values = np.concatenate([values, np.zeros((*values.shape[:3], 1), kind)], -1)  # as identities are
    with Rows(tmp_path, {"scorer": "net", "points": points, "span": [5, 3]}) as rows:
        for each, once in zip(values, door, strict=True):
            rows.append([{"bodyparts": each, "unique_bodyparts": once[None]}])
        rows.flush()
        source = Growing.open(tmp_path)
        likelihood = np.full((source.frames, 5), np.nan)
        likelihood[5::3] = np.concatenate([values[:, :2, :, 2].reshape(200, 4), door[..., 2]], 1)
        header = agree(answer(source, bins), likelihood)
    assert header["frames"] == 5 + 199 * 3 + 1


@pytest.mark.parametrize("version", [1, 2])
def test_an_hour_is_gathered_in_a_moment(poses, file, version):
    from time import process_time

    source = file(poses(108_000, 12), version)
    begun = process_time()
    answer(source, 1200)
    assert process_time() - begun < (0.1 if version == 2 else 0.5)
