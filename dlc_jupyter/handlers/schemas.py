"""JSON Schema of what travels: written here where it is ours to say, read off the analyses where it is theirs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dlc_jupyter.analyses.base import Analysis, registry

TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
SHA1 = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
PREFIX = {"type": "string", "pattern": "^[0-9a-f]{1,40}$"}
NAMES = {"type": "array", "items": TEXT}
SOMETHING = {"type": ["object", "null"]}


def ref(name: str) -> dict[str, str]:
    """Return a reference to one of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(name: str) -> dict[str, Any]:
    """Return the schema of a page of a list."""
    return {"type": "array", "items": ref(name)}


def _object(description: str, properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": dict(properties), "required": required}


COMPONENTS: dict[str, Any] = {
    "Error": _object(
        "Why a request was refused. Some refusals have further fields.",
        {
            "message": {**TEXT, "description": "A sentence that says what is wrong and what to do."},
            "reason": {**TEXT, "description": "A stable code for programs.", "pattern": "^[a-z0-9-]+$"},
            "errors": {
                "type": "array",
                "description": "The parameters that are wrong.",
                "items": _object("A parameter that is wrong.", {"field": TEXT, "message": TEXT}),
            },
            "matches": {**NAMES, "description": "Ids that begin with the characters given."},
            "analyses": {
                **NAMES,
                "description": "Names of the analyses there are; of a file in use, ids of those that need it.",
            },
            "models": {**NAMES, "description": "The models there are."},
            "cameras": {**NAMES, "description": "The cameras of the model, in their order."},
            "limit": {"type": "integer", "description": "Most bytes that may be sent."},
            "size": {"type": "integer", "description": "How many bytes the file has of which a range was asked."},
        },
        optional=("errors", "matches", "analyses", "models", "cameras", "limit", "size"),
    ),
    "File": _object(
        "A stored file.",
        {
            "file_id": {**SHA1, "description": "The SHA-1 of its bytes."},
            "filename": {**TEXT, "description": "The name it came under last."},
            "names": {**NAMES, "description": "All names that it came under, the newest first."},
            "content_type": TEXT,
            "size": {"type": "integer", "minimum": 0, "description": "Bytes."},
            "created": MOMENT,
            "origin": {**TEXT, "description": "`upload`, `path`, or the id of the analysis that made it."},
            "media": {
                "type": ["object", "null"],
                "description": "What an analysis has found in a video's container: `container, codec, width, height, "
                "fps, frames, duration` (s), `variable_rate, sound, notes`, and what is `missing`, in words.",
            },
        },
    ),
    "Upload": _object(
        "An upload that is not finished.",
        {
            "upload_id": {**TEXT, "pattern": "^[0-9a-f]{32}$"},
            "filename": TEXT,
            "size": {"type": "integer", "minimum": 1, "description": "Bytes that it will have."},
            "offset": {"type": "integer", "minimum": 0, "description": "Bytes that have come."},
            "created": MOMENT,
            "expires": {**MOMENT, "description": "When it is removed, unless more comes; null for never."},
        },
    ),
    "Playback": _object(
        "How a video can be played in a browser so that every frame is reached. Null is what is not known.",
        {
            "file_id": SHA1,
            "play": {
                "enum": ["direct", "remux", "proxy"],
                "description": "`direct`: as it is. `remux`: its pictures must be copied into another file. `proxy`: "
                "they must be encoded anew. The analysis `playable` does either.",
            },
            "why": {
                "type": ["string", "null"],
                "description": "Why not as it is, in a sentence; of one that is played as it is, what not every "
                "browser can.",
            },
            "playable_file": {
                "description": "A video of the same frames that browsers play, where one was made: it has times of "
                "its own.",
                "oneOf": [SHA1, {"type": "null"}],
            },
            "making": {
                "type": ["string", "null"],
                "description": "The analysis `playable` that is queued or running to make one.",
            },
            "frames": {"type": ["integer", "null"], "minimum": 1, "description": "That OpenCV reads."},
            "width": {"type": ["integer", "null"], "description": "Pixels, as OpenCV sees them: turned, unstretched."},
            "height": {"type": ["integer", "null"]},
            "fps": {"type": ["number", "null"], "description": "The mean where the rate varies."},
            "rotation": {
                "enum": [0, 90, 180, 270, None],
                "description": "By how many degrees clockwise the stored picture is turned.",
            },
            "pixel_aspect": {
                "type": ["array", "null"],
                "description": "Width and height of a pixel: browsers stretch the picture accordingly.",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
            },
            "timing": {
                "description": "When its frames are shown, by the clock that browsers call `mediaTime`: `regular`, "
                "frame k at (start + k * step) / timescale seconds; or `times`, the address of the table.",
                "oneOf": [
                    _object(
                        "At one distance.",
                        {
                            "regular": _object(
                                "Whole numbers.",
                                {name: {"type": "integer"} for name in ("start", "step", "timescale")},
                            )
                        },
                    ),
                    _object("One by one.", {"times": {**TEXT, "description": "Relative to the API's own address."}}),
                    {"type": "null"},
                ],
            },
            "container": {**TEXT, "description": "As FFmpeg calls it: `mov` (MP4 too), `matroska`, `avi` …"},
            "codec": {"type": ["string", "null"]},
        },
    ),
    "Progress": _object(
        "How far an analysis has come.",
        {
            "done": {"type": "number"},
            "total": {"type": ["number", "null"]},
            "unit": {**TEXT, "description": "What is counted: frames, s …"},
            "rate": {"type": ["number", "null"], "description": "Units a second."},
            "eta": {"type": ["number", "null"], "description": "Seconds that are left."},
        },
        optional=("rate", "eta"),
    ),
    "Analysis": _object(
        "An analysis and where it stands.",
        {
            "analysis_id": TEXT,
            "analysis": {**TEXT, "description": "Its name, such as `video`."},
            "file_id": {"type": "array", "items": SHA1, "description": "The files that went in, in their order."},
            "parameters": {"type": "object", "description": "All of them: those left out have their defaults."},
            "state": {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]},
            "progress": {
                "description": "Null until there is some. While it waits for another attempt, and until that one tells "
                "its own: how far the one before came, without `rate` and `eta`.",
                "oneOf": [ref("Progress"), {"type": "null"}],
            },
            "position": {"type": ["integer", "null"], "minimum": 1, "description": "Place in the queue, from 1."},
            "created": MOMENT,
            "started": MOMENT,
            "finished": MOMENT,
            "owner": {**TEXT, "description": "Who asked for it."},
            "attempt": {"type": "integer", "minimum": 0, "description": "How often it was started."},
        },
    ),
    "Result": {
        "type": "object",
        "description": "What an analysis found. Fields that end in `_file` are ids of files.",
        "patternProperties": {"_file$": {"oneOf": [SHA1, {"type": "null"}]}},
    },
    "Failure": _object(
        "An analysis that has no result.",
        {
            "message": TEXT,
            "reason": {"enum": ["analysis-failed", "analysis-cancelled"]},
            "state": {"enum": ["failed", "cancelled"]},
            "error": _object("What went wrong, in the user's terms.", {"type": TEXT, "message": TEXT, "hint": TEXT}),
        },
        optional=("error",),
    ),
    "Model": _object(
        "A registered DeepLabCut project.",
        {
            "name": TEXT,
            "kind": {"enum": ["2d", "3d"]},
            "task": TEXT,
            "bodyparts": NAMES,
            "individuals": {**NAMES, "description": "Empty for a single animal."},
            "skeleton": {"type": "array", "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}},
            "cameras": {**NAMES, "description": "Of a 3D project."},
            "camera_models": {
                "type": "array",
                "description": "Of a 3D project: the network that looks at each camera's video.",
                "items": _object(
                    "A network of a 2D project.",
                    {
                        "camera": TEXT,
                        "task": {**TEXT, "description": "The 2D project's name in its config.yaml."},
                        "shuffle": {"type": "integer"},
                        "trainingsetindex": {"type": "integer"},
                    },
                ),
            },
            "calibration": {
                "description": "Of a 3D project whose cameras are calibrated.",
                "oneOf": [
                    _object(
                        "How the cameras were calibrated.",
                        {
                            "error": {"type": ["number", "null"], "description": "Of reprojection, in pixels."},
                            "unit": {**TEXT, "description": "In which coordinates are measured."},
                            "source": {**TEXT, "description": "Who calibrated them."},
                        },
                    ),
                    {"type": "null"},
                ],
            },
            "engine": TEXT,
            "net_type": TEXT,
            "snapshots": {
                "type": "array",
                "items": _object(
                    "A trained network.",
                    {
                        "name": TEXT,
                        "shuffle": {"type": "integer"},
                        "trainingsetindex": {"type": "integer"},
                        "snapshot_index": {"type": "integer"},
                    },
                ),
            },
            "problem": {"type": ["string", "null"], "description": "Why it cannot be used."},
        },
    ),
    "AnalysisDescription": _object(
        "What an analysis does and takes.",
        {
            "summary": TEXT,
            "inputs": _object(
                "How many files it takes.",
                {"at_least": {"type": "integer"}, "at_most": {"type": ["integer", "null"]}},
            ),
            "model_kind": {"enum": ["2d", "3d", None], "description": "The kind of model its parameter `model` names."},
            "by_camera": {**FLAG, "description": "Whether files may be given by camera, as the parameter `cameras`."},
            "parameters": {"type": "object", "description": "JSON Schema of its parameters."},
            "results": {
                "type": "object",
                "description": "What the fields of its result mean.",
                "additionalProperties": TEXT,
            },
        },
    ),
    "Status": _object(
        "How the server is.",
        {
            "worker": _object(
                "Whoever works on the queue.",
                {
                    "alive": FLAG,
                    "name": {"type": ["string", "null"]},
                    "seen": MOMENT,
                    "state": {"type": ["string", "null"]},
                    "analysis_id": {"type": ["string", "null"], "description": "What it works on."},
                    "message": {"type": ["string", "null"], "description": "What to do where it is not alive."},
                },
            ),
            "engine": {**SOMETHING, "description": "The process that has DeepLabCut loaded, as the worker sees it."},
            "queue": _object(
                "How many analyses are in each state.",
                {
                    state: {"type": "integer", "minimum": 0}
                    for state in ("queued", "running", "succeeded", "failed", "cancelled")
                },
            ),
            "devices": {"type": ["array", "null"], "description": "Where models can run, as the worker sees it."},
            "disk": _object(
                "Room for files, in bytes.",
                {
                    "free": {"type": "integer", "minimum": 0},
                    "used": {"type": "integer", "minimum": 0, "description": "By the stored files."},
                    "quota": {"type": ["integer", "null"], "description": "Most that the files may take together."},
                    "reserve": {"type": "integer", "minimum": 0, "description": "What uploads must leave free."},
                },
            ),
            "versions": _object(
                "Of what decides results; null where it is not installed.",
                {name: {"type": ["string", "null"]} for name in ("dlc_jupyter", "deeplabcut", "torch", "python")},
            ),
        },
    ),
}


def parameters_schema(analysis: type[Analysis], definitions_at: str = "#/$defs/") -> dict[str, Any]:
    """Return the JSON Schema of an analysis's parameters."""
    return analysis.Parameters.model_json_schema(ref_template=f"{definitions_at}{{model}}")


@cache
def described() -> dict[str, Any]:
    """Return what `GET /schema` answers: every analysis by name."""
    return {
        name: {
            "summary": analysis.summary(),
            "inputs": {"at_least": analysis.inputs.at_least, "at_most": analysis.inputs.at_most},
            "model_kind": analysis.model_kind,
            "by_camera": analysis.by_camera,
            "parameters": parameters_schema(analysis),
            "results": dict(analysis.results),
        }
        for name, analysis in registry().items()
    }


def analysis_components(analyses: Mapping[str, type[Analysis]]) -> dict[str, Any]:
    """Return the components of the bodies of ``POST /analysis``: one for each analysis, and the choice of them."""
    components: dict[str, Any] = {}
    for name, analysis in analyses.items():
        schema = parameters_schema(analysis, definitions_at=f"#/components/schemas/{name}.")
        components |= {f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()}
        components[f"{name}.Request"] = _request(name, analysis, schema)
    requests = {name: ref(f"{name}.Request") for name in analyses}
    components["AnalysisRequest"] = {
        "oneOf": list(requests.values()),
        "discriminator": {
            "propertyName": "analysis",
            "mapping": {name: request["$ref"] for name, request in requests.items()},
        },
    }
    return components


def _request(name: str, analysis: type[Analysis], schema: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "analysis": {"const": name},
        "file_id": {"oneOf": [PREFIX, {"type": "array", "items": PREFIX}], **_files_wanted(analysis)},
        "fresh": {**FLAG, "default": False, "description": "Run it anew, though an earlier result would do."},
    }
    needs_files = ["file_id"] if analysis.inputs.at_least and not analysis.by_camera else []
    required = ["analysis", *needs_files, *schema.get("required", [])]
    either = {"oneOf": [{"required": ["file_id"]}, {"required": ["cameras"]}]} if analysis.by_camera else {}
    return {
        "type": "object",
        "description": analysis.summary(),
        "properties": {**own, **schema.get("properties", {})},
        "required": required,
        **either,
        "additionalProperties": False,
    }


def _files_wanted(analysis: type[Analysis]) -> dict[str, str]:
    least, most = analysis.inputs.at_least, analysis.inputs.at_most
    wanted = str(least) if least == most else f"at least {least}" + (f", at most {most}" if most is not None else "")
    return {"description": f"The files that go in, {wanted}: repeat the field, or give a list."}
