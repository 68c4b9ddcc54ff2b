"""`label`: what DeepLabCut says nothing about is no success, and is said in words."""

import os

import pytest

from tests.analyses.conftest import FRAMES

pytestmark = pytest.mark.deeplabcut


def test_body_parts_that_the_model_does_not_have_are_refused_naming_those_it_has(fails, clip):
    failed = fails("label", clip, displayedbodyparts=["snout", "wing"])
    assert failed.kind == "UnknownBodyPart"
    assert failed.message.startswith("The model has no body part wing. There are: snout, leftear")
    assert fails("label", clip, displayedbodyparts="[]").kind == "UnknownBodyPart"


def test_poses_that_deeplabcut_does_not_find_are_no_success(run, fails, clip):
    poses = run("video", clip)
    poses.result["scorer"] = "DLC_somebody_else"  # it prints a line and returns [False]
    assert fails("label", clip, poses=poses).kind == "NoPoses"


def test_poses_that_cannot_be_read_are_no_success(run, fails, clip, tmp_path):
    poses = run("video", clip)
    poses.result["h5_file"] = tmp_path / "broken.h5"
    poses.result["h5_file"].write_bytes(b"no HDF5")
    assert fails("label", clip, poses=poses).kind == "DeepLabCutFailed"


def test_filtering_that_makes_nothing_is_no_success(fails, clip, monkeypatch, deeplabcut):
    monkeypatch.setattr(deeplabcut, "filterpredictions", lambda *arguments, **keywords: None)
    assert fails("label", clip, filtered=True).kind == "NoPoses"


@pytest.mark.parametrize("returned", [[], [None], [False], [True]])
def test_a_drawing_that_makes_nothing_is_no_success(fails, clip, monkeypatch, deeplabcut, returned):
    monkeypatch.setattr(deeplabcut, "create_labeled_video", lambda *arguments, **keywords: returned)
    assert fails("label", clip, fastmode=False).kind == "NoPoses"


def test_an_encoder_that_fails_is_no_success(fails, clip, monkeypatch, tmp_path):
    fake = tmp_path / "bin/ffmpeg"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    failed = fails("label", clip)
    assert failed.kind == "EncodingFailed"
    assert failed.hint == "Unknown encoder libx264"


def test_a_disk_that_is_full_is_said_in_these_words(fails, clip, monkeypatch, tmp_path):
    fake = tmp_path / "bin/ffmpeg"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\ncat > /dev/null\necho 'av_interleaved_write_frame(): No space left on device' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    failed = fails("label", clip)
    assert failed.kind == "NoSpace"
    assert "disk is full" in failed.message


def test_without_an_ffmpeg_of_the_system_the_one_that_comes_with_deeplabcut_is_used(run, clip, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("label", clip).result["frames"] == FRAMES


@pytest.mark.parametrize("fastmode", [True, False])
def test_without_any_ffmpeg_the_message_says_how_to_get_one(fails, clip, monkeypatch, tmp_path, fastmode):
    import imageio_ffmpeg

    def none():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    failed = fails("label", clip, fastmode=fastmode)
    assert failed.kind == "NoFFmpeg"
    assert "apt-get install ffmpeg" in failed.hint
