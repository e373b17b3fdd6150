"""Models of other libraries, read and written: PyTorch, Keras, scikit-learn, ONNX.

`routes` finds out what a source is, and each format has its own module, which alone imports what
that format needs. What they share is in `parts`: the error, the layers by foreign names, and how a
layer of ours is made of foreign arrays.
"""
