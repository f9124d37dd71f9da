from __future__ import annotations

from pathlib import Path

import pytest

from engine_build import generate


@pytest.fixture(scope="session")
def engine_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `_pool.c`, made of the sources as they are."""
    return generate(tmp_path_factory.mktemp("engine"))
