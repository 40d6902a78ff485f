"""
Names and labels of pods: pure functions of the ids that Airflow gives a task instance.

In it: rules that make a pod's name valid, recognizable and unique to a task instance; rules that make a text a label's value; and
Kubernetes' rules for names and keys. Not in it: which labels and annotations a pod gets (manifest.py).

Airflow's ids are wider than Kubernetes' names: a dag's or task's id has up to 250 word characters of any script, dots and dashes,
and a run's id has whatever ``[scheduler] allowed_run_id_pattern`` permits.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

MAX_LABEL_LENGTH = 63
"""Characters (Kubernetes: Names, RFC 1123 label); longer texts are shortened. Label values and keys' names have this limit."""

_DIGEST_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The alphabet of Kubernetes' own suffixes (apimachinery, util/rand): no vowels, so no words, and no easily confused characters."""

_DIGEST_LENGTH = 12
"""Characters. 27 ** 12 is 57 bits: of ten million pods with the same words, two share a name with a chance of 1 in 3,000."""

_RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RFC_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", re.ASCII)


def pod_name(
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int | None = -1,
    name: str | None = None,
    installation: str | None = None,
) -> str:
    """
    Return the name of a task instance's pod: ``collect-data-collection-equities-20251028t213000-0-k7x2mzq4bw9c``.

    The words make the name recognizable and are shortened if necessary. The last one is a digest of the installation and the four
    ids, so names differ if any id differs in any character. All tries of a task instance have the same name: the API server
    refuses a second pod beside one that exists.

    :param map_index: -1 or None for a task that is not mapped
    :param name: the first word, instead of the task's id. It must be the same for every try (no try number, no time of day in it),
        or each try has its own pod.
    :param installation: the id of this Airflow; None gives the name from before installations had ids
    :return: an RFC 1123 label of at most 63 characters
    """
    map_index = -1 if map_index is None else int(map_index)
    ids = (dag_id, run_id, task_id, map_index)
    tail = [digest(*ids) if installation is None else digest(installation, *ids)]
    if map_index >= 0:
        tail.insert(0, str(map_index))
    words = [word for word in (slug(name or "") or slug(task_id), slug(dag_id), _run_word(run_id)) if word]
    words = words or ["pod"]
    room = MAX_LABEL_LENGTH - len("-".join(["", *tail])) - (len(words) - 1)
    return "-".join([*shorten(words, room), *tail])


def slug(text: str) -> str:
    """
    Return a text as lower case letters, digits and single dashes. Accents are removed, all else becomes a dash. May be empty.

    The Unicode tables are those of version 3.2, which every Python has, so workers with different Pythons agree on a name.
    """
    tables = unicodedata.ucd_3_2_0
    plain = "".join(c for c in tables.normalize("NFKD", text) if not tables.combining(c))
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()


def digest(*ids: str | int, length: int = _DIGEST_LENGTH) -> str:
    """Return letters and digits, of 4.75 bits each, that differ if an id differs: no two lists of ids have the same encoding."""
    canonical = json.dumps(ids, ensure_ascii=False).encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.sha256(canonical).digest(), "big")
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(_DIGEST_ALPHABET))
        letters.append(_DIGEST_ALPHABET[letter])
    return "".join(letters)


def shorten(words: list[str], room: int) -> list[str]:
    """Cut the longest words until all words together have at most ``room`` characters. Short words stay whole."""
    cap = max((n for n in range(1, room + 1) if sum(min(len(word), n) for word in words) <= room), default=1)
    spare = room - sum(min(len(word), cap) for word in words)
    shortened = []
    for word in words:
        extra = min(max(len(word) - cap, 0), spare)
        spare -= extra
        shortened.append(word[: cap + extra].strip("-"))
    return shortened


def label_value(text: str) -> str:
    """
    Return a text as a label's value: unchanged if it is valid, else its allowed characters and a hash of it.

    KubernetesPodOperator makes the same value of the same text (``make_safe_label_value``), so selectors written for its pods find
    ours. If that function fails (a lone surrogate) or its value is not valid (no allowed character but the hash), ours is valid.

    :return: at most 63 letters, digits, ``-``, ``_`` and ``.``, a letter or digit at both ends; empty for an empty text
    """
    if is_label_value(text):
        return text
    kept = re.sub(r"[^A-Za-z0-9_.-]", "", text).strip("-_.")
    hashed = hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:9]
    return f"{kept[: MAX_LABEL_LENGTH - len(hashed) - 1]}-{hashed}" if kept else hashed


def is_label_value(text: str) -> bool:
    """Return whether a text is valid (Kubernetes: Labels and Selectors, Syntax and character set, of values)."""
    return len(text) <= MAX_LABEL_LENGTH and (text == "" or _QUALIFIED_NAME.fullmatch(text) is not None)


def is_qualified_name(key: str) -> bool:
    """Return whether a key is valid, as ``name`` or ``example.com/name`` (Kubernetes: Labels and Selectors, Syntax, of keys)."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(name) <= MAX_LABEL_LENGTH and _QUALIFIED_NAME.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    """Return whether a name is valid (Kubernetes: Names, RFC 1123 subdomain, 253 characters)."""
    return len(name) <= 253 and _RFC_1123_SUBDOMAIN.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Return whether a name is valid (Kubernetes: Names, RFC 1123 label, 63 characters)."""
    return len(name) <= MAX_LABEL_LENGTH and _RFC_1123_LABEL.fullmatch(name) is not None


def _run_word(run_id: str) -> str:
    """Return the part of a run id that a person looks for: its date and time, ``20251028t213000``, if it has them."""
    timestamp = _TIMESTAMP.search(run_id)
    if timestamp is None:
        return slug(run_id)
    year, month, day, hour, minute, second = timestamp.groups()
    return f"{year}{month}{day}t{hour}{minute}{second}"
