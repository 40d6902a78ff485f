"""Exchange groups: which rows can be used."""

from __future__ import annotations

import json
from datetime import time

import pytest

from airflow_provider_dagconfig.models import ExchangeGroup, InvalidRowError


@pytest.mark.parametrize("exchanges", [[], None, [""], ["NYSE", " "], ["NYSE", None]], ids=repr)
def test_a_group_without_exchanges_names_itself_and_the_remedy(exchanges: list[str]) -> None:
    with pytest.raises(InvalidRowError, match="of exchange group asian_markets is no list of exchange codes; write at least"):
        ExchangeGroup.from_row({"group_name": "asian_markets", "display_name": "Asia", "exchanges": exchanges})


def test_a_group_becomes_json() -> None:
    group = ExchangeGroup.from_row(
        {"group_name": "lse", "display_name": "London", "exchanges": ["LSE"], "market_open_utc": time(8), "priority": None}
    )

    values = json.loads(json.dumps(group.as_dict()))

    assert (values["exchanges"], values["market_open_utc"], values["priority"]) == (["LSE"], "08:00:00", 5)
