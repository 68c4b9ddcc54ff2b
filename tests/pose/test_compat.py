"""Another DeepLabCut is noticed, and what only changes how poses are drawn is told from what changes the poses."""

import pytest

from dlc_jupyter.pose import compat

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def anew():
    """Forget what was compared, before the test and after it."""
    compat.changed.cache_clear()
    compat.drawing_changed.cache_clear()
    yield
    compat.changed.cache_clear()
    compat.drawing_changed.cache_clear()


def test_the_installed_deeplabcut_draws_as_the_one_that_was_read(deeplabcut, anew):
    assert compat.drawing_changed() == ()


def test_a_deeplabcut_that_draws_otherwise_still_makes_the_same_poses(deeplabcut, anew, monkeypatch):
    from deeplabcut.utils import make_labeled_video

    def CreateVideo(clip):
        return clip

    monkeypatch.setattr(make_labeled_video, "CreateVideo", CreateVideo)
    assert compat.drawing_changed() == ("deeplabcut.utils.make_labeled_video:CreateVideo",)
    assert compat.changed() == ()


def test_no_name_is_in_both_groups():
    assert not set(compat.SOURCES) & set(compat.DRAWING)
