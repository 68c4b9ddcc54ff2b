"""Videos for the tests, made by ffmpeg: whole ones of many kinds, and what is left of them after an accident."""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SECONDS = 4
RATE = 30
SOURCE = ["-f", "lavfi", "-i", f"testsrc2=s=160x120:r={RATE}:d={SECONDS}"]
H264 = ["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p"]
SOUND = ["-f", "lavfi", "-i", f"sine=d={SECONDS + 2}", "-c:a", "aac"]
UNEVEN = ["-vf", r"select='not(mod(n\,3))+lt(mod(n\,50)\,10)'", "-fps_mode", "vfr"]
PAUSE = ["-vf", r"setpts='N/30/TB+if(gt(N\,60)\,4/TB\,0)'", "-fps_mode", "vfr"]

#: Whole videos: how ffmpeg makes each, and how many frames it shows. A name in braces is another of these videos.
WHOLE: dict[str, tuple[list[str], int]] = {
    "plain.mp4": ([*SOURCE, *H264, "-movflags", "+faststart"], 120),
    "last-table.mp4": (["-i", "{plain.mp4}", "-c", "copy"], 120),
    "long-sound.mp4": ([*SOURCE, *SOUND, *H264, "-movflags", "+faststart"], 120),
    "plain.mkv": (["-i", "{plain.mp4}", "-c", "copy"], 120),
    "clusters.mkv": (["-i", "{plain.mp4}", "-c", "copy", "-cluster_time_limit", "500"], 120),
    "piped.mkv": (["-i", "{plain.mp4}", "-c", "copy", "-f", "matroska", "-live", "1"], 120),
    "fragments.mp4": (["-i", "{plain.mp4}", "-c", "copy", "-movflags", "frag_keyframe+empty_moov"], 120),
    "plain.mov": (["-i", "{plain.mp4}", "-c", "copy"], 120),
    "turned.mov": (["-i", "{plain.mp4}", "-c", "copy", "-metadata:s:v", "rotate=90"], 120),
    "h264.avi": (["-i", "{plain.mp4}", "-c", "copy"], 120),
    "mpeg4.avi": ([*SOURCE, "-c:v", "mpeg4", "-q:v", "5", "-g", "30"], 120),
    "b-frames.avi": ([*SOURCE, "-c:v", "mpeg4", "-q:v", "5", "-g", "30", "-bf", "2"], 120),
    "motion.avi": ([*SOURCE, "-c:v", "mjpeg", "-q:v", "5"], 120),
    "vp8.webm": ([*SOURCE, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k"], 120),
    "plain.mpg": ([*SOURCE, "-c:v", "mpeg2video", "-q:v", "5"], 120),
    "plain.ts": (["-i", "{plain.mp4}", "-c", "copy"], 120),
    # Stream-copied trims: what lies before the cut is in the file, and an edit list hides it.
    "trim.mp4": (["-ss", "1.7", "-i", "{plain.mp4}", "-c", "copy"], 69),
    "trim-both.mp4": (["-ss", "1.7", "-to", "3.1", "-i", "{plain.mp4}", "-c", "copy"], 44),
    "trim-sound.mp4": (["-ss", "1.7", "-i", "{long-sound.mp4}", "-c", "copy"], 69),
    "trim.mkv": (["-ss", "1.7", "-i", "{plain.mp4}", "-c", "copy"], 90),
    "uneven.mp4": ([*SOURCE, *UNEVEN, *H264, "-movflags", "+faststart"], 60),
    "uneven.mkv": ([*SOURCE, *UNEVEN, *H264], 60),
    "pause.mp4": ([*SOURCE, *PAUSE, *H264], 120),
    "one.mp4": ([*SOURCE, "-frames:v", "1", *H264], 1),
}  # fmt: skip


def ffmpeg(arguments: Sequence[str], target: Path) -> Path:
    """Run ffmpeg, writing `target`."""
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *arguments, str(target)], check=True)
    return target


def make(name: str, folder: Path) -> Path:
    """Return the video of that name in `WHOLE`, made in `folder` if it is not there."""
    target = folder / name
    if not target.exists():
        needed = [str(make(each[1:-1], folder)) if each[0] == "{" else each for each in WHOLE[name][0]]
        ffmpeg(needed, target)
    return target


def probe(video: Path) -> dict[str, str]:
    """What ffprobe says of a video, having decoded all of it."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames", "-of", "default=noprint_wrappers=1"]
    command += ["-show_entries", "stream=codec_name,pix_fmt,width,height,nb_read_frames,r_frame_rate", str(video)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(line.split("=") for line in lines)


def cut(video: Path, part: float, target: Path) -> Path:
    """Keep the first part of a file, as an upload does that breaks off."""
    data = video.read_bytes()
    target.write_bytes(data[: int(len(data) * part)])
    return target


def blank(video: Path, start: float, count: int, target: Path) -> Path:
    """Overwrite `count` bytes of a file by zeros, as a damaged disk does."""
    data = bytearray(video.read_bytes())
    at = int(len(data) * start)
    data[at : at + count] = bytes(len(data[at : at + count]))
    target.write_bytes(data)
    return target


def decode(video: Path) -> list[float]:
    """Read a video to its end through OpenCV, as DeepLabCut does; return when each frame is shown by its word."""
    capture, shown = cv2.VideoCapture(str(video)), []
    while capture.read()[0]:
        shown.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return shown


def decode_pictures(video: Path) -> np.ndarray:
    """Return all pictures that OpenCV decodes."""
    capture, pictures = cv2.VideoCapture(str(video)), []
    while True:
        found, picture = capture.read()
        if not found:
            return np.stack(pictures)
        pictures.append(picture)


VOP = b"\x00\x00\x01\xb6"


def pack(video: Path, target: Path) -> Path:
    """Rewrite an MPEG-4 AVI with B-frames as a "packed bitstream", which DivX made and no muxer makes today.

    A picture that others are predicted from goes into one packet with the first B-frame before it, and in its own place
    comes a packet of a few bytes without a picture.
    """
    with av.open(str(video)) as source:
        pictures = [bytes(packet) for packet in source.demux(source.streams.video[0]) if packet.size]
        size = source.streams.video[0].width, source.streams.video[0].height
    pictures = [_signed(each) if _kind(each) == "I" else each for each in pictures]
    packets: list[bytes] = []
    while pictures:
        first = pictures.pop(0)
        between = []
        while pictures and _kind(pictures[0]) == "B":
            between.append(pictures.pop(0))
        packets += [first + between[0], *between[1:], _no_picture(len(packets))] if between else [first]
    with av.open(str(target), "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height = size
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = Fraction(1, RATE), _kind(data) == "I"
            out.mux(packet)
    return target


def _kind(picture: bytes) -> str:
    return "IPBS"[picture[picture.find(VOP) + 4] >> 6]


def _signed(picture: bytes) -> bytes:
    """Put DivX's mark before a picture: by it decoders know that the stream is packed."""
    at = picture.find(VOP)
    head = picture[:at].split(b"\x00\x00\x01\xb2")[0]
    return head + b"\x00\x00\x01\xb2DivX503b1393p" + picture[at:]


def _no_picture(tick: int) -> bytes:
    bits = f"0101{tick % RATE:05b}10"
    bits += "0" + "1" * (-(len(bits) + 1) % 8)
    return VOP + int(bits, 2).to_bytes(len(bits) // 8, "big")


def spoil(video: Path, numbers: Sequence[int], target: Path) -> Path:
    """Overwrite some packets, counted as they lie in the file, by ones."""
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for number in numbers:
        at, size = places[number]
        data[at : at + size] = b"\xff" * size
    target.write_bytes(data)
    return target


def reserve(video: Path, number: int, target: Path) -> Path:
    """Give the units of a packet of HEVC in MP4 a type that is reserved, which decoders pass over without a word."""
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        at, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][number]
    end = at + size
    while at < end:
        data[at + 4 : at + 6] = b"\x52\x01"
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    target.write_bytes(data)
    return target


def cut_open(target: Path, pictures: Sequence[str] = SOURCE) -> tuple[Path, int, Path]:
    """Make an MP4 that begins with frames whose predecessors were cut away, as cameras and careless cuts do.

    The first 12 `pictures` are gone. Returns it, how many such frames there are, and the video that it was cut from.
    """
    options = "open-gop=1:bframes=3:scenecut=0:b-adapt=0:keyint=12:min-keyint=12"
    source = ffmpeg([*pictures, "-c:v", "libx264", "-x264-params", options], target.with_name(f"whole-{target.name}"))
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        second = [number for number, packet in enumerate(packets) if packet.is_keyframe][1]
        rest, first = packets[second:], packets[second].pts
        start = min(packet.pts for packet in rest)
        with av.open(str(target), "w", options={"use_editlist": "0"}) as out:
            copied = out.add_stream_from_template(stream)
            for packet in rest:
                new = av.Packet(bytes(packet))
                new.pts, new.dts, new.time_base = packet.pts - start, packet.dts - start, packet.time_base
                new.stream, new.is_keyframe, new.duration = copied, packet.is_keyframe, packet.duration
                out.mux(new)
    return target, sum(packet.pts < first for packet in rest), source
