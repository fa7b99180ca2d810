"""`revocation check`: why a token would be accepted or refused."""

import click

from revocation.cli import exits
from revocation.cli.steps import explain, rows
from revocation.cli.target import Target
from revocation.cli.terminal import print_json, print_table
from revocation.cli.tokens import Trust, read_token, trust_options

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
def check(target: Target, *, token: str | None, as_program: bool, trust: Trust) -> int:
    """Say why a TOKEN would be accepted or refused.

    Step by step, as a strict guard decides it now. The token is read from standard input (`-` or nothing), so that it
    need not stand in the history of a shell. It is not printed and not kept.
    """
    verifier = trust.verifier(target)
    explanation = explain(read_token(token), verifier, target.denylist)
    code, sentence = _VERDICTS[explanation.verdict]
    if as_program:
        print_json(
            {
                "verdict": explanation.verdict,
                "reason": explanation.reason,
                "steps": [{"step": one.name, "outcome": one.outcome, "seen": one.seen} for one in explanation.steps],
            }
        )
        return code
    print_table(("", "step", "seen"), rows(explanation))
    click.echo(f"\n{sentence}{f' ({explanation.reason}).' if explanation.reason else ''}")
    return code
