"""The stand-in for a cluster: one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.local_pods import LocalPods, running


@pytest.fixture(scope="session")
def local_pods() -> Iterator[LocalPods]:
    """Local pods that run; ``.kubeconfig`` is the path of the kubeconfig, ``.pid`` the server's process."""
    with running() as pods:
        yield pods
