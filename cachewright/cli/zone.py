"""Zones on the command line: by letter, or by name."""

from __future__ import annotations

import typer

from cachewright.cli.server import Server


def zone_names(server: Server, given: str | None, option: str = "--zones") -> list[str]:
    """The names of the zones given as ``a,b,c`` or ``us-east-1a``. A usage error for a letter that no zone has."""
    asked = [one.strip() for one in (given or "").split(",") if one.strip()]
    if not any(len(one) == 1 for one in asked):
        return asked
    by_letter = {zone["zone"][-1]: zone["zone"] for zone in server.get("zones")["zones"]}
    unknown = [one for one in asked if len(one) == 1 and one not in by_letter]
    if unknown:
        raise typer.BadParameter(f"there is no zone {unknown[0]}; there are {', '.join(by_letter)}.", param_hint=option)
    return [by_letter.get(one, one) for one in asked]
