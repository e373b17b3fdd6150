"""How `make notebooks` runs and writes the notebooks: so that a second run changes nothing but
what was measured. Read by `jupyter nbconvert --config`, which defines `get_config`.
"""

config = get_config()  # noqa: F821
config.ExecutePreprocessor.timeout = 900  # seconds a cell, for those that train on MNIST
config.ExecutePreprocessor.record_timing = False
# What a cell prints arrives in pieces, other ones each time: joined after the run.
config.NotebookExporter.preprocessors = ["nbconvert.preprocessors.CoalesceStreamsPreprocessor"]
# The kernel's exact version would change with the machine.
config.ClearMetadataPreprocessor.enabled = True
config.ClearMetadataPreprocessor.preserve_nb_metadata_mask = {
    "kernelspec",
    ("language_info", "name"),
}


def begin_slides(notebook, resources):
    """Begin a slide at each text; the code and the pictures below it belong to it."""
    for cell in notebook.cells:
        begins = cell.cell_type == "markdown"
        cell.metadata["slideshow"] = {"slide_type": "slide" if begins else "-"}
    return notebook, resources


# jupyter nbconvert --to slides --config notebooks/nbconvert_config.py notebooks/02-*.ipynb
config.SlidesExporter.preprocessors = [begin_slides]
config.SlidesExporter.reveal_scroll = True
