"""What a worker makes of the rows of alert-policies.v1, and what `wardstream policy check` says of a file."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from wardstream.infra.cli import main
from wardstream.infra.policies import Policies, policies_of
from wardstream.infra.policy_site import strangers
from wardstream.infra.settings import load_settings
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.schemas.alert_policies import IN_FORCE, TOPIC, AlertPolicy
from wardstream.schemas.decode import encode

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN = CliRunner()


def written(end: int, **fields: Any) -> AlertPolicy:
    """A sound policy of which `end` makes another."""
    policy = parse_policy(DEFAULT.text.replace("end = 3", f"end = {end}"))
    row = AlertPolicy(name=policy.digest, digest=policy.digest, text=policy.text, at=NOW, who="op", why="w")
    return replace(row, **fields)


class Desk:
    """A worker's policies, over rows that the test writes."""

    def __init__(self) -> None:
        self.policies = Policies({})
        self._rows = self.policies._follower.rows[TOPIC.name]

    def write(self, *rows: AlertPolicy) -> None:
        for row in rows:
            self._rows[row.name.encode()] = encode(row)
        self.policies.obey()

    def apply(self, row: AlertPolicy) -> None:
        self.write(row, replace(row, name=IN_FORCE))

    def clear(self) -> None:
        self._rows.clear()
        self.policies.obey()

    @property
    def end(self) -> float | None:
        return self.policies().conditions["news2"].end


def test_the_built_in_policy_holds_until_one_is_applied_and_when_there_is_none() -> None:
    desk = Desk()
    assert desk.policies() is DEFAULT
    desk.policies.obey()
    assert desk.policies() is DEFAULT
    desk.write(written(2))
    assert desk.policies() is DEFAULT, "a row by its digest puts nothing in force"
    desk.apply(written(1))
    assert desk.end == 1
    assert desk.policies().digest == written(1).digest
    desk.clear()
    assert desk.policies() is DEFAULT


@pytest.mark.parametrize(
    "wrong",
    [
        written(1, text=written(2).text),
        written(1, digest="0" * 64),
        written(1, name=IN_FORCE, text="format = 9", digest=parse_policy(DEFAULT.text).digest),
    ],
)
def test_a_row_that_is_wrong_is_refused_and_the_one_before_goes_on(
    wrong: AlertPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    desk.apply(written(2))
    before = desk.policies()
    with caplog.at_level(logging.ERROR):
        desk.write(replace(wrong, name=IN_FORCE))
        desk.policies.obey()
    assert desk.policies() is before
    assert len(caplog.records) == 1, "told once"
    desk.apply(written(0))
    assert desk.end == 0


def test_mistakes_in_a_row_are_logged_by_their_path(caplog: pytest.LogCaptureFixture) -> None:
    text = DEFAULT.text.replace("end = 3", "end = 9")
    policy = AlertPolicy(name=IN_FORCE, digest="0" * 64, text=text, at=NOW, who="op", why="w")
    desk = Desk()
    with caplog.at_level(logging.ERROR):
        desk.write(replace(policy, digest=sha256(text.encode()).hexdigest()))
    assert desk.policies() is DEFAULT
    assert "1 mistakes, the first: conditions.news2.end: " in caplog.text


def test_after_a_restart_the_newest_that_was_applied_before_goes_on() -> None:
    desk = Desk()
    for number, end in enumerate((2, 0, 1)):
        row = written(end, at=NOW + timedelta(days=number))
        desk._rows[row.digest.encode()] = encode(row if end != 1 else replace(row, text="not its text"))
    desk.write(written(1, name=IN_FORCE, text="not its text"))
    assert desk.end == 0, "of the three the newest cannot be used"


def test_rows_that_are_none_are_left_out() -> None:
    row = written(2)
    rows = {b"in-force": encode(replace(row, name=IN_FORCE)), row.digest.encode(): encode(row)}
    assert policies_of(rows) == {IN_FORCE: replace(row, name=IN_FORCE), row.digest: row}
    other = b"0" * 64
    assert not policies_of({other: encode(row), b"in-force": encode(row), row.digest.encode(): b"{}"})
    assert not policies_of({other: encode(replace(row, name=other.decode()))})


def test_check_names_all_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(DEFAULT.text.replace("end = 3", "end = 9").replace("format = 1", "format = 2"))
    result = RUN.invoke(main, ["policy", "check", str(file)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["conditions.news2.end", "format"]
    assert all(line.startswith(f"{file}: ") for line in lines)
    file.write_bytes(b"\xff")
    assert RUN.invoke(main, ["policy", "check", str(file)]).exit_code == 2
    missing = RUN.invoke(main, ["policy", "check", str(tmp_path / "none")])
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr


def test_check_warns_of_what_the_site_does_not_have(tmp_path: Path) -> None:
    wards = '[units."4B".conditions.news2]\nhigh = 8\n[units.icu-feed.conditions.feed_silent]\nhold_min = 10\n'
    quiet = '[[quiet]]\nfrom = "22:00"\nto = "06:30"\npriorities = ["low"]\nunits = ["4B", "5C"]\n'
    policy = parse_policy(DEFAULT.text.replace('of = "pneumonia"', 'of = "fracture"') + wards + quiet)
    assert [one.split(":")[0] for one in strangers(policy, load_settings().models, {"4B"})] == [
        "conditions.pneumonia",
        "5C",
    ]
    assert [one.split(":")[0] for one in strangers(policy, tmp_path, None)] == [
        "conditions.sepsis",
        "conditions.pneumonia",
    ]
    file = tmp_path / "policy.toml"
    file.write_text(policy.text)
    result = RUN.invoke(main, ["policy", "check", str(file)])
    assert (result.exit_code, result.stderr.count("warning: ")) == (0, 1), "offline units are not looked for"


def test_check_says_what_a_sound_policy_would_do(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    quiet = '[[quiet]]\nfrom = "22:00"\nto = "06:30"\npriorities = ["low"]\nunits = ["4B"]\n'
    file.write_text(DEFAULT.text + '[units."4B".conditions.news2]\nhigh = 8\n' + quiet)
    result = RUN.invoke(main, ["policy", "check", str(file)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert parse_policy(file.read_text()).digest in said
    assert "5 or 3 points" in said
    assert "the model's" in said
    assert "high: nurse; charge_nurse after 5 min; physician after 15 min; again each 30 min" in said
    assert "4B has its own news2" in said
    assert "22:00 to 06:30 (UTC), 4B: low priority waits" in said


def test_the_policy_behind_the_readme_is_sound() -> None:
    file = Path(__file__).parents[1] / "alerts" / "against_news2.toml"
    rules = parse_policy(file.read_text()).conditions.values()
    assert {(rule.kind, rule.of, rule.single) for rule in rules} == {
        ("score", "news2", None),
        ("prediction", "sepsis", None),
    }


def test_apply_wants_a_file_or_the_default_and_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(DEFAULT.text)
    for arguments in (["--why", "w"], [str(file), "--default", "--why", "w"], [str(file), "--why", " "], [str(file)]):
        result = RUN.invoke(main, ["policy", "apply", *arguments])
        assert result.exit_code == 2
        assert "Traceback" not in result.output
