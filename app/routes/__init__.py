"""The HTTP interface, a file for each part of it."""

from app.routes import (
    admin,
    auth,
    console,
    demo,
    docs,
    oauth,
    operations,
    pages,
    playground,
    resources,
    verify,
    wellknown,
)

#: What every service serves, pages last. What the playground calls is for the embedded store only.
BLUEPRINTS = tuple(
    module.routes
    for module in (
        *(auth, oauth, wellknown, verify, admin, resources, operations),
        *(docs, pages, playground, console),
    )
)

__all__ = ["BLUEPRINTS", "demo", "verify"]
