"""A process that looks at the beginnings and ends of files: `python -m nas.training.data.folders.look`.

It is told the most pixels of a picture, and then asked for some files at a time; see `nas.training.data.processes`.
"""

from __future__ import annotations

from functools import partial

from nas.training.data.folders.headers import looked_at_as_values
from nas.training.data.processes import serve

if __name__ == "__main__":
    serve(lambda most_pixels: partial(looked_at_as_values, most_pixels=most_pixels))
