"""The command line for the tests beside this file."""

from __future__ import annotations

from plugins.command_line import dagconfig

__all__ = ["dagconfig"]
