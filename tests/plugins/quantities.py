"""Texts that Kubernetes accepts as quantities, and some that it would cap or round."""

from __future__ import annotations

from hypothesis import strategies as st

SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]

numbers = st.from_regex(r"[+-]?([0-9]{1,6}(\.[0-9]{0,3})?|\.[0-9]{1,3})", fullmatch=True)
exponents = st.builds(str.__add__, st.sampled_from(["e", "E", "e+", "E-", "e-"]), st.sampled_from(["0", "3", "06"]))
quantity_texts = st.builds(str.__add__, numbers, st.sampled_from(SUFFIXES) | exponents)
