"""The file of feeds: what it says, and that every mistake is told by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardstream.infra.gateways import feeds as module
from wardstream.infra.gateways.feeds import FeedsError, load_feeds

GOOD = """
[feeds.icu]
timezone = "Europe/Berlin"
authority = "north"
identifier_types = ["MR"]
ambiguous = "later"
units = { UMOLL = "umol/L" }
ignored = ["ORU^R40"]

[feeds.icu.codes]
"K^^L" = { loinc = "2823-3", unit = "mmol/L" }

[feeds.icu.mllp]
listen = "127.0.0.1:2575"
tls_cert = "icu.pem"
tls_key = "/etc/icu.key"
client_ca = "ca.pem"

[feeds.adt]
timezone = "UTC"
authority = "north"
identifier_types = ["MR", "PI"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feeds.toml"


def test_feeds(file: Path) -> None:
    file.write_text(GOOD)
    feeds = load_feeds(file)
    assert list(feeds) == ["icu", "adt"]
    icu = feeds["icu"]
    assert (icu.feed.name, icu.feed.ambiguous, icu.feed.identifier_types) == ("icu", "later", ("MR",))
    code = icu.feed.declared("K", "L")
    assert code is not None
    assert (code.loinc, code.unit) == ("2823-3", "mmol/L")
    assert icu.feed.declared("K", "M") is None
    assert icu.mllp is not None
    assert icu.mllp.listen == "127.0.0.1:2575"
    assert (icu.mllp.tls_cert, icu.mllp.tls_key) == (file.parent / "icu.pem", Path("/etc/icu.key"))
    assert feeds["adt"].mllp is None


def test_the_example_of_the_module(file: Path) -> None:
    """It stands in the head of the module; only its certificates are not complete."""
    text = "\n".join(line[4:] for line in (module.__doc__ or "").splitlines() if line.startswith("    "))
    file.write_text(text.replace('tls_cert = "icu.pem"', ""))
    assert load_feeds(file)["icu"].feed.units == {"UMOLL": "umol/L"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('timezone = "Europe/Berlin"', ""), "timezone"),
        (('timezone = "Europe/Berlin"', 'timezone = "Mars"'), "timezone"),
        (('timezone = "Europe/Berlin"', 'timezone = "Europe"'), "timezone"),
        (('timezone = "Europe/Berlin"', 'timezone = ""'), "timezone"),
        (('authority = "north"', "authority = 7"), "authority"),
        (('identifier_types = ["MR"]', "identifier_types = []"), "identifier_types"),
        (('ambiguous = "later"', 'ambiguous = "never"'), "ambiguous"),
        (('ambiguous = "later"', 'ambigous = "later"'), "ambigous"),
        (('loinc = "2823-3"', 'loinc = "potassium"'), "loinc"),
        (('loinc = "2823-3"', 'field = "potassium"'), "field"),
        (('loinc = "2823-3"', 'loinc = "2823-3", field = "weight_kg"'), "loinc or field"),
        (('listen = "127.0.0.1:2575"', 'listen = "2575"'), "listen"),
        (('listen = "127.0.0.1:2575"', 'listen = "localhost:99999"'), "listen"),
        (('listen = "127.0.0.1:2575"', ""), "listen"),
        (('tls_key = "/etc/icu.key"', ""), "tls_key"),
        (('tls_cert = "icu.pem"\ntls_key = "/etc/icu.key"', ""), "client_ca"),
        (("[feeds.icu.mllp]", "[feeds.icu.mlp]"), "mlp"),
        (("[feeds.icu]", '[feeds.icu]\nname = "other"'), "name"),
        (("[feeds.adt]", "[feed.adt]"), "feed"),
        (("[feeds.icu]", "[feeds.icu"), "TOML"),
    ],
)
def test_mistakes_are_told_by_key(file: Path, change: tuple[str, str], told: str) -> None:
    assert change[0] in GOOD
    file.write_text(GOOD.replace(*change, 1))
    with pytest.raises(FeedsError) as refused:
        load_feeds(file)
    assert str(file) in str(refused.value)
    assert told in str(refused.value).replace(str(file), "")


def test_a_file_without_feeds_and_none_at_all(file: Path) -> None:
    with pytest.raises(FeedsError, match="cannot be read"):
        load_feeds(file)
    for text in ("", "feeds = 7", "feeds = {}", "[feeds]\nicu = 7", "[feeds.icu]\nmllp = 7"):
        file.write_text(text)
        with pytest.raises(FeedsError):
            load_feeds(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(FeedsError, match="TOML"):
        load_feeds(file)
