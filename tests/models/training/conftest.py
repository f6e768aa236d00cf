"""Tests of nets are collected where torch is: in the environment of `make train-env`, by `make test-train`."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["test_chest_xray.py", "test_explained.py", "test_nets.py"]
