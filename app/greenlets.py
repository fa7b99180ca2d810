"""Greenlets: makes the standard library cooperative in a service that runs on gevent, before anything else runs."""

import os
import sys

if os.environ.get("APP_WORKER_CLASS") == "gevent" and sys.argv[1:2] == ["serve"]:
    from gevent import monkey

    monkey.patch_all()
