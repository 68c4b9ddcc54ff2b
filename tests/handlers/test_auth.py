"""Who is let in, who is not, and what those who are not are told."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.utils import JupyterServerAuthWarning

from dlc_jupyter.app import ROUTES, DLCApp
from dlc_jupyter.handlers.base import Services

ACTIONS = {"get": "read", "head": "read", "post": "write", "patch": "write", "put": "write", "delete": "write"}

EVERYTHING = [
    (verb, re.sub(r"\([^)]*\)", "0", pattern).replace("\\.", "."), handler)
    for pattern, handler in ROUTES
    for verb in handler.verbs()
]
NAMES = [f"{verb} {path}" for verb, path, _ in EVERYTHING]

#: As a browser has them after logging in, except for the session's own.
XSRF = "f00d"


@pytest.fixture(params=[True, False], ids=["strangers-elsewhere", "no-strangers"])
def jp_server_config(request: pytest.FixtureRequest, jp_server_config: dict[str, Any]) -> dict[str, Any]:
    """The same holds whether or not Jupyter itself lets strangers in at other addresses."""
    server = {**jp_server_config["ServerApp"], "allow_unauthenticated_access": request.param}
    return {**jp_server_config, "ServerApp": server}


@pytest.fixture
def ask(jp_serverapp: Any, http_server_client: Any) -> Any:
    """Send a request with no credentials but those given."""

    async def send(verb: str, path: str, headers: dict[str, str] | None = None) -> Any:
        body = "" if verb in ("post", "put", "patch") else None
        return await http_server_client.fetch(
            f"/a%40b/dlc/{path}",
            method=verb.upper(),
            headers=headers or {},
            body=body,
            follow_redirects=False,
            raise_error=False,
        )

    return send


@pytest.fixture
def session(jp_serverapp: Any, ask: Any) -> Any:
    """Log in, and return the cookies."""

    async def log_in() -> str:
        answer = await ask("get", f"status?token={jp_serverapp.identity_provider.token}")
        assert answer.code == 200
        cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_list("Set-Cookie")]
        return "; ".join([*(cookie for cookie in cookies if not cookie.startswith("_xsrf")), f"_xsrf={XSRF}"])

    return log_in


@pytest.mark.parametrize(("verb", "path", "handler"), EVERYTHING, ids=NAMES)
@pytest.mark.parametrize("header", [None, "token wrong", "Bearer wrong", "token ", "Basic dTpw"])
async def test_strangers_are_told_to_authenticate(ask: Any, verb: str, path: str, handler: Any, header: Any) -> None:
    answer = await ask(verb, path, {"Authorization": header} if header else {})
    assert answer.code == 403
    assert "Location" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"
    if verb != "head":
        body = json.loads(answer.body)
        assert body["reason"] == "authentication-required"
        assert "token" in body["message"]


async def test_a_wrong_token_in_the_address_is_refused(ask: Any) -> None:
    answer = await ask("get", "status?token=wrong")
    assert answer.code == 403
    assert json.loads(answer.body)["reason"] == "authentication-required"


async def test_even_an_address_that_is_not_there_is_for_friends_only(ask: Any) -> None:
    assert (await ask("get", "nothing")).code == 403


@pytest.mark.parametrize("way", ["token {}", "Bearer {}"])
async def test_the_token_is_taken_from_the_header(ask: Any, jp_serverapp: Any, way: str) -> None:
    header = {"Authorization": way.format(jp_serverapp.identity_provider.token)}
    assert (await ask("get", "status", header)).code == 200
    assert (await ask("post", "analysis", header)).code == 400  # let in, and told what is missing


async def test_the_token_is_taken_from_the_address(ask: Any, jp_serverapp: Any) -> None:
    token = jp_serverapp.identity_provider.token
    assert (await ask("get", f"status?token={token}")).code == 200
    assert (await ask("post", f"analysis?token={token}")).code == 400


async def test_the_browser_s_cookie_will_do_for_reading(ask: Any, session: Any) -> None:
    assert (await ask("get", "status", {"Cookie": await session()})).code == 200


async def test_the_browser_s_cookie_needs_the_xsrf_header_for_writing(ask: Any, session: Any) -> None:
    cookie = await session()
    bare = await ask("post", "analysis", {"Cookie": cookie})
    assert bare.code == 403
    assert json.loads(bare.body)["reason"] == "xsrf-token-missing"
    assert "X-XSRFToken" in json.loads(bare.body)["message"]
    wrong = await ask("post", "analysis", {"Cookie": cookie, "X-XSRFToken": "beef"})
    assert wrong.code == 403
    right = await ask("post", "analysis", {"Cookie": cookie, "X-XSRFToken": XSRF})
    assert right.code == 400
    assert json.loads(right.body)["reason"] == "unknown-analysis"


async def test_a_browser_s_cross_site_post_is_refused(ask: Any, session: Any, services: Services) -> None:
    cookie = await session()
    for path in ("analysis", "file"):
        for headers in ({}, {"X-XSRFToken": XSRF}):
            headers |= {"Cookie": cookie, "Origin": "https://elsewhere.example", "Content-Type": "text/plain"}
            answer = await ask("post", path, headers)
            assert answer.code in (403, 404)
            assert json.loads(answer.body)["message"]
    assert services.records.count() == {}


class Nobody(Authorizer):
    """Permits nothing, and remembers what it was asked."""

    asked: tuple[str, str] | None = None

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        Nobody.asked = action, resource
        return False


@pytest.fixture
def nobody(jp_serverapp: Any) -> type[Nobody]:
    jp_serverapp.web_app.settings["authorizer"] = Nobody(parent=jp_serverapp)
    Nobody.asked = None
    return Nobody


@pytest.mark.parametrize(("verb", "path", "handler"), EVERYTHING, ids=NAMES)
async def test_every_route_asks_for_permission_in_its_own_name(
    ask: Any, jp_serverapp: Any, nobody: type[Nobody], verb: str, path: str, handler: Any
) -> None:
    header = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
    answer = await ask(verb, path, header)
    assert answer.code == 403
    assert nobody.asked == (ACTIONS[verb], handler.auth_resource)
    assert handler.auth_resource in {"dlc.file", "dlc.analysis", "dlc.model", "dlc.status"}
    if verb != "head":
        assert json.loads(answer.body)["reason"] == "forbidden"


def test_jupyter_finds_no_route_that_forgets_to_authenticate(jp_serverapp: Any) -> None:
    app = next(iter(jp_serverapp.extension_manager.extension_apps["dlc_jupyter"]))
    assert isinstance(app, DLCApp)
    jp_serverapp.web_app.settings["allow_unauthenticated_access"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error", JupyterServerAuthWarning)
        app._prepare_handlers()
