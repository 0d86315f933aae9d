"""The experiments that are shipped."""

from __future__ import annotations

from conftest import ROOT

CONFIGS = sorted(p for p in (ROOT / "config").rglob("*.py") if p.parent.name != "_base_")
