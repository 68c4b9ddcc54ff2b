"""What DeepLabCut itself makes of videos, without any of our code: the script of a process of its own.

``python direct.py '[[<config.yaml>, <video>, <options>], …]'``: the poses lie beside each video then.
"""

import json
import sys

import deeplabcut

for config, video, options in json.loads(sys.argv[1]):
    deeplabcut.analyze_videos(config, [video], save_as_csv=True, device="cpu", **options)
