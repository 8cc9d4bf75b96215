"""What every notebook imports: small, flat, one job per file.

    errors           a mistake: its kind, and the sentence that people read
    device           which machine is this, and in which numbers does it compute
    cores            cores that other programs compute on are left to them
    catalogue        what to know of each model before loading it
    names            what a typed name means: of the catalogue, this disk, or the hub
    hub_words        what the hub, the network and the disk answer, in plain words
    hub              from the hub onto this disk: whole, or one sentence
    pipeline_folder  is a folder a pipeline, of our kind, and whole
    libraries        what diffusers and transformers say unasked, and rename
    schedulers       what is asked of a scheduler, and which draws instead
    models           ``load``: from a name to a pipeline that fits the machine
    memory           how much a pipeline takes, how to save some, how to let it go
    rescue           a pipeline that goes on when memory is full or numbers overflow
    settings         what a prompt or a setting cannot do, told before it is tried
    fields           Colab's form fields, as they stand in the code
    widgets          what a form shows for a field; a slider with a live picture
    forms            Colab's form fields, working the same in JupyterLab
    images           grids and tables with labels, files that carry their settings
    labels           text on a picture: a font for every sign, lines that fit
    pictures         any picture that a learner has, as a model wants it
    captioned        pictures with a caption each, in a file of text beside it
    drawing          a picture to draw on, with the mouse or a finger
    latents          pictures encoded once, for a training to learn from
    captions         which words fit a picture, and a sentence made of them
    files            whole, or as they were
    checkpoints      a training's file, and what the disk refused of it
    training         steps that are kept: stopped, it goes on to the last bit
    lora             what learns in a U-Net, its loss, its file
    processes        several processes that share the work
    gallery          hundreds of pictures, each made once, by one process or many
    picker           keep it, bin it, look closer: picking by eye
    exercises        check, hint, solution: the engine, and a file for each notebook
    doctor           what is wrong here? ``python -m helpers``

Importing this package imports nothing else.
"""

REPO = "OWNER/NAME"  # the one place that holds the address on GitHub
TAG = "v0.1.0"  # what a notebook opened in Colab fetches
