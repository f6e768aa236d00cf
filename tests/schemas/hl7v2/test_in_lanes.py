"""From messages to scores and alerts: what the mappings make is what the lanes' handlers were made for."""

from __future__ import annotations

import pytest

from tests.agents.bedside import Bedside, Said
from tests.schemas.hl7v2.messages import PATIENT, PID, PV1, mapped, utc

SIGNS = (("9279-1", "25", "/min"), ("59408-5", "97", "%"), ("8480-6", "125", "mm[Hg]"), ("8310-5", "37.0", "Cel"))


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


async def hears(bedside: Bedside, *segments: str, kind: str = "ORU^R01", minute: int = 0) -> Said:
    found = mapped(*segments, kind=kind, now=utc(2026, 3, 10, 9, minute))
    assert found.rejects == ()
    return await bedside.give(*found.events)


def signs(rate: str = "25", status: str = "F") -> list[str]:
    obr = "OBR|1|P|F|85353-1^vital signs^LN|||20260310095500"
    values = [(code, rate if code == "9279-1" else value, unit) for code, value, unit in SIGNS]
    obx = [f"OBX|1|NM|{code}^^LN||{value}|{unit}|||||{status}|||20260310095500" for code, value, unit in values]
    more = [
        f"OBX|5|NM|8867-4^^LN||130|/min|||||{status}|||20260310095500",
        f"OBX|6|ST|AVPU||Alert||||||{status}|||20260310095500",
        f"OBX|7|NM|3150-6^^LN||21|%|||||{status}|||20260310095500",
    ]
    return [PID, PV1, obr, *obx, *more]


async def test_a_deterioration_its_correction_and_the_end(bedside: Bedside) -> None:
    await hears(bedside, "EVN|A01|20260310090000", PID, PV1, kind="ADT^A01")
    said = await hears(bedside, *signs())
    assert said.news2().value == 5
    assert said.transitions() == [("news2", "raised")]
    assert said.alerts[0].unit == "W3"
    assert (await hears(bedside, *signs(), minute=1)).scores == []  # sent again
    said = await hears(bedside, *signs("18", "C"), minute=2)
    assert (said.news2().value, said.transitions()) == (2, [("news2", "retracted")])
    said = await hears(bedside, *signs("25", "C"), minute=3)
    assert said.transitions() == [("news2", "raised")]
    said = await hears(bedside, "EVN|A03|20260310100400", PID, PV1, kind="ADT^A03", minute=4)
    assert said.transitions() == [("news2", "closed")]
    await hears(bedside, "EVN|A13|20260310100500", PID, PV1, kind="ADT^A13", minute=5)
    assert bedside.patient(PATIENT).stay.phase == "present"


async def test_the_versions_of_a_result(bedside: Bedside) -> None:
    def result(value: str, status: str) -> tuple[str, ...]:
        obx = f"OBX|1|NM|6690-2^WBC^LN||{value}|10*9/L|||||{status}"
        return PID, "OBR|1|P|F|58410-2^CBC^LN|||20260310095000", obx

    async def sirs(value: str, status: str, minute: int) -> int | None:
        said = await hears(bedside, *result(value, status), minute=minute)
        return next(score.value for score in said.scores[-1].scores if score.name == "sirs")

    assert await sirs("13", "P", 1) == 1
    assert await sirs("11", "F", 2) == 0
    assert await sirs("14", "C", 3) == 1
    assert await sirs("10", "C", 4) == 0
    assert await sirs("15", "F", 5) == 1, "changed, and not called corrected"
    assert [one.values for one in bedside.sets(PATIENT)] == [{"wbc": 15.0}]
    assert bedside.patient(PATIENT).awaited == {}
    await hears(bedside, *result("", "X"), minute=6)
    assert [one.values for one in bedside.sets(PATIENT)] == [{}]
    assert await sirs("16", "F", 7) == 1
    for value, status in (("13", "P"), ("11", "F"), ("14", "C"), ("15", "F"), ("", "X")):
        await hears(bedside, *result(value, status), minute=8)  # sent again
    assert [one.values for one in bedside.sets(PATIENT)] == [{"wbc": 16.0}]


async def test_the_versions_of_a_set(bedside: Bedside) -> None:
    await hears(bedside, "EVN|A01|20260310090000", PID, PV1, kind="ADT^A01")
    assert (await hears(bedside, *signs("18", "R"))).news2().value == 2
    said = await hears(bedside, *signs("25", "F"), minute=1)
    assert (said.news2().value, said.transitions()) == (5, [("news2", "raised")])
    said = await hears(bedside, *signs("18", "F"), minute=2)  # changed, and not called corrected
    assert (said.news2().value, said.transitions()) == (2, [("news2", "retracted")])
    assert len(bedside.sets(PATIENT)) == 1
    assert (await hears(bedside, *signs("25", "C"), minute=3)).transitions() == [("news2", "raised")]
    await hears(bedside, *signs("25", "W"), minute=4)
    assert [one.values for one in bedside.sets(PATIENT)] == [{}]


@pytest.mark.parametrize("device", ["", "|||monitor^7"])
async def test_a_value_of_a_set_that_is_cancelled_or_corrected_alone(bedside: Bedside, device: str) -> None:
    """Many senders repeat only the value that was wrong; the others of its set stay."""
    await hears(bedside, "EVN|A01|20260310090000", PID, PV1, kind="ADT^A01")
    whole = signs("18", "F")
    await hears(bedside, *whole[:3], f"{whole[3]}{device}", *whole[4:])
    pulse = next(line for line in whole if "8867-4" in line)
    said = await hears(bedside, *whole[:3], pulse.replace("|130|", "|60|").replace("|F|", "|C|"), minute=1)
    assert said.news2().value == 0
    assert sorted(one.values.get("hr") for one in bedside.sets(PATIENT) if "hr" in one.values) == [60.0]
    again = await hears(bedside, *whole[:3], pulse.replace("|130|", "|60|").replace("|F|", "|C|"), minute=1)
    assert again.scores == []
    said = await hears(
        bedside, *whole[:3], next(line for line in whole if "9279-1" in line).replace("|F|", "|W|"), minute=2
    )
    assert "respiratory_rate_per_min" in said.news2().missing
    rates = [one.values for one in bedside.sets(PATIENT) if "rr" in one.values]
    assert rates == []
    said = await hears(bedside, *signs("25", "C"), minute=3)  # the whole set
    assert said.news2().value == 5
