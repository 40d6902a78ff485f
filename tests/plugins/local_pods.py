"""The stand-in for a cluster: one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.local_pods import LocalPods, running


@pytest.fixture(scope="session")
def local_pods() -> Iterator[LocalPods]:
    """Yield running local pods: ``.kubeconfig`` is the path of the kubeconfig, ``.pid`` the server's process id."""
    with running() as pods:
        yield pods
