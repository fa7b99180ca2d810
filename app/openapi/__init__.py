"""The description of the HTTP interface (OpenAPI 3.1), made of the routes themselves."""

from app.openapi.operation import Answer, operation

__all__ = ["Answer", "operation"]
