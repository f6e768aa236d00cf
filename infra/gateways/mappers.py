"""The mappers of all feeds, with the keys that they need; and what maps dead letters again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from wardstream.agents.metrics import Meters
from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.infra.dead_replay import Remap
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.gateways.feeds import FeedFile, load_feeds
from wardstream.infra.gateways.mapper import Mapper
from wardstream.infra.identities import IdentitySeals
from wardstream.infra.preflight import dead_letter_key
from wardstream.infra.settings import PREFIX, Settings, SettingsError
from wardstream.schemas.hl7v2 import Malformed
from wardstream.schemas.pseudonym import Pseudonyms


def mappers(settings: Settings, feeds: Mapping[str, FeedFile], meters: Meters) -> dict[str, Mapper]:
    """The mapper of each feed.

    Raises
    ------
    SettingsError
        A key is missing.
    """
    key = settings.pseudonym_key_bytes()
    if key is None:
        raise SettingsError(
            f"{PREFIX}PSEUDONYM_KEY or {PREFIX}PSEUDONYM_KEY_FILE is not set: 32 bytes in base64, as from "
            "`openssl rand -base64 32`. It makes pseudonyms of record numbers: another key makes strangers of all."
        )
    keys = settings.identity_keys()
    seals = IdentitySeals(keys) if keys else None
    letters = DeadLetters(dead_letter_key(settings))
    return {name: Mapper(file.feed, Pseudonyms(key), letters, seals, meters) for name, file in feeds.items()}


def remapper(settings: Settings, feeds: Path) -> Remap:
    """Maps what was a dead letter with the present settings of its feed. As of then: `received_at` is what it was.

    Raises
    ------
    Failure
        The feeds' file or a key is not usable.
    """
    mapping = mappers(settings, load_feeds(feeds), Meters())

    def remap(feed: str, raw: RawRecord) -> Sequence[Row] | None:
        received_at = datetime.fromtimestamp(raw.timestamp_ms / 1000, UTC)
        try:
            parcel = mapping[feed](raw.value or b"", received_at)
        except Malformed:
            return None
        if parcel.dead:
            mapping[feed].undone(parcel.rows)
            return None
        return parcel.rows

    return remap
