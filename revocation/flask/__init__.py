"""Flask: routes that a guard protects, and the answers of RFC 6750 and 9457 to what it refuses."""

from revocation.extras import extra

with extra("flask", brings="flask", needed_by="revocation.flask"):
    from revocation.flask.auth import BearerAuth
    from revocation.flask.cookies import TokenCookies
    from revocation.flask.document import describe
    from revocation.flask.requests import bearer_token, decision_of
    from revocation.flask.requirement import Requirement, requirement

__all__ = ["BearerAuth", "Requirement", "TokenCookies", "bearer_token", "decision_of", "describe", "requirement"]
