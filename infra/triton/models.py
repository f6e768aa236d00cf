"""What lies in a model repository."""

from __future__ import annotations

from pathlib import Path


def models_in(repository: Path) -> dict[str, list[int]]:
    """The models of a repository that can be served, with their versions in order; see its README for the layout."""
    if not repository.is_dir():
        return {}
    found = {}
    for config in sorted(repository.glob("*/config.pbtxt")):
        networks = config.parent.glob("*/model.onnx")
        if versions := sorted(int(path.parent.name) for path in networks if path.parent.name.isdecimal()):
            found[config.parent.name] = versions
    return found
