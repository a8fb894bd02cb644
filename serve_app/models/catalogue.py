"""Which models there are: one folder each, below the folder of the settings or in the box."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from serve_app.errors import BadModel
from serve_app.messages import ModelCard
from serve_app.models import blueprint, manifest, tensors
from serve_app.models.manifest import Manifest
from serve_app.models.shares import WHOLE, Share
from serve_app.models.workspace import WorkShape
from serve_app.settings import ModelSettings

_IN_THE_BOX = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on disk that names itself; its files are not verified yet."""

    path: Path
    manifest: Manifest
    digest: str

    @property
    def card(self) -> ModelCard:
        listed = self.manifest
        return ModelCard(listed.name, self.digest, listed.context_tokens, listed.created)

    @property
    def total_bytes(self) -> int:
        return sum(entry.bytes for entry in self.manifest.files.values())

    def parameters(self) -> int:
        """Numbers in all weight files, from their headers; raises BadModel if there are none."""
        return sum(tensor.count for tensor in tensors.stored(self.path).values())

    def work_shape(self, share: Share = WHOLE) -> WorkShape:
        """Read what sizes cache and steps; raises BadModel if config.json does not say it."""
        built = blueprint.architecture(self.path)
        try:
            shape = WorkShape.model_validate(dict(built.fields))
            return (
                shape if share.is_whole else WorkShape.model_validate(dict(share.of(built).fields))
            )
        except ValidationError as error:
            needed = ", ".join(WorkShape.model_fields)
            raise BadModel(
                f"{self.path / blueprint.CONFIG} must give {needed} as whole numbers."
            ) from error


def find(wanted: ModelSettings) -> ModelFolder:
    """Return the model of that name and digest; raises BadModel listing what there is."""
    known = {path.name: path for path in folders(wanted.folder)}
    if wanted.name not in known:
        there_is = f"there is {', '.join(known)}" if known else "there is none at all"
        raise BadModel(
            f"No model {wanted.name!r} in {wanted.folder or _IN_THE_BOX}: {there_is}. "
            f"A model is a folder with a {manifest.MANIFEST}; model.name chooses one."
        )
    return pinned(read(known[wanted.name]), wanted)


def pinned(found: ModelFolder, wanted: ModelSettings) -> ModelFolder:
    """Return what was found; raises BadModel if it has the name that is wanted, and not the digest.

    The digest of a manifest holds those of all files.
    """
    if found.card.name == wanted.name and wanted.digest not in {None, found.digest}:
        raise BadModel(
            f"The model in {found.path} has the digest {found.digest}, "
            f"and model.digest wants {wanted.digest}."
        )
    return found


def folders(folder: Path | None) -> list[Path]:
    """Where there is a manifest, in `folder` or in the box if it is None; none is read yet."""
    return sorted(path.parent for path in (folder or _IN_THE_BOX).glob(f"*/{manifest.MANIFEST}"))


def read(path: Path) -> ModelFolder:
    """Read one folder's manifest; raises BadModel."""
    listed = manifest.read(path)
    if listed.name != path.name:
        raise BadModel(
            f"The folder {path} holds a model that calls itself {listed.name!r}; rename the folder."
        )
    return ModelFolder(path, listed, manifest.digest(path))
