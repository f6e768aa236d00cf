"""What the page shows and sounds only when it is asked to: names, films, alarms."""

from __future__ import annotations

from tests.board.browser import Browser
from tests.board.serving import Shown, raised, sign_in

# Every tone that is started, as its pitch in Hz.
LISTEN = """
await page.addInitScript(() => {
  globalThis.tones = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (at) {
    tones.push(this.frequency.value);
    start.call(this, at);
  };
});
"""
HARMONICS = 4
PULSES = {"low": 1, "medium": 3, "high": 10}


async def test_sound_is_off_until_asked_for_and_then_by_priority(chrome: Browser, board: Shown) -> None:
    for bed in range(5):
        board.patient(f"p{bed}", "ward-a", f"0{bed}", 2)
    await chrome.do("nurse", LISTEN)
    await sign_in(chrome, board, "nurse")
    seen = "await page.locator('#nav a[data-view=alerts]').click(); await page.locator('.alert').nth(N).waitFor()"
    board.say(raised("p0", "ward-a", "00"))
    await chrome.do("nurse", seen.replace("N", "0"))
    assert await chrome.do("nurse", "return await page.evaluate(() => tones.length)") == 0
    await chrome.do("nurse", "await page.click('#sound'); await page.locator('#sound[aria-pressed=true]').waitFor()")
    counted = "await page.waitForFunction((n) => tones.length === n, N); await page.evaluate(() => tones.splice(0))"
    await chrome.do("nurse", counted.replace("N", str(HARMONICS)))  # so that one hears that it is on
    for bed, (priority, pulses) in enumerate(PULSES.items(), 1):
        board.say(raised(f"p{bed}", "ward-a", f"0{bed}", priority=priority))
        await chrome.do("nurse", counted.replace("N", str(pulses * HARMONICS)))
    board.say(raised("p3", "ward-a", "03", 3))  # somebody has acknowledged it
    await chrome.do("nurse", "await page.locator('.alert[data-state=acknowledged]').waitFor()")
    await chrome.do("nurse", "await page.click('#sound')")
    board.say(raised("p4", "ward-a", "04"))
    await chrome.do("nurse", seen.replace("N", "4"))
    assert await chrome.do("nurse", "return await page.evaluate(() => tones.length)") == 0


async def test_names_are_shown_when_asked_for_and_that_is_noted(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 9)
    board.named("one", "Muster", "Eva")
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", "await page.locator('.tile').waitFor()")
    assert "Muster" not in await chrome.do("nurse", "return await page.content()")
    await chrome.do("nurse", "await page.getByText('Show names').click()")
    await chrome.do("nurse", "await page.locator('.tile .t-name', { hasText: 'Muster, Eva · 1' }).waitFor()")
    assert board.audit == [{"who": "nurse", "what": "identity_shown", "patient_id": "one"}]
    await chrome.do("nurse", "await page.click('nav a[data-view=alerts]'); await page.click('nav a[data-view=ward]')")
    await chrome.do("nurse", "await page.locator('.tile').waitFor()")
    assert "Muster" not in await chrome.do("nurse", "return await page.content()")
    await chrome.do("nurse", "await page.click('.tile .t-bed'); await page.getByText('Show name for').click()")
    await chrome.do("nurse", "await page.locator('.p-name', { hasText: 'Muster, Eva, number 1' }).waitFor()")
    assert await chrome.wrong("nurse") == []


async def test_a_film_is_shown_with_its_caveat_and_what_the_model_looked_at(chrome: Browser, board: Shown) -> None:
    board.patient("one", "ward-a", "01", 2)
    board.film("one", age_note="The site has widened the ages.")
    await sign_in(chrome, board, "nurse")
    await chrome.do("nurse", "await page.goto(page.url().split('#')[0] + '#/patient/one')")
    both = "[...document.querySelectorAll('.layers img')].filter((one) => one.naturalWidth === 64).length === 2"
    await chrome.do("nurse", f"await page.waitForFunction(() => {both})")
    caveat = await chrome.do("nurse", "return await page.locator('.caveat').textContent()")
    assert caveat == "No diagnosis: a person must read the film. The site has widened the ages."
    frame = "return await page.locator('.region rect').evaluate((one) => [one.x.baseVal.value, one.y.baseVal.value])"
    assert await chrome.do("nurse", frame) == [10, 40]
    strength = "return await page.locator('.saliency').evaluate((one) => one.style.opacity)"
    assert float(await chrome.do("nurse", strength)) > 0
    await chrome.do("nurse", "await page.locator('.film input[type=range]').focus(); await page.keyboard.press('Home')")
    assert await chrome.do("nurse", strength) == "0"
    assert await chrome.wrong("nurse") == []
