"""`playable`: the video that is made has just the frames of the one that it was made of, or it is not let pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import InputFile, Job
from dlc_jupyter.analyses.playable import Playable
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import playable
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.playback import look
from tests.analyses.conftest import Ran
from tests.pose import movies, videos


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `movies.MORE` or `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("movies")
    return lambda name: movies.make(name, folder)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Ran]:
    """Run the analysis in this process. It needs no model."""
    runs = 0

    def make(video: Path, **parameters: Any) -> Ran:
        nonlocal runs
        runs += 1
        scratch = tmp_path / f"scratch-{runs}"
        scratch.mkdir()
        ran = Ran({}, scratch)
        job = Job(
            parameters=Playable.validate(parameters),
            inputs=[InputFile("0" * 40, video, video.name)],
            scratch=scratch,
            report=lambda kind, values: ran.told.append((kind, dict(values))),
        )
        ran.result = Playable().run(job)
        return ran

    return make


def numbered(target: Path, arguments: list[str], frames: int = 90, size: tuple[int, int] = (160, 120)) -> Path:
    """Make a video whose frames carry their number: ten white or black squares in a row."""
    source = target.with_suffix(".numbers.mkv")
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", f"{size[0]}x{size[1]}", "-framerate", "30"]
    side, pictures = size[0] // 10, np.full((frames, size[1], size[0]), 90, np.uint8)
    for number, picture in enumerate(pictures):
        for bit in range(10):
            picture[:side, bit * side : (bit + 1) * side] = 255 * (number >> bit & 1)
        picture[side:, : number % size[0]] += 60  # something moves
    target.with_suffix(".raw").write_bytes(pictures.tobytes())
    videos.ffmpeg([*raw, "-i", str(target.with_suffix(".raw")), "-c:v", "ffv1"], source)
    return videos.ffmpeg(["-i", str(source), *arguments], target)


def numbers(pictures: np.ndarray) -> list[int]:
    """Read the numbers off pictures, as they were stored: neither turned nor stretched."""
    side = pictures.shape[2] // 10
    lit = [pictures[:, side // 2, bit * side + side // 2].mean(-1) > 128 for bit in range(10)]
    return [sum(int(bit[number]) << place for place, bit in enumerate(lit)) for number in range(len(pictures))]


def shown(video: Path) -> np.ndarray:
    return videos.decode_pictures(video)


COPIED = ["fragments.mp4", "no-edits.mp4", "late.mp4", "plain.mkv", "uneven.mkv", "hybrid.mp4", "piped.mkv"]
COPIED += ["late-turned.mp4", "late-stretched.mp4"]
ENCODED = [
    *("motion.avi", "h264.avi", "b-frames.avi", "hevc.mp4", "part-2.mp4", "pairs.mp4", "vp8.webm", "plain.ts"),
    *("turned.mov", "stretched.mp4", "trimmed.mp4", "odd-444.mp4", "odd-part-2.mp4", "500.mp4", "one.mp4"),
]


@pytest.mark.parametrize("name", COPIED)
def test_pictures_are_copied_without_loss_and_every_frame_is_reached(make: Any, movie: Any, name: str) -> None:
    ran = make(movie(name))
    made = ran.result["video_file"]
    assert (ran.result["made"], ran.result["index_timed"]) == ("remux", False)
    found = look(made)
    assert (found.play, found.why, found.timing.times[0]) == ("direct", None, 0)
    before, after = shown(movie(name)), shown(made)
    assert np.array_equal(before, after)
    assert ran.result["frames"] == ran.result["checked"] == found.frames == len(before)
    times, media = np.frombuffer(found.timing.table(), "<f8"), inspect(movie(name))
    assert np.allclose(times[:-1], media.times, atol=1e-4)
    assert ran.progress[-1] == {"done": len(before), "total": len(before), "unit": "frames"}
    assert ran.notes == []


@pytest.mark.parametrize("name", ENCODED)
def test_what_cannot_be_copied_is_encoded_anew_frame_for_frame(make: Any, movie: Any, name: str) -> None:
    ran = make(movie(name))
    result, made = ran.result, ran.result["video_file"]
    assert (result["made"], result["index_timed"]) == ("proxy", True)
    found = look(made)
    before, after = shown(movie(name)), shown(made)
    assert (found.play, found.why, len(before)) == ("direct", None, len(after))
    assert result["frames"] == result["checked"] == found.frames == len(before)
    height, width = before.shape[1:3]
    assert after.shape[1:3] == (height + height % 2, width + width % 2)
    difference = abs(before.astype(int) - after[:, :height, :width]).mean((1, 2, 3))
    assert difference.max() < 9  # colours at half the size
    # Every frame at its number divided by the rate, exactly; and a key frame at least every 12.
    step = round(90_000 / min(float(inspect(movie(name)).fps), 60))
    assert found.timing.times == range(0, len(before) * step, step)
    assert (found.timing.timescale, result["fps"]) == (90_000, pytest.approx(90_000 / step, abs=1e-6))
    with av.open(str(made)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    assert keys == list(range(0, len(before), 12))
    assert ran.progress[-1] == {"done": 2 * len(before), "total": 2 * len(before), "unit": "frames"}
    done = [each["done"] for each in ran.progress]
    assert done == sorted(done)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("motion.avi", ["-c:v", "mjpeg", "-q:v", "3"]),
        ("part-2.avi", ["-c:v", "mpeg4", "-q:v", "3", "-bf", "2"]),
        ("hevc.mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"]),
        ("pairs.mp4", ["-vf", movies.JITTER, "-fps_mode", "passthrough", *movies.X264, "-bf", "3"]),
        ("late.mp4", [*movies.X264, "-bf", "3", "-output_ts_offset", "1.5"]),
        ("copy.mkv", [*movies.X264, "-bf", "3"]),
    ],
)
def test_the_numbers_that_frames_carry_are_those_of_the_frames(
    make: Any, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    source = numbered(tmp_path / name, arguments)
    assert numbers(shown(source)) == list(range(90))
    assert numbers(shown(make(source).result["video_file"])) == list(range(90))


def test_times_of_the_video_s_own_are_kept(make: Any, movie: Any) -> None:
    for name in ("late.mp4", "pairs.mp4", "uneven.mkv", "motion.avi"):
        result = make(movie(name)).result
        times, media = np.frombuffer(result["times_file"].read_bytes(), "<f8"), inspect(movie(name))
        assert len(times) == result["frames"] + 1
        assert np.allclose(times[:-1], np.asarray(media.times) + float(media.origin))
        assert times[-1] == pytest.approx(times[-2] + media.gap)
        known = look(movie(name)).timing
        assert known is None or np.allclose(np.frombuffer(known.table(), "<f8")[:-1], times[:-1])


def test_frames_that_cannot_be_decoded_are_black_and_the_others_keep_their_numbers(make: Any, tmp_path: Path) -> None:
    source, leading, _ = videos.cut_open(tmp_path / "open.mp4")
    ran = make(source)
    after, before = shown(ran.result["video_file"]), shown(source)
    assert (ran.result["made"], len(after)) == ("proxy", len(before) + leading)
    assert after[:leading].max() < 20
    assert abs(after[leading:].astype(int) - before).mean() < 4
    assert ran.notes == [f"{leading} frames of the video cannot be decoded and are black."]


def test_a_frame_in_the_middle_that_cannot_be_decoded_is_black(make: Any, movie: Any, tmp_path: Path) -> None:
    source = videos.spoil(movie("intra.mp4"), [40, 41], tmp_path / "spoiled.mp4")
    ran = make(source, how="proxy")
    after, whole = shown(ran.result["video_file"]), shown(movie("intra.mp4"))
    assert len(after) == len(whole)
    assert after[40:42].max() < 20
    rest = [number for number in range(len(whole)) if number not in (40, 41)]
    assert abs(after[rest].astype(int) - whole[rest]).mean((1, 2, 3)).max() < 12


def test_a_video_that_is_cut_off_is_made_playable_up_to_there(make: Any, movie: Any, tmp_path: Path) -> None:
    source = videos.cut(movie("motion.avi"), 0.6, tmp_path / "cut.avi")
    ran = make(source)
    assert ran.result["frames"] == len(shown(source)) == len(shown(ran.result["video_file"]))
    assert "cut off" in ran.notes[0]


def test_how_is_obeyed(make: Any, movie: Any) -> None:
    assert make(movie("fragments.mp4"), how="proxy").result["made"] == "proxy"
    assert make(movie("gop250.mp4"), how="remux").result["made"] == "remux"
    # Who asks though it can be played as it is has a browser that cannot.
    assert make(movie("gop250.mp4")).result["made"] == "proxy"
    for name in ("motion.avi", "hevc.mp4", "pairs.mp4", "trimmed.mp4"):
        with pytest.raises(AnalysisFailed, match="cannot be copied") as failed:
            make(movie(name), how="remux")
        assert failed.value.kind == "NotTheSame"


def test_a_fast_and_an_uneven_video_are_said_to_be_shown_otherwise(make: Any, movie: Any) -> None:
    assert make(movie("500.mp4")).notes == ["It is shown at 60 frames a second; the video has 500."]
    assert "same time" in make(movie("pairs.mp4")).notes[0]


# -- a proof that can fail ---------------------------------------------------------------------------------------------


def spoilt(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """Have whatever is encoded filtered once more, as ffmpeg writes it."""
    finish = playable.Encoder.finish

    def spoil(encoder: Any) -> None:
        finish(encoder)
        target = encoder._target
        good = target.rename(target.with_suffix(".good.mp4"))
        clock = ["-enc_time_base", "1:90000", "-fps_mode", "passthrough", "-video_track_timescale", "90000"]
        coded = [*clock, *movies.X264, "-bf", "0", "-movflags", "+faststart"]
        videos.ffmpeg(["-i", str(good), "-vf", f"settb=1/90000,{wrong}", *coded], target)

    monkeypatch.setattr(playable.Encoder, "finish", spoil)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (r"select='not(eq(n\,60))',setpts=N*3000", "frames instead of"),
        ("setpts=N*3000+3000", "one distance"),
        (r"setpts='N*3000+if(gt(N\,50)\,3000\,0)'", "one distance"),
        ("reverse,setpts=N*3000", "are others"),
        # One frame too many early on, and one too few late: the number is right, and what lies between is not.
        (r"loop=1:1:30,select='not(eq(n\,80))',setpts=N*3000", "are others"),
    ],
)
def test_a_proxy_that_is_wrong_is_not_let_pass(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, what: str
) -> None:
    source = numbered(tmp_path / "numbers.avi", ["-c:v", "mjpeg", "-q:v", "3"])
    spoilt(monkeypatch, wrong)
    with pytest.raises(AnalysisFailed, match=what):
        make(source)


@pytest.mark.parametrize("change", ["shorter", "other", "later"])
def test_a_copy_that_is_wrong_is_encoded_anew_instead(
    make: Any, movie: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    copy = playable.copy_pictures
    how = {
        "shorter": ["-i", str(movie("plain.mkv")), "-frames:v", "119", "-c", "copy"],
        "other": ["-i", str(movie("plain.mkv")), *movies.X264],
        "later": ["-i", str(movie("plain.mkv")), "-c", "copy", "-bsf:v", "setts=pts=PTS+if(gt(N\\,60)\\,40\\,0)"],
    }
    monkeypatch.setattr(playable, "copy_pictures", lambda source, target: videos.ffmpeg(how[change], target))
    assert make(movie("plain.mkv")).result["made"] == "proxy"
    monkeypatch.setattr(playable, "copy_pictures", copy)
    assert make(movie("plain.mkv")).result["made"] == "remux"


@pytest.mark.parametrize("video", [demo.VIDEO, *demo.VIDEOS_3D], ids=lambda path: path.stem)
def test_recordings_in_which_hardly_anything_moves_are_proven_and_four_wrong_frames_are_seen(
    make: Any, monkeypatch: pytest.MonkeyPatch, video: Path
) -> None:
    """What coding does to their still parts is more than a mouse's step from frame to frame."""
    ran = make(video, how="proxy")
    assert ran.result["checked"] == ran.result["frames"] == inspect(video).frames
    spoilt(monkeypatch, r"loop=1:1:100,select='not(eq(n\,104))',setpts=N*3000")
    with pytest.raises(AnalysisFailed, match="are others"):
        make(video, how="proxy")


def test_of_a_long_video_windows_are_held_against_it(make: Any, movie: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playable, "_ALL", 50)
    monkeypatch.setattr(playable, "_WINDOWS", 6)
    monkeypatch.setattr(playable, "_WINDOW", 5)
    assert make(movie("motion.avi")).result["checked"] == 30  # 6 windows of 5 of 120 frames


def test_a_disk_that_is_full_is_told(make: Any, movie: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise AnalysisFailed("The disk is full.", kind="NoSpace")

    monkeypatch.setattr(playable, "copy_pictures", full)
    with pytest.raises(AnalysisFailed, match="full"):
        make(movie("plain.mkv"))


def test_what_is_no_video_is_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(AnalysisFailed) as failed:
        make(tmp_path / "table.csv")
    assert failed.value.kind == "NotAVideo"


def test_every_field_of_the_result_is_described(make: Any, movie: Any) -> None:
    assert set(make(movie("motion.avi")).result) <= set(Playable.results)
