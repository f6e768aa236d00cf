"""`wardstream feed dry-run`: reads files as engines write them, counts what comes of them, prints nothing personal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.schemas.hl7v2.messages import OBR, PID, PV1, message
from wardstream.infra.cli import main
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.coverage import outline
from wardstream.infra.gateways.samples import messages, split
from wardstream.schemas.decode import decoder

RUN = CliRunner()
ADMIT = message("EVN|A01|20260310101500", PID, PV1, kind="ADT^A01")
RESULT = message(
    *(PID, OBR, "OBX|1|NM|2823-3^K^LN||6.125|mmol/L|||||F|||20260310091000"),
    *("OBX|2|NM|LOC7^Secretin^L||7.125|pg/mL|||||F", "OBX|3|NM|2160-0^C^LN||8.125|furlong|||||F"),
)
APPOINTMENT = message("SCH|1", PID, kind="SIU^S12")
BROKEN = b"MSH|^~\\&|LIS|||||||\rPID|1||4711||Invented^Ina\r"
PERSONAL = ("4711", "Invented", "Ina", "No Street", "6.125", "7.125", "8.125", "V-1")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEEDS_FILE", "PSEUDONYM_KEY", "PSEUDONYM_KEY_FILE"):
        monkeypatch.delenv(f"WARDSTREAM_{name}", raising=False)


def write(file: Path, raw: bytes) -> Path:
    file.write_bytes(raw)
    return file


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0b" + ADMIT + b"\x1c\r\x0b" + RESULT + b"\x1c\r",
        ADMIT + RESULT,
        ADMIT + b"\r\r" + RESULT,
        ADMIT.replace(b"\r", b"\r\n") + b"\r\n" + RESULT.replace(b"\r", b"\r\n"),
        ADMIT.replace(b"\r", b"\n") + b"\n" + RESULT.replace(b"\r", b"\n"),
        b"FHS|^~\\&|x\rBHS|^~\\&|x\r" + ADMIT + RESULT + b"BTS|2\rFTS|1\r",
        b"\x0b" + ADMIT + b"\x1c\r\x0b" + RESULT,
    ],
)
def test_files_of_messages(raw: bytes) -> None:
    found = [one.replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip() for one in split(raw)]
    assert found == [ADMIT.strip(), RESULT.strip()]


def test_what_stands_before_the_first_message_is_given_too() -> None:
    assert [one.strip() for one in split(b"hello\r" + ADMIT)] == [b"hello", ADMIT.strip()]


def test_json_lines_folders_and_packed_files(tmp_path: Path) -> None:
    lines = b"\n".join(json.dumps({"message": raw.decode(), "n": 1}).encode() for raw in (ADMIT, RESULT))
    write(tmp_path / "a.jsonl", lines + b"\n")
    write(tmp_path / "b.jsonl.gz", gzip.compress(lines))
    write(tmp_path / "c.hl7", ADMIT)
    assert list(messages(tmp_path)) == [ADMIT, RESULT, ADMIT, RESULT, ADMIT]
    write(tmp_path / "d.jsonl", b'{"message": "x"}\n{"text": "Invented"}\n')
    with pytest.raises(Failure, match=r"d\.jsonl, line 2") as refused:
        list(messages(tmp_path))
    assert "Invented" not in str(refused.value)


def test_the_report(tmp_path: Path) -> None:
    raw = ADMIT + RESULT + APPOINTMENT + APPOINTMENT + BROKEN
    result = RUN.invoke(main, ["feed", "dry-run", str(write(tmp_path / "all.hl7", raw))])
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("│")] for line in result.output.splitlines()]
    assert ["ADT A01", "1", "1", "", "", "", "1 admissions.v1"] in rows
    assert ["ORU R01", "1", "1", "", "", "", "1 labs.v1"] in rows
    assert ["SIU S12", "2", "", "2", "", "", ""] in rows
    assert ["other", "1", "", "", "", "1", ""] in rows
    assert ["all", "5", "2", "2", "", "1", ""] in rows
    assert ["LOC7^^L", "pg/mL", "ignored", "1"] in rows
    assert ["2823-3^^LN", "mmol/L", "2823-3", "1"] in rows
    assert ["labs.v1", "OBX-6", "unknown_unit", "1"] in rows
    assert ["MSH-9", "the type of the message is missing", "1"] in rows
    assert "without offset" in result.output
    for text in PERSONAL:
        assert text not in result.output


def test_events_as_json_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "all.hl7", ADMIT + RESULT + BROKEN)
    result = RUN.invoke(main, ["feed", "dry-run", str(file), "--events"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["topic"] for line in lines] == ["admissions.v1", "labs.v1"]
    for line in lines:
        decoder(line["topic"])(json.dumps(line["event"]).encode())
    assert "ADT A01" in result.stderr
    for text in ("4711", "Invented", "No Street", "V-1"):
        assert text not in result.output


def test_names_in_the_wrong_place_are_not_printed(tmp_path: Path) -> None:
    wrong = RESULT.replace(b"LOC7^x^L", b"LOC7").replace(b"pg/mL", b"Ina Invented")
    code = RESULT.replace(b"LOC7", b"Invented, Ina")
    assert wrong != RESULT != code
    file = write(tmp_path / "all.hl7", wrong + code)
    result = RUN.invoke(main, ["feed", "dry-run", str(file)])
    assert "(not printed)" in result.output
    for text in ("Ina", "Invented"):
        assert text not in result.output
        assert text not in "\n".join((*outline(wrong), *outline(code)))


def test_batches_are_read_in_frames_and_without(tmp_path: Path) -> None:
    batch = b"BHS|^~\\&|A\r" + ADMIT + RESULT + b"BTS|2\r"
    for raw in (batch, b"\x0b" + batch + b"\x1c\r", b"\xef\xbb\xbf" + batch, b"\r\n" + batch):
        file = write(tmp_path / "batch.hl7", raw)
        assert [found.strip() for found in messages(file)] == [ADMIT.strip(), RESULT.strip()]


def test_with_the_settings_of_a_feed(tmp_path: Path) -> None:
    file = write(tmp_path / "all.hl7", RESULT)
    settings = tmp_path / "feeds.toml"
    settings.write_text(
        '[feeds.lab]\ntimezone = "UTC"\nauthority = "a"\nidentifier_types = ["MR"]\n'
        '[feeds.lab.codes]\n"LOC7^^L" = { loinc = "99999-9" }\n'
    )
    result = RUN.invoke(main, ["feed", "dry-run", str(file), "--feed", "lab", "--feeds", str(settings)])
    assert "2 labs.v1" in result.output
    result = RUN.invoke(main, ["feed", "dry-run", str(file), "--feed", "adt", "--feeds", str(settings)])
    assert result.exit_code == 2
    assert "no feed adt" in result.stderr
    result = RUN.invoke(main, ["feed", "dry-run", str(file), "--feed", "lab"])
    assert "WARDSTREAM_FEEDS_FILE" in result.stderr


def test_pseudonyms_are_the_installations_where_it_has_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "all.hl7", ADMIT)
    command = ["feed", "dry-run", str(file), "--events"]
    first, second = (RUN.invoke(main, command).stdout for _ in range(2))
    assert first != second
    monkeypatch.setenv("WARDSTREAM_PSEUDONYM_KEY", "A" * 43 + "=")

    def patient() -> str:
        return str(json.loads(RUN.invoke(main, command).stdout)["event"]["patient_id"])

    assert patient() == patient()


def test_an_outline_names_code_and_unit_and_nobody() -> None:
    lines = outline(RESULT)
    assert lines == [
        "HL7 v2: ORU^R01: MSH, PID, OBR, 3 OBX",
        "  OBX[1]: 2823-3^^LN, mmol/L",
        "  OBX[2]: LOC7^^L, pg/mL",
        "  OBX[3]: 2160-0^^LN, furlong",
    ]
    assert outline(BROKEN)[0].startswith("no HL7 v2: MSH-")
    assert not any(word in "\n".join((*lines, *outline(BROKEN), *outline(ADMIT))) for word in PERSONAL)


def test_a_name_that_looks_like_a_code_or_a_unit_is_not_printed(tmp_path: Path) -> None:
    raw = RESULT.replace(b"LOC7^Secretin^L", b"LOC7^^Invented").replace(b"pg/mL", b"Invented")
    assert raw.count(b"Invented") == RESULT.count(b"Invented") + 2
    for more in ([], ["--events"]):
        result = RUN.invoke(main, ["feed", "dry-run", str(write(tmp_path / "all.hl7", raw)), *more])
        assert result.exit_code == 0, result.output
        assert "Invented" not in result.output
