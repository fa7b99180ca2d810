"""`python -m revocation` is the command `revocation`, also where the directory of scripts is not on the path."""

from revocation.cli import main

if __name__ == "__main__":
    main()
