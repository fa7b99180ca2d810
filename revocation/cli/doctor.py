"""`revocation doctor`: what silently breaks a deny-list, why it matters, and how to mend it."""

from collections import Counter
from typing import Final

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from revocation.cli import exits
from revocation.cli.target import Target
from revocation.cli.terminal import print_json, print_layout, safe
from revocation.doctor import UNREACHABLE, Finding, Severity, examine, in_memory

_LOOKS: Final[dict[Severity, tuple[str, str]]] = {
    "problem": ("✗", "bold red"),
    "warning": ("!", "yellow"),
    "unknown": ("?", "cyan"),
    "fine": ("✓", "green"),
}


@click.command(epilog=exits.HELP)
@click.option("--strict", is_flag=True, help="Warnings, and what cannot be known, count as problems.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def doctor(target: Target, *, strict: bool, as_program: bool) -> int:
    """Find what silently breaks a deny-list.

    Each finding says what, why it matters and how to mend it. Looks at eviction, memory, persistence, replicas,
    latency, clocks, rights, TLS, version, lifetimes, epoch and followers, with the settings of this environment.
    Changes nothing.
    """
    settings = target.settings
    if settings.redis_url == "memory":
        findings = [in_memory()]
    else:
        findings = examine(target.denylist(), settings=settings, url=target.url)
    findings.sort(key=lambda one: list(_LOOKS).index(one.severity))
    code = _code(findings, strict=strict)
    if as_program:
        print_json(
            {
                "server": target.where,
                "namespace": target.settings.namespace,
                "healthy": code == exits.OK,
                "findings": [
                    {
                        "check": one.check,
                        "severity": one.severity,
                        "what": one.what,
                        "why": one.why or None,
                        "mend": one.mend or None,
                    }
                    for one in findings
                ],
            }
        )
        return code
    click.echo(f"Deny-list {target.settings.namespace} on {target.where}\n")
    print_layout(_table(findings))
    counted = Counter(one.severity for one in findings)
    told = [f"{counted[name]} {word}" for name, word in _words(counted) if counted[name]]
    click.echo(f"\n{', '.join(told)}.")
    return code


def _code(findings: list[Finding], *, strict: bool) -> int:
    if any(one.check == UNREACHABLE for one in findings):
        return exits.UNAVAILABLE
    counting = ("problem", "warning", "unknown") if strict else ("problem",)
    return exits.REFUSED if any(one.severity in counting for one in findings) else exits.OK


def _words(counted: Counter[Severity]) -> list[tuple[Severity, str]]:
    def plural(name: Severity) -> str:
        return name if counted[name] == 1 else f"{name}s"

    return [("problem", plural("problem")), ("warning", plural("warning")), ("unknown", "unknown"), ("fine", "fine")]


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        mark, style = _LOOKS[one.severity]
        lines = [Text(safe(one.what))]
        if one.why:
            lines.append(Text(safe(one.why), style="dim"))
        if one.mend:
            lines.append(Text.assemble(("mend: ", "bold"), safe(one.mend)))
        table.add_row(Text(mark, style=style), Text(one.check, style=style), Group(*lines))
    return table
