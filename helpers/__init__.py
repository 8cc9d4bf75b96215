"""What every notebook imports: small, flat, one job per file.

    device    which machine is this, and in which numbers does it compute
    models    the catalogue, and ``load``: from a name to a pipeline that fits
    hub       from the hub onto this disk: whole, or one sentence
    memory    how much a pipeline takes, how to make it take less, how to let it go
    rescue    a pipeline that goes on when memory is full or numbers overflow
    doctor    what is wrong here? ``python -m helpers``
    images    grids with labels; any picture opened; files that carry their settings
    drawing   a picture to draw on, with the mouse or a finger
    forms     form fields, and what was typed: every mistake gets one clear sentence
    finetune  encoded pictures, and a training that is kept and goes on
    checks    exercises: check, hint, solution

Importing this package imports nothing else.
"""

REPO = "OWNER/NAME"  # the one place that holds the address on GitHub
TAG = "v0.1.0"  # what a notebook opened in Colab fetches
