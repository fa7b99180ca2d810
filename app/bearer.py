"""The one BearerAuth that all routes share."""

from revocation.flask import BearerAuth

bearer = BearerAuth()

#: Every admin route needs this scope, and asks Redis.
ADMIN_SCOPE = "revocation:admin"
