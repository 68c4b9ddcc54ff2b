"""More videos for the tests: the kinds of MP4 and QuickTime files by which players and readers are put to the test."""

from pathlib import Path

from tests.pose import videos

COLOURS = ["-pix_fmt", "yuv420p"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", *COLOURS]
ODD = ["-f", "lavfi", "-i", "testsrc=s=161x121:r=30:d=2"]
JITTER = r"settb=1/90000,setpts='N*3000+900*mod(N*7\,3)+90000*floor(N/50)'"
AS_THEY_ARE = ["-fps_mode", "passthrough"]


def rate(clock, step):
    """Frames at exact distances."""
    timed = ["-vf", f"settb=1/{clock},setpts=N*{step}", *AS_THEY_ARE, "-enc_time_base", f"1:{clock}"]
    return [*videos.SOURCE, *timed, *X264, "-bf", "3", "-video_track_timescale", str(clock)]


#: Further videos: how ffmpeg makes each. A name in braces is another of these videos.
MORE: dict[str, list[str]] = {
    "gop250.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-g", "250", "-sc_threshold", "0"],
    "gop12.mp4": [*videos.SOURCE, *X264, "-bf", "0", "-g", "12", "-sc_threshold", "0"],
    "intra.mp4": [*videos.SOURCE, *X264, "-g", "1"],
    "2997.mp4": rate(30_000, 1001),
    "5994.mp4": rate(60_000, 1001),
    "500.mp4": rate(500, 1),
    "jitter.mp4": [*videos.SOURCE, "-vf", JITTER, *AS_THEY_ARE, "-enc_time_base", "1:90000", *X264, "-bf", "3"],
    # The encoder's clock is too slow: pairs of frames at one time.
    "pairs.mp4": [*videos.SOURCE, "-vf", JITTER, *AS_THEY_ARE, *X264, "-bf", "3", "-video_track_timescale", "90000"],
    "late.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-output_ts_offset", "1.5"],
    "trimmed.mp4": ["-ss", "1.7", "-i", "{gop250.mp4}", "-c", "copy"],
    "part.mov": ["-ss", "1.23", "-t", "1.5", "-i", "{gop250.mp4}", "-c", "copy"],
    "no-edits.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-use_editlist", "0"],
    "negative.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-movflags", "negative_cts_offsets"],
    "fragments-0.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-movflags", "frag_keyframe+empty_moov+delay_moov"],
    "fragments-based.mp4": [*videos.SOURCE, *X264, "-movflags", "frag_keyframe+empty_moov+default_base_moof"],
    "hybrid.mp4": [*videos.SOURCE, *X264, "-bf", "3", "-g", "12", "-movflags", "frag_keyframe"],
    "motion.mp4": [*videos.SOURCE, "-c:v", "mjpeg", "-q:v", "3"],
    "444.mp4": [*videos.SOURCE, "-c:v", "libx264", "-pix_fmt", "yuv444p", "-bf", "3"],
    "10-bit.mp4": [*videos.SOURCE, "-c:v", "libx264", "-pix_fmt", "yuv420p10le"],
    "part-2.mp4": [*videos.SOURCE, "-c:v", "mpeg4", "-q:v", "4", "-bf", "2"],
    "hevc.mp4": [*videos.SOURCE, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"],
    "vp9.mp4": [*videos.SOURCE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"],
    "turned-90.mp4": ["-i", "{gop12.mp4}", "-c", "copy", "-metadata:s:v", "rotate=90"],
    "turned-180.mp4": ["-i", "{gop12.mp4}", "-c", "copy", "-metadata:s:v", "rotate=180"],
    "turned-270.mp4": ["-i", "{gop12.mp4}", "-c", "copy", "-metadata:s:v", "rotate=270"],
    "late-turned.mp4": ["-i", "{late.mp4}", "-c", "copy", "-copyts", "-metadata:s:v", "rotate=180"],
    "late-stretched.mp4": [*videos.SOURCE, "-vf", "setsar=2/1", *X264, "-bf", "3", "-output_ts_offset", "1.5"],
    "stretched.mp4": [*videos.SOURCE, "-vf", "setsar=2/1", *X264],
    "odd-444.mp4": [*ODD, "-c:v", "libx264", "-pix_fmt", "yuv444p"],
    "odd-part-2.mp4": [*ODD, "-c:v", "mpeg4", "-q:v", "4"],
    "sound-first.mp4": [*videos.SOURCE, *videos.SOUND, "-map", "1", "-map", "0", *X264],
    "wide-table.mp4": [*videos.SOURCE, *X264, "-movflags", "+faststart", "-metadata", "comment=some words"],
}


def make(name: str, folder: Path) -> Path:
    """Return the video of that name in `MORE` or `videos.WHOLE`, made in `folder` if it is not there."""
    if name in videos.WHOLE:
        return videos.make(name, folder)
    target = folder / name
    if not target.exists():
        needed = [str(make(each[1:-1], folder)) if each[0] == "{" else each for each in MORE[name]]
        videos.ffmpeg(needed, target)
    return target
