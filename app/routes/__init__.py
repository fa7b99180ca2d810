"""The HTTP interface, a file for each part of it."""

from app.routes import (
    admin,
    auth,
    console,
    docs,
    oauth,
    operations,
    pages,
    playground,
    resources,
    verify,
    wellknown,
)

#: What every service serves, pages last. The playground has a further part, for a service that is a demonstration.
BLUEPRINTS = tuple(
    module.routes
    for module in (
        *(auth, oauth, wellknown, verify, admin, resources, operations),
        *(docs, pages, playground, console),
    )
)

__all__ = ["BLUEPRINTS", "playground", "verify"]
