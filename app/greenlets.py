"""Imported before anything else by a service that runs on gevent: it makes the standard library cooperative."""

import os
import sys

if os.environ.get("APP_WORKER_CLASS") == "gevent" and sys.argv[1:2] == ["serve"]:
    from gevent import monkey

    monkey.patch_all()
