"""A folder to start from: one commented model, which passes a check as it stands."""

from __future__ import annotations

from pathlib import Path

from gradparity.model_spec.errors import InputError

#: What is written, as it stands in the package.
STARTER_FILES = Path(__file__).parent / "starter_files"
MODEL_FILE = "model.py"


def write_starter(directory: str | Path) -> Path:
    """Write the starting model into a folder, which is made if need be, beside whatever else is there.

    Returns:
        The path of the model.

    Raises:
        InputError: there is a ``model.py`` already, or nothing can be written there.
    """
    model = Path(directory) / MODEL_FILE
    text = (STARTER_FILES / MODEL_FILE).read_bytes()
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        with model.open("xb") as stream:
            stream.write(text)
    except FileExistsError:
        if model.parent.is_dir():
            raise InputError(
                "new", got=f"{model}, which exists", expected="a folder without one", cure="Name another folder."
            ) from None
        raise InputError(
            "new", got=f"{directory}, which is a file", expected="a folder", cure="Name another folder."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("new", got=f"{directory} ({reason})", expected="a folder that can be written") from None
    return model
