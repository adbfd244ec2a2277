"""A folder to start from: one commented model, which passes a check as it stands."""

from __future__ import annotations

from pathlib import Path

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.model import MODEL_FILES

#: What is written, as it stands in the package.
STARTER_FILES = Path(__file__).parent / "starter_files"
MODEL_FILE = MODEL_FILES[0]


def write_starter(directory: str | Path) -> Path:
    """Write the starting model into a folder, which is made if need be, beside whatever else is there.

    Returns:
        The path of the model.

    Raises:
        InputError: the folder has a model already, or nothing can be written there.
    """
    folder = Path(directory)
    try:
        if folder.is_file():
            raise InputError("new", got=f"{folder}, which is a file", expected="a folder", cure="Name another folder.")
        for there in (folder / name for name in MODEL_FILES):
            if there.exists():
                got, expected = f"{there}, which exists", "a folder without one"
                raise InputError("new", got=got, expected=expected, cure="Name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / MODEL_FILE).open("xb") as stream:
            stream.write((STARTER_FILES / MODEL_FILE).read_bytes())
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("new", got=f"{directory} ({reason})", expected="a folder that can be written") from None
    return folder / MODEL_FILE
