"""The command that asks for an operation, as somebody would type it."""

import json
import shlex
from typing import Any
from urllib.parse import quote, urlencode

from app.openapi.refusals import BEARER


def curl(address: str, path: str, method: str, operation: dict[str, Any]) -> str:
    """A curl command with the examples of the document, over several lines; credentials are shell variables."""
    url = address + path
    query = {}
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            url = url.replace(f"{{{one['name']}}}", quote(str(one.get("example", "...")), safe="/"))
        elif one["required"]:
            query[one["name"]] = one.get("example", "...")
    if query:
        url += "?" + urlencode(query)
    lines = [f"curl {shlex.quote(url)}"]
    content = operation.get("requestBody", {}).get("content", {})
    if method == "HEAD":
        lines[0] = f"curl --head {shlex.quote(url)}"
    elif method != ("POST" if content else "GET"):
        lines[0] = f"curl -X {method} {shlex.quote(url)}"
    lines += [_credentials(scheme) for scheme in operation.get("security", [{}])[0]]
    for media_type, body in content.items():
        if media_type == "application/json":
            lines.append(f"-H 'Content-Type: {media_type}'")
            lines.append("-d " + shlex.quote(json.dumps(body["example"])))
        else:
            lines += _form(body["example"])
    return " \\\n  ".join(lines)


def _credentials(scheme: str) -> str:
    return '-H "Authorization: Bearer $TOKEN"' if scheme == BEARER else '-u "$CLIENT_ID:$CLIENT_SECRET"'


def _form(example: dict[str, Any]) -> list[str]:
    return [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in example.items()]
