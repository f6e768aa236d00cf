"""Ids of outputs."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from wardstream.schemas.output_id import output_id


@given(st.uuids(), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_as_the_standard_librarys_version_5(cause: UUID, name: str) -> None:
    assert output_id(cause, name) == uuid5(cause, name)
    assert output_id(cause, name).version == 5
