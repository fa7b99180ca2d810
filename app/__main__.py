"""`python -m app`: init, serve, users, clients, keys."""

import app.greenlets  # noqa: F401  # gevent patches only what nobody has imported yet
from app.commands import main

if __name__ == "__main__":
    main()
