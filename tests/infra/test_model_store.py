"""Versions of a model: added, served, taken back; looks counted; a server that refuses changes nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.infra.feeds.test_challenge2019 import psv
from tests.models.training.tiny import write_candidate, write_model
from wardstream.infra.cli import main
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store
from wardstream.infra.stays import code_hash, read
from wardstream.models.training.sepsis import RECIPE
from wardstream.models.training.splits import fingerprint
from wardstream.models.triton import Unavailable

SITES_OWN = 'backend: "onnxruntime"\nmax_batch_size: 8\nversion_policy: { latest: { num_versions: 1 } }\n'


class Server:
    """Loads what the repository says, or refuses."""

    def __init__(self, store: Store) -> None:
        self.store, self.loaded, self.refuses = store, list[int | None](), False

    def load(self, model: str) -> None:
        assert model == "sepsis"
        if self.refuses:
            self.refuses = False
            raise Unavailable("rejected", "failed to load 'sepsis'")
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
    config = (store.folder / "config.pbtxt").read_bytes()
    server.refuses = True
    with pytest.raises(Failure, match="did not load version 2: rejected: failed to load 'sepsis'"):
        store.deploy(write_candidate(tmp_path / "two"), "", server)
    assert (store.versions(), store.serving(), store.before()) == ([1], 1, None), "nothing is left of it"
    assert (store.folder / "config.pbtxt").read_bytes() == config
    assert (store.folder / "card.md").read_text() == "card of one\n"
    assert server.loaded == [1, 1], "a server that was only late is not left with what is not there"
    assert store.deploy(write_candidate(tmp_path / "three"), "", server) == 2
    server.refuses = True
    with pytest.raises(Failure, match="did not load version 1"):
        store.serve(1, "rolled back", "", server)
    assert (store.versions(), store.serving()) == ([1, 2], 2)


def test_a_version_that_serves_stays_whatever_goes_wrong_afterwards(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    (store.folder / "history.json.part").mkdir(parents=True)  # so that no history can be written
    with pytest.raises(OSError, match=r"history\.json"):
        store.deploy(write_candidate(tmp_path / "one"), "", Server(store))
    assert (store.versions(), store.serving()) == ([1], 1)


def test_a_first_version_that_is_refused_leaves_no_model(tmp_path: Path) -> None:
    store = Store(tmp_path / "repository", "sepsis")
    server = Server(store)
    server.refuses = True
    with pytest.raises(Failure, match="did not load version 1"):
        store.deploy(write_candidate(tmp_path / "one"), 'backend: "onnxruntime"\n', server)
    assert list(store.folder.iterdir()) == []


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
    candidate = write_candidate(site / "home" / "training" / "sepsis" / "abc" / "candidate", code_hash=code_hash())
    code, told = run("deploy", "sepsis")
    assert code == 2
    assert "the gate has not accepted" in told
    store = Store(site / "repository", "sepsis")
    store.settle_look(store.count_look(candidate, "begun", "d").number, "accepted")
    told_nobody = (
        "is the one to serve: a server that starts takes it (WARDSTREAM_TRITON_URL is not set, so none was told)"
    )
    assert run("deploy", "sepsis") == (0, f"version 1 of sepsis {told_nobody}\n")
    code, told = run("rollback", "sepsis")
    assert (code, "no version of sepsis served before version 1" in told) == (2, True)
    assert run("deploy", "sepsis", "--candidate", candidate) == (0, f"version 2 of sepsis {told_nobody}\n")
    assert run("rollback", "sepsis") == (0, f"version 1 of sepsis {told_nobody}\n")
    assert run("rollback", "sepsis", "--version", 7)[0] == 2
    store.add(candidate)
    code, told = run("rollback", "sepsis", "--version", 3)
    assert (code, "version 3 of sepsis has never been deployed" in told) == (2, True)


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


def patients(site: Path, count: int = 3) -> Path:
    folder = site / "set"
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"p{number}.psv").write_bytes(psv({"HR": 80 + number, "Resp": 18, "O2Sat": 96, "SBP": 120}))
    return folder


def locked_of(data: Path) -> str:
    with TemporaryDirectory() as cache:
        return fingerprint(RECIPE.locked(read([data], Path(cache), lambda *_: None)[0]))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "record.json: Input data was truncated"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "record.json: "),
        (lambda path: path.write_text("[]"), "record.json: Expected `object`, got `array`"),
        (lambda path: edit(path, b'"locked": ', b'"loked": '), "`locked`"),
        (lambda path: edit(path, b'"sepsis"', b'"chest_xray"'), "of another model than sepsis - at `$.model`"),
    ],
    ids=["torn", "bytes", "array", "field", "other"],
)
def test_a_record_that_cannot_be_read_is_told_by_file_and_field(site: Path, spoil: Any, told: str) -> None:
    candidate, data = write_candidate(site / "candidate"), patients(site)
    spoil(candidate / "record.json")
    for arguments in (
        ("gate", "sepsis", data, "--candidate", candidate),
        ("deploy", "sepsis", "--candidate", candidate),
        ("evaluate", "sepsis", data, "--folder", candidate),
    ):
        code, output = run(*arguments)
        assert (code, told in output, str(candidate / "record.json") in output) == (2, True, True), output
    assert Store(site / "repository", "sepsis").looks() == []


def edit(path: Path, old: bytes, new: bytes) -> None:
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("record.json", b'"sizes"', b'"size"', "record.json: Object contains unknown field `size`"),
        ("calibration.json", b'"platt"', b"2", "calibration.json: "),
        ("calibration.json", b"}", b"", "calibration.json: Input data was truncated"),
    ],
)
def test_what_only_the_recipe_reads_is_told_too(site: Path, name: str, old: bytes, new: bytes, told: str) -> None:
    candidate = write_candidate(site / "candidate")
    edit(candidate / name, old, new)
    code, output = run("evaluate", "sepsis", patients(site), "--folder", candidate)
    assert (code, told in output) == (2, True), output


def test_a_model_of_another_kind_is_told(site: Path) -> None:
    """Where only a chest film's record has what is asked for."""
    films = site / "films.npz"
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(films, train_images=images, train_labels=np.arange(20) % 2)
    candidate = write_candidate(site / "candidate")
    for arguments in (
        ("gate", "chest_xray", films, "--candidate", candidate),
        ("deploy", "chest_xray", "--candidate", candidate),
        ("evaluate", "chest_xray", films, "--folder", candidate),
    ):
        code, output = run(*arguments)
        assert (code, "of another model than chest_xray - at `$.model`" in output) == (2, True), output
    edit(candidate / "record.json", b'"sepsis"', b'"chest_xray"')
    code, output = run("evaluate", "chest_xray", films, "--folder", candidate)
    assert (code, "`open_with_pneumonia` - at `$.sizes`" in output) == (2, True), output


@pytest.mark.parametrize("name", ["looks.json", "history.json"])
def test_a_torn_list_of_the_store_is_told_and_nothing_changes(site: Path, name: str) -> None:
    store = Store(site / "repository", "sepsis")
    data = patients(site)
    candidate = write_candidate(site / "candidate", locked=locked_of(data))
    store.serve(store.add(candidate), "deployed", "", None)
    store.settle_look(store.count_look(candidate, "begun", "d").number, "accepted")
    (store.folder / name).write_bytes((store.folder / name).read_bytes()[:-5])
    before = (store.folder / "config.pbtxt").read_bytes(), (store.folder / name).read_bytes()
    asked = [("deploy", "sepsis", "--candidate", candidate)]
    asked += [("gate", "sepsis", data, "--candidate", candidate)] if name == "looks.json" else []
    asked += [("rollback", "sepsis")] if name == "history.json" else []
    for arguments in asked:
        code, output = run(*arguments)
        assert (code, f"{name}: Input data was truncated" in output) == (2, True), output
    assert ((store.folder / "config.pbtxt").read_bytes(), (store.folder / name).read_bytes()) == before
    assert store.versions() == [1]


def test_a_serving_version_that_cannot_be_read_costs_no_look(site: Path) -> None:
    store = Store(site / "repository", "sepsis")
    store.serve(store.add(write_candidate(site / "one")), "deployed", "", None)
    (store.version(1) / "record.json").write_bytes(b"{")
    data = patients(site)
    candidate = write_candidate(site / "candidate", locked=locked_of(data))
    code, output = run("gate", "sepsis", data, "--candidate", candidate)
    assert (code, "1/record.json: Input data was truncated" in output) == (2, True), output
    assert store.looks() == []


def test_other_code_than_made_it_is_told_and_kept_with_the_look(site: Path) -> None:
    data, store = patients(site, 40), Store(site / "repository", "sepsis")
    locked = locked_of(data)
    told = "the code that this model was made with (code_hash in record.json) has another text now"
    for number, (code, differs) in enumerate((("c" * 64, True), (code_hash(), False))):
        candidate = write_candidate(site / f"candidate-{number}", locked=locked, code_hash=code)
        for arguments in (
            ("evaluate", "sepsis", data, "--folder", candidate),
            ("gate", "sepsis", data, "--candidate", candidate),
        ):
            _, output = run(*arguments)
            assert (told in output) is differs, output
        look = store.looks()[-1]
        assert (look.outcome, look.code_differs) == ("not_enough_data", differs)
        store.settle_look(look.number, "accepted")
        status, output = run("deploy", "sepsis", "--candidate", candidate)
        assert (status, told in output) == (0, differs)


def test_a_part_of_the_locked_is_told(site: Path) -> None:
    """Ids alone do not say whose they are, so nobody is left out, and what it would mean is said."""
    data = patients(site, 30)
    with TemporaryDirectory() as cache:
        locked = len(RECIPE.locked(read([data], Path(cache), lambda *_: None)[0]))
    assert locked
    code, output = run("evaluate", "sepsis", data, "--folder", write_candidate(site / "candidate"))
    assert code == 0, output
    assert f"if these are patients of the training, {locked} of them are locked" in output
