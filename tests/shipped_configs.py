"""The experiments that are shipped."""

from __future__ import annotations

from conftest import ROOT

CONFIGS = sorted(p for p in (ROOT / "config").rglob("*.py") if "_base_" not in p.parts)
