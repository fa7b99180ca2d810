"""`revocation check`: why a guard would accept or refuse a token."""

from dataclasses import asdict
from functools import partial
from typing import Final

import click

from revocation.bearer import Bearer
from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.explanation import explain, rows
from revocation.cli.progress import Progress
from revocation.cli.refusals import REFUSALS, refusal
from revocation.cli.terminal import print_json, print_table, safe
from revocation.cli.token_input import read_token
from revocation.cli.trust import Trust, trust_options

_VERDICTS = {
    "accepted": (exits.OK, "ACCEPTED, as of this moment."),
    "refused": (exits.REFUSED, "REFUSED"),
    "unknown": (exits.UNAVAILABLE, "NO ANSWER: a guard that has to ask gives 503, never a yes"),
}

#: The headers of an answer that tell a client what to do.
_TELLING: Final = ("WWW-Authenticate", "Retry-After")

_OWN_WORDS: Final = (
    "flask-jwt-extended answers in its own words: 401 where the token is revoked or has expired, else 422, unless the "
    "application says otherwise."
)


@click.command(epilog=exits.HELP)
@click.argument("token", required=False)
@click.option("--scope", metavar="WORDS", help="The scope that a route needs; a token that lacks a word of it is 403.")
@click.option("--reason", metavar="REASON", help="Explain the reason in an answer that somebody got, without a token.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@trust_options
@click.pass_obj
def check(
    chosen: ChosenDenylist,
    *,
    token: str | None,
    scope: str | None,
    reason: str | None,
    as_program: bool,
    trust: Trust,
) -> int:
    """Say why a guard would accept or refuse a TOKEN, and what the adapters answer.

    Shows every step of the decision that a strict guard takes at this moment. Reads the token from standard input
    (TOKEN is - or missing), so that no shell keeps it in its history. Neither prints nor keeps the token.
    """
    if reason is not None:
        return _explain_reason(reason, as_program=as_program)
    verifier = trust.verifier(chosen)
    given = read_token(token)
    with Progress("Asking for the keys of the issuer, and the deny-list"):
        explanation = explain(given, verifier, partial(chosen.connected, decides=True), scope=scope)
    code, sentence = _VERDICTS[explanation.verdict]
    in_own_words = trust.of_jwt_extended and explanation.verdict == "refused"
    answer = None if explanation.error is None or in_own_words else Bearer().answer(explanation.error)
    if as_program:
        print_json(
            {
                "verdict": explanation.verdict,
                "reason": explanation.reason,
                "steps": [
                    {"step": step.name, "outcome": step.outcome, "seen": step.seen} for step in explanation.steps
                ],
                "answer": answer and {"status": answer.status, "headers": dict(answer.headers)},
            }
        )
        return code
    print_table(("", "step", "seen"), rows(explanation))
    click.echo("")
    if explanation.reason is not None:
        told = [f"{name}: {value}" for name, value in answer.headers if name in _TELLING] if answer else []
        click.echo(safe(f"The adapters answer {', '.join([answer.status_line, *told])}") if answer else _OWN_WORDS)
        known = refusal(explanation.reason)
        click.echo(f"To mend it: {known.mend}." if known else "")
    click.echo(f"{sentence}{f' ({explanation.reason}).' if explanation.reason else ''}")
    return code


def _explain_reason(reason: str, *, as_program: bool) -> int:
    known = refusal(reason)
    if known is None:
        raise click.UsageError(f"No adapter answers with the reason {reason!a}. There are: {', '.join(REFUSALS)}.")
    if as_program:
        print_json({"reason": reason, **asdict(known)})
    else:
        click.echo(f"{known.status} {reason}: {known.meaning} To mend it: {known.mend}.")
    return exits.OK
