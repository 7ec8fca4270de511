"""Every way in which a film can be refused.

SecondLookError
├── BadRequest            400
│   ├── MissingFile           missing_file
│   ├── TooManyFiles          too_many_files
│   ├── EmptyFile             empty_file
│   ├── UnsupportedImage      unsupported_image
│   └── CorruptImage          corrupt_image
├── TooLarge              413
│   ├── FileTooLarge          file_too_large
│   └── ImageTooLarge         image_too_large
├── OutOfScope            422 out_of_scope
├── UnknownModel          404 unknown_model
├── Unavailable           503
│   ├── ModelLoading          model_loading
│   ├── ModelUnavailable      model_loading   (its weights cannot be used: says why)
│   └── Busy                  busy
└── InternalError         500 internal_error

Each class carries its ``code`` and HTTP ``status``; ``str(error)`` is one plain sentence that says what
to do about it. No sentence holds a path, a file name, a DICOM tag or another library's message.
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from predictors.image import Radiograph


class SecondLookError(Exception):
    """Base of all refusals: ``code`` for programs, ``status`` for HTTP, ``str(self)`` for people."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    sentence: ClassVar[str] = "Something went wrong on our side; please try again."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)


class BadRequest(SecondLookError):
    """The request cannot be answered as it was sent (400)."""

    status = 400


class MissingFile(BadRequest):
    """No file came with the request."""

    code = "missing_file"
    sentence = "No file was sent; attach one radiograph as an image or a DICOM file."


class TooManyFiles(BadRequest):
    """A batch held more files than the limit."""

    code = "too_many_files"
    sentence = "A batch takes at most 10 images; send fewer at a time."


class EmptyFile(BadRequest):
    """The file has no bytes."""

    code = "empty_file"
    sentence = "The file is empty; send the radiograph again."


class UnsupportedImage(BadRequest):
    """Not an image or DICOM object of a kind that we read."""

    code = "unsupported_image"
    sentence = "This is not an image we read; send JPEG, PNG, WebP, TIFF, BMP or single-frame DICOM."


class CorruptImage(BadRequest):
    """The format is one of ours, but the data are truncated or broken."""

    code = "corrupt_image"
    sentence = "The image data are damaged or cut short; export the film again and resend it."


class TooLarge(SecondLookError):
    """The film exceeds a size limit (413)."""

    status = 413


class FileTooLarge(TooLarge):
    """More bytes than the limit."""

    code = "file_too_large"
    sentence = "The file is larger than 20 MB; send a smaller export of the film."


class ImageTooLarge(TooLarge):
    """More pixels than the limit, told by the header before any pixel is decoded."""

    code = "image_too_large"
    sentence = "The image has more than 64 megapixels; send a smaller export of the film."


class OutOfScope(SecondLookError):
    """A readable picture that is not the kind of radiograph the model reads; ``film`` is that picture, if kept."""

    film: "Radiograph | None" = None
    code = "out_of_scope"
    status = 422
    sentence = "This does not look like the kind of radiograph that this model reads; send a matching film."


class UnknownModel(SecondLookError):
    """No model of that name."""

    code = "unknown_model"
    status = 404
    sentence = "There is no such model; see the list of models for the names."


class Unavailable(SecondLookError):
    """The service cannot answer right now (503); ``retry_after`` is in how many seconds it may."""

    status = 503
    retry_after: int = 2


class ModelLoading(Unavailable):
    """The model is not ready yet."""

    code = "model_loading"
    sentence = "The model is still loading; try again in a few seconds."


class ModelUnavailable(Unavailable):
    """The model's weights cannot be used; the other models go on working."""

    code = "model_loading"
    sentence = "This model's weights could not be loaded; the other models are not affected."


class Busy(Unavailable):
    """The queue is full."""

    code = "busy"
    sentence = "Too many films are waiting; try again in a few seconds."


class InternalError(SecondLookError):
    """Anything that we did not foresee; ``request_id`` finds it in the log."""

    request_id: str = ""
