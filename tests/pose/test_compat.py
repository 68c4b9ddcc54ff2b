"""Another DeepLabCut is noticed, and what only changes how poses are drawn is told from what changes the poses."""

from importlib import import_module

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


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("deeplabcut.pose_estimation_pytorch.models.model:PoseModel", "get_predictions"),
        ("deeplabcut.pose_estimation_pytorch.data.dlcloader:DLCLoader", "scorer"),
        ("deeplabcut.pose_estimation_pytorch.apis.utils", "get_model_snapshots"),
        ("deeplabcut.pose_estimation_pytorch.apis.tracklets", "build_tracklets"),
    ],
)
def test_another_of_what_our_loop_calls_is_noticed(deeplabcut, anew, monkeypatch, place, name):
    module, _, owner = place.partition(":")
    found = import_module(module)

    def another(*arguments):
        return arguments

    monkeypatch.setattr(getattr(found, owner) if owner else found, name, another)
    assert compat.changed() == (f"{place}{'.' if owner else ':'}{name}",)
