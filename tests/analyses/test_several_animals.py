"""Several animals: tracks and drawings come out under the names that DeepLabCut gives them.

There is no network trained on several animals here. The project and the network are real, but what the network would
see is put in by hand; DeepLabCut's own assembly, tracking, stitching and drawing follow.
"""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.conftest import FRAMES
from tests.pose.networks import PARTS, walking

pytestmark = pytest.mark.deeplabcut


def nowhere(frame):
    """No animal at all."""
    return np.full((2, len(PARTS), 3), [np.nan, np.nan, 0], np.float32)


def test_the_tracks_of_two_animals_are_the_result(run, clip, pair, seen):
    seen(walking)
    result = run("video", clip, model=pair).result
    assert result["individuals"] == ["left", "right"]
    assert result["bodyparts"] == PARTS
    assert result["h5_file"].name.endswith("_el.h5")
    assert result["csv_file"].name.endswith("_el.csv")
    poses = pd.read_hdf(result["h5_file"])[result["scorer"]]
    assert len(poses) == result["frames"] == FRAMES
    heights = {name: poses[name]["body"]["y"].median() for name in ("left", "right")}
    assert sorted(heights.values()) == pytest.approx([85, 185], abs=1)


@pytest.mark.parametrize("options", [{}, {"color_by": "individual", "draw_skeleton": True}, {"filtered": True}])
def test_two_animals_are_drawn(run, clip, pair, seen, options):
    seen(walking)
    ran = run("label", clip, model=pair, **options)
    assert ran.result["frames"] == FRAMES
    again = run("label", clip, model=pair, poses=ran, **options)
    assert again.result["poses_from"] is not None


def test_animals_that_are_nowhere_are_a_failure_in_plain_words(fails, clip, pair, seen):
    seen(nowhere)
    failed = fails("video", clip, model=pair)
    assert failed.kind == "NotTracked"
    assert "could not be tracked" in failed.message


def test_a_tracker_that_loses_an_animal_that_stands_still_is_refused(fails, clip, pair, monkeypatch):
    from deeplabcut.core.trackingutils import EllipseTracker

    original = EllipseTracker.update

    def adds_rows_to_columns(self, ellipse):  # as filterpy 2.0.0 does
        original(self, np.asarray(ellipse) - 53)

    monkeypatch.setattr(EllipseTracker, "update", adds_rows_to_columns)
    failed = fails("video", clip, model=pair)
    assert failed.kind == "TrackingBroken"
    assert "filterpy<2" in failed.hint
