"""What test_quantity.py of the models says about Kubernetes' quantities, asked of a real API server (dry runs)."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugins.cluster import Namespace

from airflow_provider_dagconfig.models import Quantity

pytestmark = pytest.mark.cluster

ask = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.from_regex(r"\+?([0-9]{1,6}(\.[0-9]{0,3})?|\.[0-9]{1,3})", fullmatch=True)
suffixes = st.sampled_from(["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
exponents = st.builds(str.__add__, st.sampled_from(["e", "E", "e+", "E-", "e-"]), st.sampled_from(["0", "3", "06"]))


def is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except ValueError:
        return False
    return True


def taken(namespace: Namespace, *texts: str) -> list[str]:
    """The memory limits that the API server returns for these texts, one container each."""
    containers = [
        {"name": f"c{number}", "image": "busybox", "resources": {"limits": {"memory": text}}} for number, text in enumerate(texts)
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "quantities"}, "spec": {"containers": containers}}
    answer = namespace.cluster.kubectl("create", "--raw", f"{namespace.path}?dryRun=All", "-f", "-", body=pod)
    return [container["resources"]["limits"]["memory"] for container in json.loads(answer)["spec"]["containers"]]


@ask
@given(texts=st.lists(st.builds(str.__add__, numbers, suffixes | exponents).filter(is_quantity), min_size=1, max_size=20))
def test_the_api_server_takes_every_quantity_for_the_same_value(real_namespace: Namespace, texts: list[str]) -> None:
    for text, made in zip(texts, taken(real_namespace, *texts), strict=True):
        # Amounts of a container are kept in whole thousandths.
        assert Quantity.parse(made).value == Fraction(math.ceil(Quantity.parse(text).value * 1000), 1000)


@pytest.mark.parametrize("text", ["lots", "2 GB", "1K", "1ki", "1gi", "1mm", "1e", "1e1.5", "--1", "1..5", "1,5", "0x10", "NaN"])
def test_the_api_server_refuses_what_is_no_quantity(real_namespace: Namespace, text: str) -> None:
    assert not is_quantity(text)
    with pytest.raises(AssertionError, match="quantit"):
        taken(real_namespace, text)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        pytest.param("0.1n", "1m", id="rounded up"),
        pytest.param("9Ei", "9223372036854775807", id="capped"),
        pytest.param("m", "0", id="no number at all"),
    ],
)
def test_what_the_api_server_would_change_silently_is_refused(real_namespace: Namespace, text: str, made: str) -> None:
    assert taken(real_namespace, text) == [made]
    assert not is_quantity(text)
