"""`python -m app`: what an operator does with the service; its commands are in `app/commands/`."""

if __name__ == "__main__":
    import gc

    # Python would look for garbage among what imports make, which is none, for a third of the start. A command that is
    # imported lets it look again.
    gc.disable()

    import app.greenlets  # noqa: F401  # gevent patches only what nobody has imported yet
    from app.commands import main

    main()
