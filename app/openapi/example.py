"""Example: a value as a schema describes it, put together from the examples of its parts."""

from typing import Any

from app.openapi.models import resolved


def example(schema: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> Any:
    """The example of a schema, or one made of its members: all that must be there and all that have an example."""
    schema = resolved(schema, schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example(next(one for one in schema["anyOf"] if one.get("type") != "null"), schemas)
    match schema.get("type"):
        case "object":
            return {name: example(member, schemas) for name, member in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"], schemas)] if "items" in schema else []
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 0)
        case _:
            return "..."
