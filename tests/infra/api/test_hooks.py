"""Where webhooks may not go is said when somebody subscribes, and not only by deliveries that come to nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from tests.infra.api.serving import Known, holder, served
from wardstream.infra.api import subscribing as module
from wardstream.infra.subscriptions import Change
from wardstream.schemas.subscriptions import Subscription

WHO = Known(holder("cw", "clinician"))


@pytest.mark.parametrize(
    ("url", "networks", "expected"),
    [
        ("https://192.0.2.7/hook", ["192.0.2.0/24"], 201),
        ("https://10.1.2.3/hook", ["192.0.2.0/24"], 422),
        ("https://[fd00::1]/hook", ["192.0.2.0/24"], 422),
        ("https://169.254.169.254/latest", ["0.0.0.0/0"], 422),
        ("https://localhost/hook", ["192.0.2.0/24"], 422),
        ("http://127.0.0.1:9/hook", ["127.0.0.1/32"], 201),
        ("https://later.invalid/hook", ["192.0.2.0/24"], 201),
        ("https://10.1.2.3/hook", [], 201),
        ("http://192.0.2.7/hook", [], 422),
        ("https://name:word@192.0.2.7/hook", [], 422),
    ],
)
async def test_where_webhooks_may_not_go_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, url: str, networks: list[str], expected: int
) -> None:
    made: list[Change] = []

    async def change(_: Any, _app_id: str, _who: str, _why: str, decide: Callable[..., Change]) -> Subscription | None:
        made.append(decide({one.name: one.row for one in made if one.row is not None}, datetime.now(UTC)))
        return made[-1].row

    monkeypatch.setattr(module, "change", change)
    async with served(WHO, monkeypatch) as api:
        api.subscribing._networks = [ip_network(one) for one in networks]
        status, found = await api.ask("POST", "/v1/subscriptions", "cw", {"webhook": {"url": url}})
        assert status == expected
        if expected == 422:
            assert (found["fields"], made) == (["webhook.url"], [])
        status, found = await api.ask("POST", "/v1/subscriptions", "cw", {})
        path, said = f"/v1/subscriptions/{found['id']}", {"webhook": {"url": url}}
        assert (await api.ask("PATCH", path, "cw", said))[0] == (200 if expected == 201 else 422)
