"""Runs analyses in this process on the demo's model, the way the engine does: staged inputs in a scratch folder."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import Earlier, InputFile, Job, Poses, find_analysis
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import inference
from dlc_jupyter.pose.models import Models
from tests.analyses import recordings
from tests.pose.networks import Seeing, project
from tests.pose.videos import ffmpeg

FRAMES = 30


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """The first second of the demo video: the part with the mouse in it."""
    target = tmp_path_factory.mktemp("clip") / "clip.mp4"
    picture = ["-frames:v", str(FRAMES), "-vf", "crop=320:240:270:70"]
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-g", "6", "-bf", "2", "-movflags", "+faststart"]
    return ffmpeg(["-i", str(demo.VIDEO), *picture, *coding], target)


@pytest.fixture(scope="session")
def walk(tmp_path_factory) -> dict[str, Path]:
    """The beginning of the demo's stereo recording, by camera."""
    return dict(zip(recordings.CAMERAS, recordings.clips(tmp_path_factory.mktemp("walk")), strict=True))


@dataclass
class Ran:
    """What an analysis has made and told."""

    result: dict[str, Any]
    scratch: Path
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        return [values["message"] for kind, values in self.told if kind == "note"]

    @property
    def progress(self) -> list[dict[str, Any]]:
        return [values for kind, values in self.told if kind == "progress"]


Run = Callable[..., Ran]
E = TypeVar("E", bound=Earlier)


@pytest.fixture
def run(deeplabcut, tmp_path) -> Run:
    """Run an analysis on one video. Keyword arguments are its parameters, but for those named here."""
    runs = 0

    def start(
        name: str,
        video: Path,
        *,
        model: Path = demo.MODEL,
        device: str = "cpu",
        poses: Ran | None = None,
        prepare: Callable[[Path], None] = lambda scratch: None,
        **parameters: Any,
    ) -> Ran:
        nonlocal runs
        runs += 1
        scratch = tmp_path / f"scratch-{runs}"
        scratch.mkdir()
        models = Models({"mouse": str(model)}, "")
        staged = scratch / f"video{video.suffix}"
        staged.symlink_to(video)
        prepare(scratch)
        cls = find_analysis(name)
        ran = Ran({}, scratch)
        job = Job(
            parameters=cls.validate({"model": "mouse", **parameters}),
            inputs=[InputFile("0" * 40, staged, "my mouse_labeled_full.mp4")],
            scratch=scratch,
            model=models.stage(models.find("mouse"), scratch / "model"),
            device=device,
            poses=[_staged(poses, scratch / "poses")] if poses else [],
            report=lambda kind, values: ran.told.append((kind, dict(values))),
        )
        ran.result = cls().run(job)
        return ran

    return start


@pytest.fixture
def run_several(deeplabcut, tmp_path) -> Run:
    """Run an analysis of the files of several cameras. Keyword arguments are its parameters, but for those named here.

    `kept` is a folder that an earlier attempt has left; `poses` and `earlier` are what earlier analyses have made.
    """
    runs = 0

    def start(
        name: str,
        files: Mapping[str, Path | Sequence[Path]],
        *,
        model: Path | None = demo.MODEL_3D,
        poses: Sequence[Poses | None] = (),
        earlier: Ran | None = None,
        kept: Path | None = None,
        told: list[tuple[str, dict[str, Any]]] | None = None,
        threads: int = 1,
        **parameters: Any,
    ) -> Ran:
        nonlocal runs
        runs += 1
        scratch = tmp_path / f"scratch-several-{runs}"
        scratch.mkdir()
        if kept is not None:
            shutil.copytree(kept, scratch / "kept")
        inputs = []
        for camera, given in files.items():
            for path in [given] if isinstance(given, Path) else given:
                staged = scratch / f"video-{len(inputs) + 1}{path.suffix}"
                staged.symlink_to(path)
                inputs.append(InputFile(f"{len(inputs) + 1:040x}", staged, path.name, camera))
        if model is not None:
            parameters = {"model": "rig", **parameters}
            models = Models({"rig": str(model)}, "")
            model = models.stage(models.find("rig"), scratch / "model")
        cls = find_analysis(name)
        ran = Ran({}, scratch, told if told is not None else [])
        job = Job(
            parameters=cls.validate(parameters),
            inputs=inputs,
            scratch=scratch,
            model=model,
            threads=threads,
            poses=poses,
            earlier=_staged(earlier, scratch / "earlier", Earlier) if earlier else None,
            report=lambda kind, values: ran.told.append((kind, dict(values))),
        )
        ran.result = cls().run(job)
        if ran.notes:
            ran.result["notes"] = ran.notes
        return ran

    return start


def _staged(ran: Ran, folder: Path, kind: type[E] = Poses) -> E:
    folder.mkdir()
    files = {}
    for name, value in ran.result.items():
        if name.endswith("_file") and value is not None:
            files[name] = folder / (name + Path(value).suffix)
            files[name].symlink_to(value)
    return kind("an-earlier-one", files, ran.result)


@pytest.fixture
def fails(run) -> Callable[..., AnalysisFailed]:
    """Run an analysis that must fail; return why. The message may not say where anything lies."""

    def start(*arguments, **keywords) -> AnalysisFailed:
        with pytest.raises(AnalysisFailed) as failed:
            run(*arguments, **keywords)
        for text in (failed.value.message, failed.value.hint):
            assert "/" not in text, text
        return failed.value

    return start


@pytest.fixture(scope="session")
def pair(deeplabcut, clip, tmp_path_factory) -> Path:
    """config.yaml of a project with two animals and an untrained network."""
    return project(tmp_path_factory.mktemp("pair"), clip, "several")


@pytest.fixture
def seen(monkeypatch) -> Callable[[Callable[[int], Any]], None]:
    """Put in what the network sees: a function of the frame's number that returns animals x body parts x 3."""
    return lambda animals: monkeypatch.setattr(inference, "make_loop", lambda *_: Seeing(animals))


@pytest.fixture
def quick(run_several, walk, tmp_path):
    """Triangulate with poses that are there, unless told otherwise, and not smoothed."""

    def start(videos=walk, poses=None, **parameters):
        poses = recordings.exact(tmp_path / "given") if poses is None else poses
        return run_several("triangulate", videos, poses=poses, **{"filterpredictions": False, **parameters})

    return start


@pytest.fixture
def labelled(run, clip):
    return run("label", clip, pcutoff=0.4, dotsize=6)
