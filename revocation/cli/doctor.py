"""`revocation doctor`: faults that silently break a deny-list, why they matter, and how an operator mends them."""

from collections import Counter
from typing import Final

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.progress import Progress
from revocation.cli.terminal import print_json, print_layout, safe
from revocation.doctor import UNREACHABLE, Finding, Severity, examine, in_memory

#: The mark and the style of each severity, the gravest first.
_LOOKS: Final[dict[Severity, tuple[str, str]]] = {
    "problem": ("✗", "bold red"),
    "warning": ("!", "yellow"),
    "unknown": ("?", "cyan"),
    "fine": ("✓", "green"),
}


@click.command(epilog=exits.HELP)
@click.option("--strict", is_flag=True, help="Count warnings, and what the server does not reveal, as problems.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def doctor(chosen: ChosenDenylist, *, strict: bool, as_program: bool) -> int:
    """Find faults that silently break a deny-list.

    Each finding says what is wrong, why it matters and how to mend it. Looks at eviction, memory, persistence, fsync,
    replication, replica-priority, latency, clock, acl-needed, acl-width, tls, version, lifetime, handles, epoch and
    followers, with the settings of this environment.

    Changes no revocation and no setting: it writes one key of its own, which ends after five seconds, and forgets
    followers whose lease has run out.
    """
    settings = chosen.settings
    if settings.redis_url == "memory":
        findings = [in_memory()]
    else:
        with Progress("Examining the server, its settings and those who follow"):
            findings = examine(chosen.connected(), settings=settings, url=chosen.url)
    findings.sort(key=lambda finding: list(_LOOKS).index(finding.severity))
    code = _code(findings, strict=strict)
    if as_program:
        print_json(
            {
                "server": chosen.place,
                "namespace": settings.namespace,
                "healthy": code == exits.OK,
                "findings": [
                    {
                        "check": finding.check,
                        "severity": finding.severity,
                        "what": finding.what,
                        "why": finding.why or None,
                        "mend": finding.mend or None,
                    }
                    for finding in findings
                ],
            }
        )
        return code
    click.echo(f"Deny-list {settings.namespace} on {chosen.place}\n")
    print_layout(_table(findings))
    click.echo(f"\n{_summary(findings)}")
    return code


def _code(findings: list[Finding], *, strict: bool) -> int:
    if any(finding.check == UNREACHABLE for finding in findings):
        return exits.UNAVAILABLE
    counting = ("problem", "warning", "unknown") if strict else ("problem",)
    return exits.REFUSED if any(finding.severity in counting for finding in findings) else exits.OK


def _summary(findings: list[Finding]) -> str:
    """The findings in figures, such as `1 problem, 2 warnings, 9 fine`."""
    counts = Counter(finding.severity for finding in findings)

    def counted(severity: Severity) -> str:
        plural = counts[severity] > 1 and severity in ("problem", "warning")
        return f"{counts[severity]} {severity}{'s' if plural else ''}"

    return f"{', '.join(counted(severity) for severity in _LOOKS if counts[severity])}."


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _LOOKS[finding.severity]
        lines = [Text(safe(finding.what))]
        if finding.why:
            lines.append(Text(safe(finding.why), style="dim"))
        if finding.mend:
            lines.append(Text.assemble(("mend: ", "bold"), safe(finding.mend)))
        table.add_row(Text(mark, style=style), Text(finding.check, style=style), Group(*lines))
    return table
