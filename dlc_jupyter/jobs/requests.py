"""From what a client asks for to what is written down: validated, its model found, and a key for its result."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Analysis, find_analysis
from dlc_jupyter.analyses.cameras import assigned
from dlc_jupyter.errors import BadRequest
from dlc_jupyter.jobs.devices import Gpu, choose
from dlc_jupyter.jobs.installed import Installed
from dlc_jupyter.jobs.records import Record, Request
from dlc_jupyter.pose.digests import Digests
from dlc_jupyter.pose.models import Model, Models
from dlc_jupyter.pose.projects import expanded, read_model
from dlc_jupyter.settings import Settings


def models_of(settings: Settings) -> Models:
    """Return the models of a server: those in its settings, and those made in its data folder."""
    return Models(settings.models, settings.models_dir, settings.root / "models")


@dataclass(frozen=True)
class Keys:
    """Hashes of all that decides what an analysis makes.

    Attributes
    ----------
    request : str or None
        Of its result; None where every run is to be a new one.
    poses : tuple of (str, str)
        Of the poses of each input, and how the fields of its result begin that have them.
    wholes : tuple of str
        Of the poses of all frames of each input: the same, unless only a part of the frames is looked at.
    twins : tuple of str
        Of the poses of each input where frames that cannot be decoded are marked instead of not, or not instead of
        marked: the same poses, where there are no such frames.
    earlier : str or None
        Of the result from which it can start (`Analysis.starts_from`).
    """

    request: str | None = None
    poses: tuple[tuple[str, str], ...] = ()
    wholes: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    earlier: str | None = None


class Requests:
    """Makes requests ready to be written down.

    Parameters
    ----------
    settings : Settings
        `Settings.engine_python` says whose DeepLabCut decides the results.
    models : Models
        Where models are looked up.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        self._installed = Installed(settings.engine_python)
        self._weights_dir = expanded(settings.superanimal_dir) if settings.superanimal_dir else None
        self._weights = Digests()

    def versions(self) -> dict[str, str | None]:
        """Return the versions of Python, DeepLabCut and torch where the engine runs."""
        return self._installed.versions()

    def prepare(
        self,
        analysis_name: str,
        values: Mapping[str, Any],
        file_ids: Sequence[str],
        owner: str = "",
        idempotency_key: str | None = None,
        gpus: Sequence[Gpu] | None = None,
        media: Callable[[str], Mapping[str, Any] | None] = lambda _file_id: None,
    ) -> Request:
        """Validate what was asked for.

        Parameters
        ----------
        analysis_name : str
            Its name, such as ``video``.
        values : mapping
            The parameters, as JSON values or as text from a form.
        file_ids : sequence of str
            Whole ids of the files that go in, but for those that are named in the parameters, by camera.
        gpus : sequence of Gpu, optional
            Those of the worker, where it is known.
        media : callable, optional
            Returns what an earlier analysis has found in the container of the file with an id; None: none has looked.

        Returns
        -------
        Request
            With all parameters, those that were left out too.

        Raises
        ------
        BadRequest
            The analysis is unknown, a parameter is wrong or does not fit the model, the devices, the weights that there
            are or a video, there are too few or too many files, they do not fit the cameras, or the model is broken or
            of the wrong kind.
        NotFound
            There is no such model.
        """
        analysis = find_analysis(analysis_name)
        parameters = analysis.validate(values)
        if not analysis.by_camera:
            analysis.check_inputs(parameters, len(file_ids))
        model = self._model(analysis, parameters)
        if analysis.by_camera:
            parameters, file_ids = assigned(analysis, parameters, file_ids, model)
        found = [
            *_misfits(analysis, parameters, model),
            *_missing_devices(analysis, parameters, gpus),
            *analysis.lacking(parameters, self._weights_dir),
            *_unfit(analysis, parameters, model, map(media, file_ids)),
        ]
        if found:
            raise analysis.refusal([{"field": field, "message": message} for field, message in found])
        return Request(
            analysis=analysis.name,
            parameters=parameters.model_dump(mode="json"),
            file_ids=tuple(file_ids),
            owner=owner,
            request_key=self._key(analysis, parameters, model, file_ids),
            idempotency_key=idempotency_key,
        )

    def keys(self, record: Record, deeplabcut: str | None) -> Keys:
        """Return the keys of an analysis as its model stands now, and for a version of DeepLabCut.

        Raises
        ------
        Refusal
            The model is gone or broken.
        """
        analysis = find_analysis(record.analysis)
        parameters = analysis.validate(record.parameters)
        model = self._model(analysis, parameters)
        poses = list(self._pose_keys(analysis, parameters, model, record.file_ids, deeplabcut))
        return Keys(
            request=self._key(analysis, parameters, model, record.file_ids, deeplabcut),
            poses=tuple((key, prefix) for key, prefix, *_ in poses),
            wholes=tuple(whole for _, _, whole, _ in poses),
            twins=tuple(twin for *_, twin in poses),
            earlier=self._earlier_key(analysis, parameters, record.file_ids, deeplabcut),
        )

    def _pose_keys(
        self,
        analysis: type[Analysis],
        parameters: pydantic.BaseModel,
        model: Model | None,
        file_ids: Sequence[str],
        deeplabcut: str | None,
    ) -> Iterator[tuple[str, str, str, str]]:
        """Yield for each input `Keys.poses`, `Keys.wholes` and `Keys.twins`."""
        if model is None:
            return
        for file_id, wanted in zip(file_ids, analysis.poses(parameters, model), strict=False):
            index, shuffle = wanted.trainingsetindex, wanted.shuffle
            project = read_model(model.name, wanted.config)
            decisive = {
                "poses": wanted.parameters(),
                "file": file_id,
                "project": self._models.fingerprint(project, trainingsetindex=index, shuffle=shuffle),
                **self._programs(deeplabcut),
            }
            part = {"frames": wanted.frames} if wanted.frames else {}
            asked, other = ({"mark": True}, {}) if wanted.mark else ({}, {"mark": True})
            key, whole, twin = (_hash(decisive | each) for each in (asked | part, asked, other | part))
            yield key, wanted.prefix, whole, twin

    def _earlier_key(
        self,
        analysis: type[Analysis],
        parameters: pydantic.BaseModel,
        file_ids: Sequence[str],
        deeplabcut: str | None,
    ) -> str | None:
        wanted = analysis.starts_from(parameters)
        if wanted is None:
            return None
        maker = find_analysis(wanted[0])
        of_maker = maker.validate(wanted[1])
        return self._key(maker, of_maker, self._model(maker, of_maker), file_ids, deeplabcut)

    def _model(self, analysis: type[Analysis], parameters: pydantic.BaseModel) -> Model | None:
        """Return the model that an analysis is asked for with, if it takes one."""
        if analysis.model_kind is None:
            return None
        return self._models.find(getattr(parameters, "model"), analysis.model_kind)  # noqa: B009

    def _key(
        self,
        analysis: type[Analysis],
        parameters: pydantic.BaseModel,
        model: Model | None,
        file_ids: Sequence[str],
        deeplabcut: str | None = None,
    ) -> str | None:
        """Return a hash of all that decides the result; None where every run is to be a new one."""
        if not analysis.reusable:
            return None
        decisive: dict[str, Any] = {
            "analysis": analysis.name,
            "parameters": parameters.model_dump(mode="json"),
            "files": list(file_ids),
            "model": model
            and self._models.fingerprint(
                model,
                trainingsetindex=getattr(parameters, "trainingsetindex", None),
                shuffle=getattr(parameters, "shuffle", None),
            ),
            **self._programs(deeplabcut),
        }
        if weights := self._digests(analysis.weights_of(parameters, self._weights_dir)):
            decisive["weights"] = weights
        return _hash(decisive)

    def _programs(self, deeplabcut: str | None) -> dict[str, str | None]:
        """Return the versions of what decides a result besides its request."""
        return {
            "deeplabcut": deeplabcut or self.versions()["deeplabcut"],
            "dlc_jupyter": ".".join(__version__.split(".")[:2]),
        }

    def _digests(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return the digests of files by their names, but for those that cannot be read: `run` will say so."""
        digests = {}
        for path in paths:
            with contextlib.suppress(OSError):
                digests[path.name] = self._weights.of(path)
        return digests


def _hash(decisive: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _misfits(
    analysis: type[Analysis], parameters: pydantic.BaseModel, model: Model | None
) -> Iterable[tuple[str, str]]:
    return () if model is None else analysis.misfits(parameters, model)


def _unfit(
    analysis: type[Analysis],
    parameters: pydantic.BaseModel,
    model: Model | None,
    media: Iterable[Mapping[str, Any] | None],
) -> Iterator[tuple[str, str]]:
    if model is None:  # calibrate's pictures, which may be thousands
        return
    for facts in media:
        if facts and facts.keys() >= {"frames", "width", "height"}:
            yield from analysis.unfit(parameters, model, facts)


def _missing_devices(
    analysis: type[Analysis], parameters: pydantic.BaseModel, gpus: Sequence[Gpu] | None
) -> Iterator[tuple[str, str]]:
    """Yield the device that is asked for, where the worker has no such one."""
    device = getattr(parameters, "device", None)
    if analysis.uses_device and device is not None and gpus is not None:
        try:
            choose(str(device), gpus)
        except BadRequest as refusal:
            yield "device", refusal.message
