"""`revocation check`: why a guard would accept or refuse a token."""

import click

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.explanation import explain, rows
from revocation.cli.terminal import print_json, print_table
from revocation.cli.token_input import read_token
from revocation.cli.trust import Trust, trust_options

_VERDICTS = {
    "accepted": (exits.OK, "ACCEPTED, as of this moment."),
    "refused": (exits.REFUSED, "REFUSED"),
    "unknown": (exits.UNAVAILABLE, "NO ANSWER: a guard that has to ask gives 503, never a yes"),
}


@click.command(epilog=exits.HELP)
@click.argument("token", required=False)
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@trust_options
@click.pass_obj
def check(chosen: ChosenDenylist, *, token: str | None, as_program: bool, trust: Trust) -> int:
    """Say why a guard would accept or refuse a TOKEN.

    Shows every step of the decision that a strict guard takes at this moment. Reads the token from standard input
    (TOKEN is - or missing), so that no shell keeps it in its history. Neither prints nor keeps the token.
    """
    verifier = trust.verifier(chosen)
    explanation = explain(read_token(token), verifier, chosen.connected)
    code, sentence = _VERDICTS[explanation.verdict]
    if as_program:
        print_json(
            {
                "verdict": explanation.verdict,
                "reason": explanation.reason,
                "steps": [
                    {"step": step.name, "outcome": step.outcome, "seen": step.seen} for step in explanation.steps
                ],
            }
        )
        return code
    print_table(("", "step", "seen"), rows(explanation))
    click.echo(f"\n{sentence}{f' ({explanation.reason}).' if explanation.reason else ''}")
    return code
