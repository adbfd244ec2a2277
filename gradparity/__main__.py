"""``python -m gradparity`` is the ``gradparity`` command."""

from gradparity.cli import main

if __name__ == "__main__":
    main()
