"""Models: the types that bodies and answers are made of, as the schemas of one document."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

_REF: Final = "#/components/schemas/{model}"

#: Tells `SessionJson` from `Session` in the code; the document has only the one.
_SUFFIX: Final = "Json"


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes of the names of fields: they say the name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class Models:
    """Schemas of types: `of(Model)` is a reference where the type has a name, `schemas` is what they refer to.

    What is answered is closed: a member that its type does not know is a mistake of ours.
    """

    def __init__(self, types: Iterable[Any], *, mode: JsonSchemaMode | None = None) -> None:
        self._known = list(dict.fromkeys(types))
        inputs = [(str(n), mode or _mode(one), TypeAdapter(one)) for n, one in enumerate(self._known)]
        by_key, definitions = TypeAdapter.json_schemas(inputs, schema_generator=_Untitled, ref_template=_REF)
        self._schemas = [_renamed(by_key[key, used]) for key, used, _ in inputs]
        self.schemas: dict[str, dict[str, Any]] = {
            name.removesuffix(_SUFFIX): _renamed(schema) for name, schema in definitions.get("$defs", {}).items()
        }
        if len(self.schemas) != len(definitions.get("$defs", {})):
            raise ValueError("two types would have the same name in the document: rename one")
        for schema in self.schemas.values():
            schema.pop("title", None)
            if schema.get("type") == "object":
                schema.setdefault("additionalProperties", False)

    def of(self, model: Any) -> dict[str, Any]:
        """The schema of one of the types."""
        schema: dict[str, Any] = self._schemas[self._known.index(model)]
        return schema

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """What a schema says, with its reference followed; what stands beside the reference wins."""
        return resolved(schema, self.schemas)


def resolved(schema: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A schema with its reference followed; what stands beside the reference wins."""
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    followed: dict[str, Any] = {**resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas), **beside}
    return followed


def _renamed(schema: Any) -> Any:
    """The same with every reference to the name that the document uses."""
    if isinstance(schema, dict):
        return {key: value.removesuffix(_SUFFIX) if key == "$ref" else _renamed(value) for key, value in schema.items()}
    return [_renamed(one) for one in schema] if isinstance(schema, list) else schema


def _mode(model: Any) -> JsonSchemaMode:
    return "validation" if isinstance(model, type) and issubclass(model, BaseModel) else "serialization"
