"""From what a client asks for to what is written down: validated, its model found, and a key for its result."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Analysis, find_analysis
from dlc_jupyter.errors import BadRequest, Refusal
from dlc_jupyter.jobs.devices import Gpu, choose
from dlc_jupyter.jobs.installed import Installed
from dlc_jupyter.jobs.records import Record, Request
from dlc_jupyter.pose.digests import Digests
from dlc_jupyter.pose.models import Model, Models
from dlc_jupyter.pose.projects import expanded
from dlc_jupyter.settings import Settings


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
    ) -> Request:
        """Validate what was asked for.

        Parameters
        ----------
        analysis_name : str
            Its name, such as ``video``.
        values : mapping
            The parameters, as JSON values or as text from a form.
        file_ids : sequence of str
            Whole ids of the files that go in.
        gpus : sequence of Gpu, optional
            Those of the worker, where it is known.

        Returns
        -------
        Request
            With all parameters, those that were left out too.

        Raises
        ------
        BadRequest
            The analysis is unknown, a parameter is wrong or does not fit the model or the devices, there are too few or
            too many files, or the model is broken or of the wrong kind.
        NotFound
            There is no such model.
        """
        analysis = find_analysis(analysis_name)
        parameters = analysis.validate(values)
        analysis.inputs.check(len(file_ids))
        model = self._model(analysis, parameters)
        errors = [*_misfits(analysis, parameters, model), *_missing_devices(analysis, parameters, gpus)]
        if errors:
            raise analysis.refusal(errors)
        return Request(
            analysis=analysis.name,
            parameters=parameters.model_dump(mode="json"),
            file_ids=tuple(file_ids),
            owner=owner,
            request_key=self._key(analysis, parameters, model, file_ids),
            idempotency_key=idempotency_key,
        )

    def pose_key(self, record: Record) -> str | None:
        """Return the request key of the poses that an analysis can start from, or None where it needs none.

        None too where such poses cannot be had any more, because the model is gone.
        """
        analysis = find_analysis(record.analysis)
        wanted = analysis.poses_of(analysis.validate(record.parameters))
        if wanted is None:
            return None
        name, values = wanted
        try:
            maker = find_analysis(name)
            return self._key_as_it_stands(maker, maker.validate(values), record.file_ids)
        except Refusal:
            return None

    def key_now(self, record: Record, deeplabcut: str | None) -> str | None:
        """Return the request key of an analysis as its model stands now, and for a version of DeepLabCut.

        Raises
        ------
        Refusal
            The model is gone or broken.
        """
        analysis = find_analysis(record.analysis)
        return self._key_as_it_stands(analysis, analysis.validate(record.parameters), record.file_ids, deeplabcut)

    def _model(self, analysis: type[Analysis], parameters: pydantic.BaseModel) -> Model | None:
        """Return the model that an analysis is asked for with, if it takes one."""
        if analysis.model_kind is None:
            return None
        return self._models.find(getattr(parameters, "model"), analysis.model_kind)  # noqa: B009

    def _key_as_it_stands(
        self,
        analysis: type[Analysis],
        parameters: pydantic.BaseModel,
        file_ids: Sequence[str],
        deeplabcut: str | None = None,
    ) -> str | None:
        return self._key(analysis, parameters, self._model(analysis, parameters), file_ids, deeplabcut)

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
            "deeplabcut": deeplabcut or self.versions()["deeplabcut"],
            "dlc_jupyter": ".".join(__version__.split(".")[:2]),
        }
        if weights := self._digests(analysis.weights_of(parameters, self._weights_dir)):
            decisive["weights"] = weights
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def _digests(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return the digests of files by their names, but for those that cannot be read: `run` will say so."""
        digests = {}
        for path in paths:
            with contextlib.suppress(OSError):
                digests[path.name] = self._weights.of(path)
        return digests


def _misfits(analysis: type[Analysis], parameters: pydantic.BaseModel, model: Model | None) -> Iterator[dict[str, str]]:
    if model is not None:
        for name, message in analysis.misfits(parameters, model):
            yield {"field": name, "message": message}


def _missing_devices(
    analysis: type[Analysis], parameters: pydantic.BaseModel, gpus: Sequence[Gpu] | None
) -> Iterator[dict[str, str]]:
    """Yield the device that is asked for, where the worker has no such one."""
    device = getattr(parameters, "device", None)
    if analysis.uses_device and device is not None and gpus is not None:
        try:
            choose(str(device), gpus)
        except BadRequest as refusal:
            yield {"field": "device", "message": refusal.message}
