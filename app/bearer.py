"""The one BearerAuth that all routes share."""

from app.scopes import ADMIN_SCOPE
from revocation.flask import BearerAuth

bearer = BearerAuth()

#: Every route for administrators needs their scope, and asks Redis.
admin_required = bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
