"""`python -m seqformers.cli`."""

from seqformers.cli import main

if __name__ == "__main__":
    main()
