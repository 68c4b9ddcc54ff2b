"""The documented API as it is usually built: Flask, Celery and Redis, under gunicorn. The peer of `upload.py`.

It runs in an environment of its own (`requirements.txt`), and does what a careful author would do: werkzeug streams the
form's file to a temporary file, which is then read once, in large pieces, hashed and written to the store together.
"""

import csv
import hashlib
import os
import tempfile
import time
from pathlib import Path

from celery import Celery
from flask import Flask, request, send_file
from redis import Redis

PIECE = 1 << 20

STORE = Path(os.environ["PEER_STORE"])
REDIS_URL = os.environ["PEER_REDIS_URL"]

app = Flask(__name__)
celery = Celery(__name__, broker=REDIS_URL, backend=REDIS_URL)
celery.conf.task_track_started = True
redis = Redis.from_url(REDIS_URL, decode_responses=True)


def store(stream, filename):
    """Keep the bytes of `stream` under their SHA-1, which is returned."""
    digest = hashlib.sha1(usedforsecurity=False)
    with tempfile.NamedTemporaryFile(dir=STORE, delete=False) as part:
        while piece := stream.read(PIECE):
            digest.update(piece)
            part.write(piece)
    file_id = digest.hexdigest()
    Path(part.name).replace(STORE / file_id)
    redis.hset(f"file:{file_id}", mapping={"filename": filename, "created": time.time()})
    return file_id


@app.post("/file")
def post_file():
    file = request.files.get("file")
    if file is None or not file.filename:
        return {"message": "Send the file as the field 'file'."}, 400
    return {"file_id": store(file.stream, file.filename)}


@app.get("/file/<file_id>")
def get_file(file_id):
    names = redis.hgetall(f"file:{file_id}")
    if not names:
        return {"message": "There is no such file."}, 404
    return send_file(STORE / file_id, download_name=names["filename"])


@app.post("/analysis")
def post_analysis():
    if request.form.get("analysis") != "sleep":
        return {"message": "There is only the analysis sleep."}, 400
    return {"analysis_id": sleep.delay(float(request.form["time"])).id}


@app.get("/analysis/<analysis_id>")
def get_analysis(analysis_id):
    result = celery.AsyncResult(analysis_id)
    if result.failed():
        return {"message": str(result.result)}, 500
    return result.result if result.successful() else ("", 202)


@celery.task
def sleep(seconds):
    time.sleep(seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sleep.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["sleep_time"], [seconds]])
        with path.open("rb") as file:
            return {"sleep_time": seconds, "csv_file": store(file, path.name)}
