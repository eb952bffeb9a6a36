"""`python -m blocklist`."""

from blocklist.cli import main

if __name__ == "__main__":
    main(prog_name="blocklist")
