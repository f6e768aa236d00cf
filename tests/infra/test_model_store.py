"""Versions of a model: added, served, taken back; looks counted; a server that refuses changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.infra.feeds.test_challenge2019 import psv
from tests.models.training.tiny import write_candidate, write_model
from wardstream.infra.cli import main
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store

SITES_OWN = 'backend: "onnxruntime"\nmax_batch_size: 8\nversion_policy: { latest: { num_versions: 1 } }\n'


class Server:
    """Loads what the repository says, or refuses."""

    def __init__(self, store: Store) -> None:
        self.store, self.loaded, self.refuses = store, list[int | None](), False

    def load(self, model: str) -> None:
        assert model == "sepsis"
        if self.refuses:
            raise ConnectionError("no")
        self.loaded.append(self.store.serving())


def test_versions_serve_and_are_taken_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    assert (store.versions(), store.serving(), store.before()) == ([], None, None)
    server = Server(store)
    for i in (1, 2, 3):
        candidate = write_candidate(tmp_path / f"candidate-{i}", heart=0.1 * i)
        number = store.add(candidate)
        assert number == i
        assert store.serving() == (i - 1 or None), "added is not served"
        store.serve(number, "deployed", (candidate / "config.pbtxt").read_text(), server)
        assert store.serving() == i
    assert server.loaded == [1, 2, 3]
    assert store.before() == 2
    store.serve(2, "rolled back", "", server)
    assert (store.serving(), server.loaded[-1]) == (2, 2)
    assert (store.folder / "card.md").read_text() == "card of candidate-2\n"
    assert [entry["version"] for entry in store.history()] == [1, 2, 3, 2]
    assert sorted(path.name for path in store.version(1).iterdir()) == [
        "calibration.json",
        "card.md",
        "fallback.json",
        "model.onnx",
        "record.json",
    ]


def test_a_server_that_refuses_keeps_the_old_version(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    server = Server(store)
    store.serve(store.add(write_candidate(tmp_path / "one")), "deployed", 'backend: "onnxruntime"\n', server)
    number, server.refuses = store.add(write_candidate(tmp_path / "two")), True
    with pytest.raises(Failure, match="did not load version 2: ConnectionError"):
        store.serve(number, "deployed", "", server)
    assert store.serving() == 1
    assert len(store.history()) == 1


def test_a_sites_own_configuration_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, "sepsis")
    number = store.add(write_candidate(tmp_path / "candidate"))
    (store.folder / "config.pbtxt").write_text(SITES_OWN)
    assert store.serving() is None, "the newest, whichever that is"
    store.serve(number, "deployed", "other\n", None)
    text = (store.folder / "config.pbtxt").read_text()
    assert "max_batch_size: 8" in text
    assert "latest" not in text
    assert store.serving() == 1


def test_a_version_that_is_gone_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path, "sepsis")
    store.serve(store.add(write_candidate(tmp_path / "candidate")), "deployed", "", None)
    store.version(1).rename(tmp_path / "elsewhere")
    with pytest.raises(Failure, match="version 1, which is not there"):
        store.serving()


def test_looks_are_counted_before_their_result_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    one, two = (write_candidate(tmp_path / name, heart=heart) for name, heart in (("one", 0.1), ("two", 0.2)))
    assert store.count_look(one, "begun", "d").number == 1
    assert [look.outcome for look in store.looks()] == ["begun"], "a look that broke off counts"
    assert store.count_look(two, "begun", "d").number == 2
    store.settle_look(2, "accepted")
    assert [look.outcome for look in store.looks()] == ["begun", "accepted"]
    assert (store.accepted(one), store.accepted(two)) == (False, True)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WARDSTREAM_MODELS", str(tmp_path / "repository"))
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_only_what_the_gate_accepted_is_deployed(site: Path) -> None:
    candidate = write_candidate(site / "home" / "training" / "sepsis" / "abc" / "candidate")
    code, told = run("deploy", "sepsis")
    assert code == 2
    assert "the gate has not accepted" in told
    store = Store(site / "repository", "sepsis")
    store.settle_look(store.count_look(candidate, "begun", "d").number, "accepted")
    assert run("deploy", "sepsis") == (0, "version 1 of sepsis serves\n")
    code, told = run("rollback", "sepsis")
    assert (code, "no version of sepsis served before version 1" in told) == (2, True)
    assert run("deploy", "sepsis", "--candidate", candidate) == (0, "version 2 of sepsis serves\n")
    assert run("rollback", "sepsis") == (0, "version 1 of sepsis serves again\n")
    assert run("rollback", "sepsis", "--version", 7)[0] == 2


def test_rolling_back_twice_goes_back_twice(tmp_path: Path) -> None:
    """What one has gone back from is not gone back to."""
    store = Store(tmp_path / "repository", "sepsis")
    for i in (1, 2, 3):
        store.serve(store.add(write_candidate(tmp_path / f"candidate-{i}", heart=0.1 * i)), "deployed", "", None)
    for wanted in (2, 1):
        assert store.before() == wanted
        store.serve(wanted, "rolled back", "", None)
    assert store.before() is None
    store.serve(3, "rolled back", "", None)  # by its number
    assert store.before() == 1
    store.serve(store.add(write_candidate(tmp_path / "candidate-4")), "deployed", "", None)
    assert store.before() == 3


def test_the_last_look_at_a_candidate_counts(tmp_path: Path) -> None:
    """Accepted against what served then, and rejected since: it may not serve again."""
    store = Store(tmp_path / "repository", "sepsis")
    candidate = write_candidate(tmp_path / "candidate")
    for outcome, accepted in (("accepted", True), ("begun", True), ("rejected", False), ("accepted", True)):
        store.settle_look(store.count_look(candidate, "begun", "d").number, outcome)
        assert store.accepted(candidate) is accepted


def test_accepted_weights_with_another_calibration_are_another_candidate(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    candidate = write_candidate(tmp_path / "candidate")
    store.settle_look(store.count_look(candidate, "begun", "d").number, "accepted", {"lead_h": 5.0})
    assert store.accepted(candidate)
    assert store.looks()[0].measured == {"lead_h": 5.0}
    kept = (candidate / "calibration.json").read_bytes()
    (candidate / "calibration.json").write_bytes(kept.replace(b"1", b"2"))
    assert not store.accepted(candidate)
    (candidate / "calibration.json").unlink()
    assert not store.accepted(candidate)


def test_data_without_the_locked_patients_cost_no_look(site: Path) -> None:
    candidate = write_candidate(site / "candidate")
    (site / "set").mkdir()
    (site / "set" / "p000001.psv").write_bytes(psv({"HR": 80}))
    code, output = run("gate", "sepsis", site / "set", "--candidate", candidate)
    assert code == 2
    assert "not those of the training" in output
    assert Store(site / "repository", "sepsis").looks() == []


def test_weights_that_are_not_those_of_the_record_are_not_looked_at(site: Path) -> None:
    """Parity and sizes are of the weights that the record was made with."""
    candidate = write_candidate(site / "candidate", heart=0.1)
    write_model(candidate / "model.onnx", heart=0.2)
    (site / "set").mkdir()
    code, output = run("gate", "sepsis", site / "set", "--candidate", candidate)
    assert code == 2
    assert "record.json is not of this model.onnx" in output
    assert Store(site / "repository", "sepsis").looks() == []


def test_what_is_not_there_is_told(site: Path) -> None:
    for arguments, told in (
        (("evaluate", "guess", site), "there are sepsis"),
        (("evaluate", "sepsis", site), "no version of sepsis serves yet"),
        (("deploy", "sepsis"), "no candidate of sepsis"),
        (("gate", "sepsis", site), "no candidate of sepsis"),
        (("gate", "sepsis", site, "--candidate", site / "absent"), "is no candidate: it has no model.onnx"),
        (("rollback", "sepsis"), "no version of sepsis serves yet"),
        (("evaluate", "sepsis", site / "absent", "--folder", site), "no such file or folder"),
    ):
        code, output = run(*arguments)
        assert code == 2, output
        assert told in output
