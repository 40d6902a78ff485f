"""
Interprets the errors of kubectl: the kind of a fault, and whether it is transient. Pure.

The texts are those of kubectl 1.20 to 1.37. If the API server answered, they contain the answer's reason and sentence.
"""

from __future__ import annotations

import re
from enum import Enum

from airflow_provider_dagconfig.wording import without_user_information


class Fault(Enum):
    """The kind of fault that kubectl reported."""

    ALREADY_EXISTS = "already exists"
    CONFLICT = "conflict"
    CREDENTIALS = "no credentials"
    EXPIRED = "resource version expired"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    MISCONFIGURED = "misconfigured"
    NOT_FOUND = "not found"
    NOT_READY = "container not started"
    NOT_SUPPORTED = "not supported"
    SERVER_ERROR = "server error"
    UNAUTHORIZED = "unauthorized"
    UNREACHABLE = "unreachable"


TRANSIENT = frozenset({Fault.CREDENTIALS, Fault.SERVER_ERROR, Fault.UNREACHABLE})
"""Transient faults: they may pass without a change to the task, so the request is retried until a deadline."""

PLUGIN = "the kubeconfig's credential plugin"
"""If a message contains these words, the plugin's command is missing. A caller that can ask for the command adds it after them."""

_WORDS = {
    Fault.CREDENTIALS: "kubectl can't make the request",
    Fault.FORBIDDEN: "the API server forbids it",
    Fault.MISCONFIGURED: "kubectl can't make the request",
    Fault.SERVER_ERROR: "the API server can't serve the request",
    Fault.UNAUTHORIZED: "the API server does not take the credentials",
    Fault.UNREACHABLE: "the API server can't be reached",
}
_FAULT_BY_REASON = {
    "AlreadyExists": Fault.ALREADY_EXISTS,
    "BadRequest": Fault.INVALID,
    "Conflict": Fault.CONFLICT,
    "Expired": Fault.EXPIRED,
    "Forbidden": Fault.FORBIDDEN,
    "Gone": Fault.EXPIRED,
    "Invalid": Fault.INVALID,
    "MethodNotAllowed": Fault.NOT_SUPPORTED,
    "NotAcceptable": Fault.NOT_SUPPORTED,
    "NotFound": Fault.NOT_FOUND,
    "RequestEntityTooLarge": Fault.INVALID,
    "Unauthorized": Fault.UNAUTHORIZED,
    "UnsupportedMediaType": Fault.NOT_SUPPORTED,
}
# kubectl's sentences for an answer without a Status. It is not from an API server, but from a proxy or another service.
_FAULT_WITHOUT_STATUS = {
    "the server could not find the requested resource": Fault.UNREACHABLE,
    "the server reported a conflict": Fault.CONFLICT,
}
_CODE_WITHOUT_STATUS = re.compile(r"the server responded with the status code (\d+) but did not return more information")
_FAULT_BY_CODE = {"410": Fault.EXPIRED, "413": Fault.INVALID}

# A line of kubectl's own log, such as a warning about a deprecated plugin: "W1125 06:12:57.694534   12413 loader.go:223] ..."
_LOG_LINE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] .*\n?", re.MULTILINE)
# Beginnings of kubectl's final error. The text before it is a credential plugin's, and may look the same.
_FINAL_ERROR = re.compile(
    r"^(?:Error from server|error: |Unable to connect to the server|The connection to the server|Error in configuration|"
    r"The (?:request|\S+ \".*?\") is invalid)",
    re.MULTILINE,
)
_STATUS = re.compile(r"Error from server(?: \((\w+)\))?: ?(.*)", re.DOTALL)
_UNAUTHORIZED = re.compile(r"error: You must be logged in to the server")
# kubectl writes its own sentence for status 422.
_INVALID = re.compile(r"The (?:request|\S+ \".*?\") is invalid")
_PLUGIN = re.compile(
    r"Unable to connect to the server: (?=(?:.*: )?(?:getting credentials|failed to refresh token|No valid id-token))", re.DOTALL
)
_PLUGIN_UNUSABLE = re.compile(
    r"executable .* not found|fork/exec .*: (?:no such file|permission denied|exec format error)|is configured to use API version"
)
# kubectl's text for a plugin that succeeded and printed nothing, or JSON without an apiVersion.
_PLUGIN_SILENT = "plugin returned version client.authentication.k8s.io/__internal"
# Lines, from the end of a plugin's output; the message shows no more of it, which may be a traceback.
_PLUGIN_LINES = 10
# kubectl's errors before it has reached a server, or about a server that is not the kubeconfig's. Waiting does not help.
_MISCONFIGURED = re.compile(
    r"context .* does not exist|context was not found|error loading config|Error in configuration|"
    r"no configuration has been provided|invalid configuration|must be a URL|invalid 'proxy-url'|unknown (?:flag|command)|"
    r"unable to (?:read|load)|no such file|permission denied|error reading input|exec plugin: |auth plugin has been removed|"
    r"no Auth Provider found|x509:|first record does not look like a TLS handshake|gave HTTP response to HTTPS client|"
    r"remote error: tls: .*(?:certificate|handshake failure|protocol version)",
    re.IGNORECASE,
)


class KubectlError(Exception):
    """
    kubectl could not make a request, or the API server refused it.

    :param fault: the kind of fault.
    :param message: kubectl's sentence, which contains the API server's, without the passwords in the kubeconfig's URLs.
    :param verb: the request's name in ``requests``.
    """

    def __init__(self, fault: Fault, message: str, verb: str = "") -> None:
        message = without_user_information(message)
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.verb = verb

    @property
    def words(self) -> str:
        """What does not work, for a request that is retried."""
        return _WORDS.get(self.fault, "the API server refuses it")

    @property
    def trouble(self) -> str:
        """What does not work, and why."""
        return f"{self.words}: {self.message}"


def without_log(stderr: str) -> str:
    """Return what was written to standard error, without the lines of kubectl's own log."""
    return _LOG_LINE.sub("", stderr).strip()


def read_error(exit_code: int, stderr: str, verb: str = "") -> KubectlError:
    """Interpret what kubectl wrote to standard error. An unknown text counts as an unreachable server, and is retried."""
    text = without_log(stderr) or stderr.strip()
    signal_number = _signal_of(exit_code)
    if signal_number:
        text = f"kubectl was ended by signal {signal_number}{f': {text}' if text else ''}"
    text = text or f"kubectl ended with exit code {exit_code} and said nothing"
    final = text
    for beginning in _FINAL_ERROR.finditer(text):
        final = text[beginning.start() :]
    return KubectlError(*_read_final_error(exit_code, text, final), verb)


def _signal_of(exit_code: int) -> int:
    """Return the signal that ended kubectl, or the kubectl that a script runs; 0 if there is none."""
    return -exit_code if exit_code < 0 else exit_code - 128 if 128 < exit_code <= 192 else 0


def _read_final_error(exit_code: int, text: str, final: str) -> tuple[Fault, str]:
    if match := _STATUS.match(final):
        reason, sentence = match.groups()
        sentence = sentence.strip() or f"it gives no reason ({reason})"
        return _read_status(reason, sentence), sentence
    if _UNAUTHORIZED.match(final):
        return Fault.UNAUTHORIZED, final
    if _INVALID.match(final):
        return Fault.INVALID, final
    if match := _PLUGIN.match(final):
        return _read_plugin_error(text.removesuffix(final), final[match.end() :])
    if "error reading input" in final:
        return Fault.MISCONFIGURED, f"the kubeconfig has no credentials, and kubectl asks for a name and a password ({final})"
    if _signal_of(exit_code):
        return Fault.CREDENTIALS, text
    if exit_code in (126, 127) or _MISCONFIGURED.search(final):
        return Fault.MISCONFIGURED, text
    return Fault.UNREACHABLE, text


def _read_plugin_error(output: str, cause: str) -> tuple[Fault, str]:
    """Interpret a credential plugin's failure. The message has kubectl's words and the last lines of the plugin's output."""
    fault = Fault.MISCONFIGURED if _PLUGIN_UNUSABLE.search(cause) else Fault.CREDENTIALS
    if _PLUGIN_SILENT in cause:
        fault, cause = Fault.CREDENTIALS, f"{PLUGIN} printed no credentials ({cause})"
    elif cause.startswith("getting credentials: ") and not cause.startswith("getting credentials: exec: "):
        cause = f"{PLUGIN} can't be understood ({cause})"
    last = "\n".join([line for line in output.splitlines() if line.strip()][-_PLUGIN_LINES:])
    return fault, f"{cause}: {last}" if last else cause


def _read_status(reason: str | None, sentence: str) -> Fault:
    """Interpret an answer of the API server, or of a proxy before it."""
    if sentence in _FAULT_WITHOUT_STATUS:
        return _FAULT_WITHOUT_STATUS[sentence]
    if reason is None and (match := _CODE_WITHOUT_STATUS.match(sentence)):
        return _FAULT_BY_CODE.get(match[1], Fault.UNREACHABLE)
    if reason == "BadRequest" and "is waiting to start" in sentence:
        return Fault.NOT_READY
    if reason == "Forbidden" and "not yet ready to handle request" in sentence:  # an API server that has just started
        return Fault.SERVER_ERROR
    return _FAULT_BY_REASON.get(reason or "", Fault.SERVER_ERROR)
