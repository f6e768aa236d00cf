"""Which models a repository has."""

from __future__ import annotations

from pathlib import Path

from wardstream.infra.triton.models import models_in


def test_a_model_is_a_config_and_a_version_with_a_network(tmp_path: Path) -> None:
    for name in ("a/1", "a/10", "a/2", "a/coming-11", "b/1", "no-config/1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.onnx").touch()
    (tmp_path / "no-version").mkdir()
    for name in ("a", "b", "no-version"):
        (tmp_path / name / "config.pbtxt").touch()
    (tmp_path / "README.md").touch()
    assert models_in(tmp_path) == {"a": [1, 2, 10], "b": [1]}
    assert models_in(tmp_path / "nowhere") == {}
