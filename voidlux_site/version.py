"""The version of this program, the same as in the project file."""

from __future__ import annotations

VERSION = "0.1.0"
