"""The HTTP API from Python, with the standard library alone.

>>> client = Client()  # in a notebook; elsewhere Client("http://127.0.0.1:8888", token="…")
>>> video = client.upload("day1.mp4")
>>> analysis = client.run("video", video, model="demo-mouse")
>>> analysis.wait()
>>> analysis.poses()  # a DataFrame
>>> client.batch(["day2.mp4", "day3.mp4"], "video", model="demo-mouse").wait()
"""

from dlc_jupyter.client.analyses import FINISHED, Analysis
from dlc_jupyter.client.batch import Batch
from dlc_jupyter.client.client import Client
from dlc_jupyter.client.discovery import NoServer

__all__ = ["FINISHED", "Analysis", "Batch", "Client", "NoServer"]
