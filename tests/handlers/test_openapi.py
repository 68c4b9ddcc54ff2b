"""The OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import ast
import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import dlc_jupyter
from dlc_jupyter import errors
from dlc_jupyter.analyses.base import registry
from dlc_jupyter.handlers.base import VERBS, DLCHandler, Services
from dlc_jupyter.handlers.openapi import ROUTES, document, openapi_handlers


@pytest.fixture
def spec(jp_serverapp: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(jp_serverapp.web_app.settings[ROUTES], "/a%40b/dlc")))
    return found


def conform(value: Any, schema: dict[str, Any], spec: dict[str, Any]) -> None:
    """Raise where a value is not as a schema of the document says."""
    whole = {**schema, "components": spec["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def mounted(serverapp: Any) -> set[tuple[str, str]]:
    """Every verb and path of ours that tornado really routes, with ``{}`` for each part of the path that varies."""
    found = set()
    for outer in serverapp.web_app.wildcard_router.rules + [
        rule for router in serverapp.web_app.default_router.rules for rule in getattr(router.target, "rules", [])
    ]:
        target = outer.target
        if not (isinstance(target, type) and issubclass(target, DLCHandler)):
            continue
        path = outer.matcher.regex.pattern.removesuffix("$").removeprefix("/a%40b/dlc")
        path = re.sub(r"\([^)]*\)", "{}", path).replace("\\.", ".")
        unimplemented = DLCHandler._unimplemented_method
        found |= {(verb, path) for verb in VERBS if getattr(target, verb) is not unimplemented}
    return found


async def test_the_document_is_served_and_valid(spec: dict[str, Any], api: Any) -> None:
    assert json.loads((await api("openapi.json")).body) == spec
    assert spec["openapi"].startswith("3.1")
    validate(spec, cls=OpenAPIV31SpecValidator)


async def test_every_mounted_route_and_verb_is_in_it_and_nothing_else(spec: dict[str, Any], jp_serverapp: Any) -> None:
    described = {
        (verb, re.sub(r"{\w+}", "{}", path)) for path, item in spec["paths"].items() for verb in item if verb in VERBS
    }
    assert {("post", "/analysis"), ("get", "/file/{}"), ("get", "/openapi.json")} <= described
    assert described == mounted(jp_serverapp)


async def test_it_says_where_it_is_mounted_and_how_to_authenticate(spec: dict[str, Any]) -> None:
    assert spec["servers"] == [{"url": "/a%40b/dlc"}]
    asked = {name for way in spec["security"] for name in way}
    assert asked == set(spec["components"]["securitySchemes"])


async def test_every_operation_says_what_it_does_and_how_it_refuses(spec: dict[str, Any]) -> None:
    for path, item in spec["paths"].items():
        for verb in set(item) & set(VERBS):
            found = item[verb]
            assert found["summary"], (verb, path)
            assert {"403", "500", "503"} <= set(found["responses"])
            named = [parameter["name"] for parameter in item.get("parameters", [])]
            assert named == re.findall(r"{(\w+)}", path)


async def test_a_request_is_described_by_the_analysis_s_own_parameters(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    assert set(schemas["AnalysisRequest"]["discriminator"]["mapping"]) == set(registry())
    for name, analysis in registry().items():
        request = schemas[f"{name}.Request"]
        assert set(analysis.Parameters.model_fields) <= set(request["properties"])
        needs_files = analysis.inputs.at_least > 0 and not analysis.by_camera
        assert ("file_id" in request["required"]) == needs_files
    body = spec["paths"]["/analysis"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data", "application/x-www-form-urlencoded"}


async def test_the_examples_are_what_they_show(spec: dict[str, Any]) -> None:
    for path in ("/model", "/analysis"):
        content = spec["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["examples"]
        for example in content["examples"].values():
            conform(example["value"], content["schema"], spec)
    with pytest.raises(jsonschema.ValidationError):
        conform({"analysis": "sleep", "time": -1}, content["schema"], spec)


async def test_answers_are_as_described(spec: dict[str, Any], api: Any, upload: Any, services: Services) -> None:
    file_id = json.loads((await upload(b"a video")).body)["file_id"]
    sleep = {"analysis": "sleep", "time": 1, "file_id": file_id}
    ids = [json.loads((await api("analysis", json=sleep)).body)["analysis_id"] for _ in range(4)]
    succeeded, failed, cancelled, queued = ids
    for _ in range(2):
        services.records.claim("worker", time.time(), 30)
    services.records.heartbeat(failed, "worker", time.time(), 30, {"done": 1, "total": None, "unit": "s"})
    services.records.succeed(succeeded, "worker", time.time(), {"csv_file": file_id, "h5_file": None}, [file_id])
    services.records.fail(failed, "worker", time.time(), {"type": "A", "message": "b.", "hint": ""})
    services.records.cancel(cancelled, time.time())
    asked = [
        ("get", "/file", ["file"]),
        ("get", "/analysis", ["analysis"]),
        ("get", "/analysis/{analysis_id}", ["analysis", succeeded]),
        ("get", "/analysis/{analysis_id}", ["analysis", failed]),
        ("get", "/analysis/{analysis_id}", ["analysis", cancelled]),
        ("get", "/analysis/{analysis_id}", ["analysis", queued]),
        ("get", "/analysis/{analysis_id}", ["analysis", "none"]),
        ("get", "/analysis/{analysis_id}/status", ["analysis", failed, "status"]),
        ("post", "/analysis/{analysis_id}/cancel", ["analysis", queued, "cancel"]),
        ("post", "/analysis/{analysis_id}/cancel", ["analysis", queued, "cancel"]),
        ("get", "/model", ["model"]),
        ("get", "/model/{name}", ["model", "none"]),
        ("get", "/schema", ["schema"]),
        ("get", "/status", ["status"]),
        ("get", "/openapi.json", ["openapi.json"]),
    ]
    for verb, path, parts in asked:
        answer = await api(*parts, **({"method": "POST", "body": ""} if verb == "post" else {}))
        described = spec["paths"][path][verb]["responses"][str(answer.code)]
        if "content" not in described:
            assert answer.body == b""
        else:
            conform(json.loads(answer.body), described["content"]["application/json"]["schema"], spec)


async def test_every_field_of_a_refusal_is_described(spec: dict[str, Any]) -> None:
    refusals = {name for name, found in vars(errors).items() if isinstance(found, type)} | {"NoSuchRange"}
    fields = {
        keyword.arg
        for file in Path(dlc_jupyter.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in refusals
        for keyword in call.keywords
    }
    not_sent = {"hint", "kind"}  # of `AnalysisFailed`, which becomes part of a record
    assert fields - not_sent <= set(spec["components"]["schemas"]["Error"]["properties"])
    assert {"matches", "limit", "size"} <= fields


def test_a_method_that_declares_nothing_cannot_be_mounted() -> None:
    class Undeclared(DLCHandler):
        async def get(self) -> None:
            """Do it."""

    with pytest.raises(TypeError, match="Undeclared"):
        document([*openapi_handlers, (r"undeclared", Undeclared)], "/dlc")
