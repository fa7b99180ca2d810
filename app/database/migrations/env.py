"""Alembic runs this file for each upgrade, on the connection and in the transaction of `app.database.schema`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
