"""The board in a real browser, over the real application: what a nurse sees, does, and must not see."""

from __future__ import annotations

import pytest

from tests.board.browser import Browser
from tests.board.serving import Shown, raised, sign_in

VIEWS = ("ward", "alerts", "flow", "models", "system", "patient/one")


# As they stand on the screen, and as a screen reader reads them.
BEDS = """
return await page.locator('.tile').evaluateAll((all) => {
  const place = (one) => { const { x, y } = one.getBoundingClientRect(); return 10_000 * y + x; };
  return all.sort((a, b) => place(a) - place(b)).map((one) => one.querySelector('.t-bed').textContent);
})
"""
READ = """
const owned = await page.locator('.grid').getAttribute('aria-owns');
return await Promise.all(owned.split(' ').map((id) => page.locator(`#${id} .t-bed`).textContent()));
"""


async def test_who_deteriorates_rises_and_turns(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 6)
    board.patient("two", "ward-a", "02", 1, missing=("consciousness",))
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", "await page.locator('.tile').nth(1).waitFor()")
    assert await chrome.do("nurse", BEDS) == ["01", "02"]
    second = "page.locator('.tile', { has: page.getByText('02', { exact: true }) })"
    assert await chrome.do("nurse", f"return await {second}.locator('.t-news-n').textContent()") == "≥ 1"
    style = "evaluate((one) => getComputedStyle(one).borderStyle)"
    assert await chrome.do("nurse", f"return await {second}.locator('.t-news').{style}") == "dashed"
    board.patient("two", "ward-a", "02", 11, 0.6, respiratory_rate_per_min=30.0)
    await chrome.do("nurse", "await page.locator('.tile[data-band=high] .t-bed', { hasText: '02' }).waitFor()")
    await chrome.do("nurse", "await page.locator('.grid[aria-owns^=tile-two]').waitFor()")
    assert await chrome.do("nurse", BEDS) == await chrome.do("nurse", READ) == ["02", "01"]
    label = await chrome.do("nurse", f"return await {second}.locator('.t-bed').getAttribute('aria-label')")
    assert "NEWS2 11" in label
    assert "60 %" in label
    # The fragment with the token is gone from the address.
    assert "token" not in await chrome.do("nurse", "return page.url()")
    assert await chrome.wrong("nurse") == []


async def test_what_one_acknowledges_another_sees(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 9)
    await sign_in(chrome, board, "nurse")
    await sign_in(chrome, board, "second")
    board.say(raised("one", "ward-a", "01"))
    for who in ("nurse", "second"):
        await chrome.do(who, "await page.locator('.tile[data-priority=high] .t-sign', { hasText: '!!!' }).waitFor()")
        await chrome.do(who, "await page.click('nav a[data-view=alerts]')")
    await chrome.do("nurse", "await page.click('.alert [data-action=acknowledge]')")
    await chrome.do("nurse", "await page.locator('.note', { hasText: 'Sent' }).waitFor()")
    assert [topic for topic, *_ in board.way.kept] == ["acknowledgements.v1"]
    board.say(raised("one", "ward-a", "01", 3, assigned_to="nurse"))
    await chrome.do("second", "await page.locator('.alert .a-state', { hasText: 'Acknowledged' }).waitFor()")
    assert "nurse has it" in await chrome.do("second", "return await page.locator('.alert .a-meta').textContent()")
    board.say(raised("one", "ward-a", "01", 4))
    await chrome.do(
        "second",
        "await page.locator('.alerts[aria-label=\"Open alerts\"]:not(:has(.alert))').waitFor({ state: 'attached' })",
    )
    assert await chrome.wrong("nurse") == []


async def test_a_lost_connection_is_shown_and_heals(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 2)
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", "await page.locator('.tile').waitFor()")
    board.relay.cut()
    await chrome.do("nurse", "await page.locator('#banner', { hasText: 'Connection lost' }).waitFor()")
    mark = "return await page.locator('.tile').evaluate((e) => getComputedStyle(e, '::after').content)"
    assert "NOT LIVE" in await chrome.do("nurse", mark)
    board.patient("one", "ward-a", "01", 8)
    board.relay.heal()
    await chrome.do("nurse", "await page.locator('#banner').waitFor({ state: 'hidden' })")
    await chrome.do("nurse", "await page.locator('.t-news-n', { hasText: '8' }).waitFor()")


async def test_a_viewer_sees_only_their_units(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 2)
    board.patient("two", "ward-b", "02", 9)
    board.say(raised("two", "ward-b", "02"))
    await sign_in(chrome, board, "viewer-a")
    await chrome.do("viewer-a", "await page.locator('.tile').waitFor()")
    assert await chrome.do("viewer-a", BEDS) == ["01"]
    await chrome.do("viewer-a", "await page.goto(page.url().split('#')[0] + '#/patient/two')")
    await chrome.do("viewer-a", "await page.locator('.note', { hasText: 'no such patient' }).waitFor()")
    await chrome.do("viewer-a", "await page.click('nav a[data-view=alerts]')")
    assert await chrome.do("viewer-a", "return await page.locator('.alert').count()") == 0
    assert await chrome.do("viewer-a", "return await page.getByText('answering is for clinicians').count()") == 1


async def test_a_wrong_token_is_told_and_not_kept(chrome: Browser, board: Shown) -> None:
    await chrome.do("x", f"tools.origin = '{board.url}'; await page.goto('{board.url}/#token=wrong')")
    await chrome.do("x", "await page.locator('#token').waitFor()")
    assert await chrome.do("x", "return await page.evaluate(() => sessionStorage.length)") == 0


async def test_by_keyboard_alone(chrome: Browser, board: Shown) -> None:
    for bed in range(4):
        board.patient(f"p{bed}", "ward-a", f"0{bed}", 8 - bed)
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", "await page.locator('.tile').nth(3).waitFor()")
    stop = ".t-bed:not([tabindex='-1'])"  # the only one
    await chrome.do(
        "nurse", f'await page.waitForFunction((of) => document.querySelectorAll(of).length === 1, "{stop}")'
    )
    await chrome.do("nurse", f"await page.locator(\"{stop}\").focus(); await page.keyboard.press('ArrowRight')")
    assert await chrome.do("nurse", "return await page.evaluate(() => document.activeElement.textContent)") == "01"
    await chrome.do("nurse", "await page.keyboard.press('Enter')")
    await chrome.do("nurse", "await page.locator('h1', { hasText: 'Bed 01' }).waitFor()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_bars_anybody_and_nothing_leaves(chrome: Browser, board: Shown, scheme: str) -> None:
    board.patient("one", "ward-a", "01", 9, 0.4, missing=("consciousness",))
    board.patient("two", "ward-b", "02", 5)
    board.patient("three", "ward-b", "03", 1)
    board.say(raised("one", "ward-a", "01"))
    board.say(raised("two", "ward-b", "02", priority="medium"))
    await sign_in(chrome, board, "engineer", colorScheme=scheme)
    await chrome.do("engineer", "await page.locator('.tile').nth(2).waitFor()")
    for view in VIEWS:
        await chrome.do("engineer", f"await page.goto(page.url().split('#')[0] + '#/{view}')")
        loaded = "await page.waitForFunction(() => !document.querySelector('main').textContent.includes('Loading …'))"
        await chrome.do("engineer", loaded)
        found = await chrome.do("engineer", "return await tools.check(page)")
        assert found == [], (view, found)
    assert await chrome.wrong("engineer") == []
