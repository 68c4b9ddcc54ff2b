"""`deeplabcut.analyze_videos`, called directly: once for every line of standard input, which names the new folder.

Writes how many seconds each call took. From the second call on, everything that DeepLabCut loads late is loaded. The
peer of `video_overhead.py`.

    python -m benchmarks.peers.direct CONFIG VIDEO
"""

import sys
import time

import deeplabcut


def main(config: str, video: str) -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # DeepLabCut's own words
    for line in sys.stdin:
        began = time.perf_counter()
        deeplabcut.analyze_videos(
            config, [video], save_as_csv=True, destfolder=line.strip(), in_random_order=False, device="cpu"
        )
        print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
