"""What a clinician answers from the page, and that nobody else is offered to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.board.browser import Browser
from tests.board.serving import Shown, raised, sign_in

TO_ALERTS = "await page.click('nav a[data-view=alerts]'); await page.locator('.alert').first().waitFor();"
SHUT = "await page.locator('dialog').waitFor({ state: 'detached' });"
SUBMIT = f"await page.click('dialog [type=submit]'); {SHUT}"


async def answer(chrome: Browser, board: Shown, code: str) -> dict[str, Any]:
    """What comes on acknowledgements.v1 when somebody does something on the page."""
    sent = "const sent = page.waitForResponse((one) => one.url().endsWith('/answers'));"
    await chrome.do("nurse", f"{sent} {code}; await sent")
    topic, _, value, _ = board.way.kept[-1]
    assert topic == "acknowledgements.v1"
    found: dict[str, Any] = json.loads(value)
    assert found["actor"] == "nurse"
    return found


async def test_each_answer_goes_out_and_what_comes_of_it_is_shown(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 9)
    board.say(raised("one", "ward-a", "01"))
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", TO_ALERTS)

    code = "await page.click('[data-action=snooze]'); await page.selectOption('dialog select', '60');"
    snoozed = await answer(chrome, board, code + SUBMIT)
    await chrome.do("nurse", "await page.locator('.note', { hasText: 'Sent' }).waitFor()")
    assert (snoozed["action"], snoozed["seen"]) == ("snooze", 1)
    until = datetime.fromisoformat(snoozed["snooze_until"])
    assert timedelta(minutes=55) < until - datetime.now(UTC) < timedelta(minutes=65)
    focused = "return await page.evaluate(() => document.activeElement.dataset.action)"
    assert await chrome.do("nurse", focused) == "snooze"  # whoever came by keyboard is where they were
    board.say(raised("one", "ward-a", "01", 2, transition="snoozed", state="snoozed", until=until))
    await chrome.do("nurse", "await page.locator('.a-timer', { hasText: /^to \\d/ }).waitFor()")

    code = "await page.click('[data-action=hand_over]'); await page.fill('dialog input', ' outreach ');"
    handed = await answer(chrome, board, f"{code} await page.keyboard.press('Enter'); {SHUT}")
    assert (handed["action"], handed["handed_to"], handed["seen"]) == ("hand_over", "outreach", 2)
    board.say(raised("one", "ward-a", "01", 3, transition="handed_over", assigned_to="outreach"))
    await chrome.do("nurse", "await page.locator('.a-meta', { hasText: 'outreach has it' }).waitFor()")

    rated = await answer(chrome, board, "await page.click('[data-action=not-useful]')")
    assert (rated["action"], rated["useful"]) == ("rate", False)
    board.say(raised("one", "ward-a", "01", 4, transition="rated", state="acknowledged", useful=False))
    await chrome.do("nurse", "await page.locator('[data-action=not-useful][aria-pressed=true]').waitFor()")

    code = "await page.click('[data-action=resolve]'); await page.fill('dialog input', 'oxygen given');"
    resolved = await answer(chrome, board, code + SUBMIT)
    assert (resolved["action"], resolved["comment"], resolved["seen"]) == ("resolve", "oxygen given", 4)
    board.say(raised("one", "ward-a", "01", 5))
    await chrome.do("nurse", "await page.locator('summary', { hasText: 'Ended' }).click()")
    ended = ".evaluateAll((all) => all.map((one) => one.dataset.action))"
    found = await chrome.do("nurse", f"return await page.locator('.alert [data-action]:visible'){ended}")
    assert found == ["useful", "not-useful"]  # an ended alert can be rated, and nothing else
    useful = await answer(chrome, board, "await page.click('[data-action=useful]')")
    assert (useful["action"], useful["useful"]) == ("rate", True)
    assert len(board.way.kept) == 5
    assert {one["who"] for one in board.audit} == {"nurse"}


async def test_what_is_not_taken_is_said(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 9)
    board.say(raised("one", "ward-a", "01"))
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", TO_ALERTS)
    board.relay.cut()
    await chrome.do("nurse", "await page.click('[data-action=resolve]'); await page.click('dialog [type=submit]')")
    await chrome.do("nurse", "await page.locator('dialog .wrong', { hasText: 'Not taken' }).waitFor()")
    await chrome.do("nurse", f"await page.keyboard.press('Escape'); {SHUT}")
    assert board.way.kept == []


async def test_alerts_are_filtered_by_priority_answer_and_who_has_them(chrome: Browser, board: Shown) -> None:
    for name, number, fields in (
        ("one", 1, {}),
        ("two", 1, {"priority": "low"}),
        ("three", 3, {"assigned_to": "nurse", "priority": "medium"}),
    ):
        board.patient(name, "ward-a", name, 9)
        board.say(raised(name, "ward-a", name, number, **fields))
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", TO_ALERTS)
    count = "await page.waitForFunction((n) => document.querySelectorAll('.alerts .alert').length === n, N);"
    beds = "return await page.locator('.alert .a-bed').allTextContents()"
    for field, value, wanted in (
        ("Show", "all", ["one", "two", "three"]),  # the worst first; answered ones last
        ("Show", "unanswered", ["one", "two"]),
        ("Show", "mine", ["three"]),
        ("Priority", "high", []),
        ("Show", "all", ["one"]),
    ):
        await chrome.do("nurse", f"await page.locator('label:has-text(\"{field}\") select').selectOption('{value}')")
        found = await chrome.do("nurse", count.replace("N", str(len(wanted))) + beds)
        assert [text.split(" · ")[0] for text in found] == [f"Bed {one}" for one in wanted]


async def test_who_is_no_clinician_is_offered_no_answers(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 9)
    board.say(raised("one", "ward-a", "01"))
    await sign_in(chrome, board, "viewer-a")
    await chrome.do("viewer-a", TO_ALERTS)
    offered = "return await page.locator('[data-action], button:has-text(\"name\")').count()"
    assert await chrome.do("viewer-a", offered) == 0
    await chrome.do("viewer-a", "await page.click('.a-bed'); await page.locator('h1', { hasText: 'Bed 01' }).waitFor()")
    await chrome.do("viewer-a", "await page.locator('section.alert').waitFor()")
    assert await chrome.do("viewer-a", offered) == 0
    assert await chrome.do("viewer-a", "return await page.getByText('Who looked').count()") == 0
    assert await chrome.wrong("viewer-a") == []
