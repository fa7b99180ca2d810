"""The service: sign in, call an API, log out, and be refused at once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings


def create_app(settings: "Settings") -> "Flask":
    """The Flask application. Needs what `python -m app init` makes, and asks no server yet."""
    # prometheus_client decides at its import whether it counts for one process or for several, and
    # `python -m app serve` says so after it has imported this module.
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from app import browsers, logs, metrics, problems
    from app.bearer import bearer
    from app.mount import Mount, path_of
    from app.routes import BLUEPRINTS, demo, verify
    from app.service import Service

    service = Service.of(settings)
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = problems.MAX_BODY_BYTES
    # A redirect to a path with fewer slashes would name a host that the client made up.
    app.url_map.merge_slashes = False
    app.extensions["service"] = service
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]  # as Flask documents it
    app.wsgi_app = verify.Questions(app.wsgi_app)  # type: ignore[method-assign]  # as Flask documents it
    logs.init_app(app)
    metrics.init_app(app)
    service.audit_copier.on_look = metrics.AUDIT_BEHIND.set
    service.debt_payer.on_look = metrics.CHANGES_OWED.set
    problems.register(app)
    browsers.init_app(app, origins=settings.cors_origins)
    bearer.init_app(app, guard=service.guard)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    if settings.is_embedded:
        app.register_blueprint(demo.routes)
    metrics.expect_errors(app)
    if path_of(settings.issuer):
        names = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
        app.wsgi_app = Mount(app.wsgi_app, issuer=settings.issuer, names=names)  # type: ignore[method-assign]  # as Flask documents it
    return app
